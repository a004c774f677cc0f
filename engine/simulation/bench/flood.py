"""A generator of arrivals that wait for nobody: a phase in, a tally out, until its input ends.

An arrival takes a free connection at its instant, or is dropped and counted: its buyer found none.
What an answer took counts from that instant. Refusals are not waited out: the next arrival may come
on the same connection at once, as behind a gateway that keeps a few connections for everybody.
"""

import asyncio
import gc
import os
import sys
from array import array
from collections import deque
from itertools import pairwise
from time import monotonic, process_time  # uvloop's own clock counts whole milliseconds
from typing import Final, cast

import msgspec
import uvloop

from engine.simulation.bench.wire import Unreadable, answer
from engine.simulation.seen import percentile

MARK: Final = "000000000"  # where each order's number goes; as long as every number

_OPENED_AT_ONCE: Final = 100
_TICK_S: Final = 0.001
_SETTLED_WITHIN_S: Final = 30.0
_REFUSED_FROM: Final = 300


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where orders go: `parts` of one request, its number between them; `core` -1 is any core."""

    host: str
    port: int
    parts: list[str]
    connections: int
    core: int = -1


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """So many arrivals a second for so long; 0: each of `busy` connections waits for its answer."""

    seconds: float
    rate: float = 0.0
    busy: int = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the arrivals of a phase; times are of accepted ones, from their instants.

    All that is answered after the last arrival is left out, but for `settled_s`: how long after it
    the last answer came. `accepted_in` has each second's.
    """

    offered: int
    dropped: int
    accepted: int
    refused: int
    lost: int
    seconds: float
    p50_ms: float
    p99_ms: float
    settled_s: float
    cpu_s: float
    accepted_in: list[int]

    @property
    def goodput(self) -> float:
        """Accepted orders a second."""
        return self.accepted / self.seconds


class Flood:
    """All connections of one target."""

    def __init__(self, target: Target) -> None:
        """Take where to; nothing is opened yet."""
        self._target = target
        self._parts = [part.encode() for part in target.parts]
        self._links: list[_Link] = []
        self._idle: deque[_Link] = deque()
        self._number = 0
        self._closed = False  # each answer is followed by the next order
        self._clear()

    async def open(self) -> None:
        """Open every connection that is not open."""
        loop, target = asyncio.get_running_loop(), self._target
        while len(self._links) < target.connections:
            async with asyncio.TaskGroup() as opening:
                made = [
                    opening.create_task(
                        loop.create_connection(lambda: _Link(self), target.host, target.port)
                    )
                    for _ in range(min(_OPENED_AT_ONCE, target.connections - len(self._links)))
                ]
            opened = [one.result()[1] for one in made]
            self._links += opened
            self._idle += opened

    async def run(self, phase: Phase) -> Seen:
        """Let them come, wait for the last answers, and return what was seen."""
        await self.open()  # what was idle for too long was closed
        self._clear()
        self._closed = not phase.rate
        cpu, began = process_time(), monotonic()
        if self._closed:
            for _ in range(min(phase.busy, len(self._idle))):
                self._idle.popleft().send(self._next(), monotonic())
        while (now := monotonic()) < began + phase.seconds:
            while self._offered < (now - began) * phase.rate:
                self._arrive(began + self._offered / phase.rate)
            if now - began >= len(self._by_second) + 1:
                self._by_second.append(len(self._accepted))
            await asyncio.sleep(_TICK_S)
        self._closed = False
        seconds, cpu = monotonic() - began, process_time() - cpu
        accepted, until = len(self._accepted), began + seconds + _SETTLED_WITHIN_S
        while monotonic() < until:
            await asyncio.sleep(_TICK_S)
            if not any(link.busy for link in self._links):
                break
        return self._seen(accepted, seconds, monotonic() - began - seconds, cpu)

    def answered(self, link: "_Link", status: int) -> None:
        """Note an answer; its connection is free again."""
        now = monotonic()
        if status < _REFUSED_FROM:
            self._accepted.append(now - link.since)
        else:
            self._refused += 1
        if self._closed:
            link.send(self._next(), now)
        else:
            self._idle.append(link)

    def gone(self, link: "_Link") -> None:
        """Go on without a connection."""
        self._links.remove(link)
        self._lost += link.busy
        if link in self._idle:
            self._idle.remove(link)

    def _arrive(self, instant: float) -> None:
        self._offered += 1
        if self._idle:
            self._idle.popleft().send(self._next(), instant)
        else:
            self._dropped += 1

    def _next(self) -> bytes:
        self._number += 1
        return (b"%09d" % self._number).join(self._parts)

    def _clear(self) -> None:
        self._accepted = array("d")
        self._by_second: list[int] = []
        self._offered = self._dropped = self._refused = self._lost = 0

    def _seen(self, accepted: int, seconds: float, settled_s: float, cpu_s: float) -> Seen:
        taken = sorted(self._accepted[:accepted])
        ends = [0, *self._by_second]
        return Seen(
            offered=self._offered,
            dropped=self._dropped,
            accepted=accepted,
            refused=self._refused,
            lost=self._lost,
            seconds=seconds,
            p50_ms=percentile(taken, 0.5) * 1_000,
            p99_ms=percentile(taken, 0.99) * 1_000,
            settled_s=settled_s,
            cpu_s=cpu_s,
            accepted_in=[after - before for before, after in pairwise(ends)],
        )


class _Link(asyncio.Protocol):
    """One connection and the order that is on it."""

    def __init__(self, flood: Flood) -> None:
        self.busy = False
        self.since = 0.0
        self._flood = flood
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def send(self, request: bytes, instant: float) -> None:
        """Send an order that was due at that instant."""
        self.busy, self.since = True, instant
        cast("asyncio.Transport", self._transport).write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell the flood."""
        self._flood.gone(self)

    def data_received(self, data: bytes) -> None:
        """Read the answer once it is whole; there is only one at a time."""
        data = self._rest + data if self._rest else data
        try:
            found = answer(data)
        except Unreadable:
            cast("asyncio.Transport", self._transport).abort()
            return
        if found is None:
            self._rest = data
            return
        self._rest, self.busy = b"", False
        self._flood.answered(self, found.status)


async def main() -> None:
    """Open all connections, then run phases."""
    target = msgspec.json.decode(await _line(), type=Target)
    if target.core >= 0:
        os.sched_setaffinity(0, {target.core})
    flood = Flood(target)
    await flood.open()
    _tell(b"ready")
    gc.collect()
    gc.disable()
    while line := await _line():
        _tell(msgspec.json.encode(await flood.run(msgspec.json.decode(line, type=Phase))))


async def _line() -> bytes:
    return await asyncio.to_thread(sys.stdin.buffer.readline)


def _tell(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
