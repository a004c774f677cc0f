"""One load on its way: connections that send what is due and count what comes back.

Closed loop and open loop are one mechanism: everything is due at once, or by schedule. A scheduled
request's time counts from its instant, not from when a connection was free for it.
"""

import asyncio
from array import array
from collections import Counter
from collections.abc import Sequence
from time import monotonic, process_time  # uvloop's own clock counts whole milliseconds
from typing import Final, cast

from engine.simulation.bench.requests import ACCEPTED_IN, Chain
from engine.simulation.bench.types import Job, Tally
from engine.simulation.bench.wire import Unreadable, answer
from engine.simulation.seen import percentile

LOST: Final = 0

_TICK_S: Final = 0.001
_REFUSED_FROM: Final = 300


class Load:
    """One job; `open`, then `run` once."""

    def __init__(self, job: Job, chains: Sequence[Chain]) -> None:
        """Take what to send; nothing is opened yet."""
        self.statuses: Counter[int] = Counter()
        self.seconds = array("d")
        self.accepted = 0
        self.counted = ACCEPTED_IN.get(job.kind)
        self._job = job
        self._chains = chains
        self._late = array("d")
        self._due = self._sent = 0
        self._left = len(chains)
        self._began = 0.0
        self._links: list[_Link] = []
        self._idle: list[_Link] = []
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Open every connection."""
        loop = asyncio.get_running_loop()
        for _ in range(min(self._job.connections, len(self._chains))):
            _, link = await loop.create_connection(
                lambda: _Link(self), self._job.host, self._job.port
            )
            self._links.append(link)

    async def run(self) -> Tally:
        """Send everything, wait for every answer, close."""
        cpu = process_time()
        self._began = monotonic()
        self._idle = list(self._links)
        if self._job.rate:
            self._tick()
        else:
            self._due = len(self._chains)
            self._send_due()
        await self._finished
        seconds, cpu = monotonic() - self._began, process_time() - cpu
        for link in self._links:
            link.close()
        return self._tally(seconds, cpu)

    # What links tell their load.

    def free(self, link: "_Link") -> None:
        """Count a chain as done and give its link the next one that is due."""
        self._idle.append(link)
        self._settled()
        self._send_due()

    def gone(self, link: "_Link", *, owed: bool) -> None:
        """Go on without a link; a request that was on it has no answer."""
        self._links.remove(link)
        if link in self._idle:
            self._idle.remove(link)
        if owed:
            self.statuses[LOST] += 1
            self._settled()
        if not self._links and not self._finished.done():
            self.statuses[LOST] += self._left
            self._finished.set_result(None)

    def _settled(self) -> None:
        self._left -= 1
        if self._left == 0 and not self._finished.done():
            self._finished.set_result(None)

    def _send_due(self) -> None:
        while self._idle and self._sent < self._due:
            n, now = self._sent, monotonic()
            self._sent = n + 1
            since = self._instant(n) if self._job.rate else now
            self._late.append(now - since)
            self._idle.pop().begin(self._chains[n], since)

    def _tick(self) -> None:
        """Make due whatever its instant has come; a late tick makes several due at once."""
        while self._due < len(self._chains) and self._instant(self._due) <= monotonic():
            self._due += 1
        self._send_due()
        if self._due < len(self._chains):
            asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _instant(self, n: int) -> float:
        return self._began + n * self._job.per_request / self._job.rate

    def _tally(self, seconds: float, cpu: float) -> Tally:
        taken, late = sorted(self.seconds), sorted(self._late)
        return Tally(
            answers=len(taken),
            accepted=self.accepted,
            statuses={str(status): count for status, count in sorted(self.statuses.items())},
            began=self._began,
            seconds=seconds,
            p50_ms=percentile(taken, 0.5) * 1_000,
            p99_ms=percentile(taken, 0.99) * 1_000,
            late_p99_ms=percentile(late, 0.99) * 1_000,
            cpu_s=cpu,
        )


class _Link(asyncio.Protocol):
    """One connection and the chain that is on it."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._chain: Chain = ()
        self._step = 0
        self._since = 0.0
        self._rest = b""
        self._closing = False

    def begin(self, chain: Chain, since: float) -> None:
        """Send the first request of a chain."""
        self._chain, self._step, self._since = chain, 0, since
        cast("asyncio.Transport", self._transport).write(chain[0])

    def close(self) -> None:
        """Close; the load is over."""
        self._closing = True
        cast("asyncio.Transport", self._transport).abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell the load, unless it closed us."""
        if not self._closing:
            self._load.gone(self, owed=bool(self._chain))

    def data_received(self, data: bytes) -> None:
        """Read every answer that is whole by now."""
        data = self._rest + data if self._rest else data
        begin = 0
        try:
            while begin < len(data) and (found := answer(data, begin)) is not None:
                status, body, end = found
                self._answered(status, data, body, end)
                begin = end
        except Unreadable:
            cast("asyncio.Transport", self._transport).abort()
        self._rest = data[begin:]

    def _answered(self, status: int, data: bytes, body: int, end: int) -> None:
        load, now = self._load, monotonic()
        load.seconds.append(now - self._since)
        load.statuses[status] += 1
        self._step += 1
        if status < _REFUSED_FROM:
            if self._step < len(self._chain):
                self._since = now
                cast("asyncio.Transport", self._transport).write(self._chain[self._step])
                return
            load.accepted += data.count(load.counted, body, end) if load.counted else 1
        self._chain = ()
        load.free(self)
