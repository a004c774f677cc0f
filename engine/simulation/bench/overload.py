"""`tidegate bench --only overload`: what is left of the peak when far more orders come.

The engine with its servers has one core, the generator another one, so that neither measures the
other. First the peak, each of some connections waiting for its answer; then arrivals on schedule,
at parts and at multiples of it. Before each multiple the peak is measured again, for as long: what
has been recorded meanwhile makes everything slower, and the first seconds of a load are its best,
before what they leave behind (recording, rewriting of the log, vacuum) has to be done, too.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from urllib.parse import urlsplit

import msgspec

from engine.infra.servers import ports
from engine.infra.servers import postgres as postgres_server
from engine.infra.servers.supervisor import Supervisor
from engine.kernel import codec
from engine.kernel.clock import Clock
from engine.kernel.ids import token
from engine.settings import Settings, environment
from engine.simulation.bench import cpu, requests
from engine.simulation.bench.children import Child
from engine.simulation.bench.flood import MARK, Phase, Seen, Target
from engine.simulation.bench.shelf import GATE, Shelf
from engine.simulation.http import LoadClient
from engine.simulation.progress import Progress

BUSY: Final = 192  # connections of the peak
CONNECTIONS: Final = 2_048
PLAN: Final = (0.3, 1.0, 1.5, 3.0, 0.3)  # of the peak

_ENGINE_CORE, _GENERATOR_CORE = 0, 1
Pids = Callable[[], Mapping[str, int | None]]

_HEAD: Final = (
    "offered/s  accepted/s  of peak  refused/s  dropped/s  lost  p50 ms  p99 ms  settled s"
)
_MEGABYTE: Final = 1_048_576
_MORE_S: Final = 60.0
_CALM, _CALM_S = 0.1, 2.0  # of the peak


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One phase: its multiple of the peak (0: the peak itself), what was seen, and our memory."""

    times: float
    seen: Seen
    memory_mb: dict[str, int]


class Storm:
    """A generator before a running instance."""

    def __init__(self, child: Child, pids: Pids) -> None:
        """Take a generator that has its target, and whose memory to look at."""
        self._child = child
        self._pids = pids
        self.steps: list[Step] = []

    async def phase(self, seconds: float, times: float = 0.0) -> Seen:
        """Run one phase at a multiple of the peak; the first of all measures that."""
        rate = self.peak * times if times else 0.0
        phase = Phase(seconds=seconds, rate=rate, busy=0 if rate else BUSY)
        await self._child.tell(msgspec.json.encode(phase))
        seen = msgspec.json.decode(await self._child.hear(seconds + _MORE_S), type=Seen)
        self.steps.append(Step(times=times, seen=seen, memory_mb=self._memory()))
        return seen

    @property
    def measured(self) -> bool:
        """Whether there is more than the phase that warms everything."""
        return len(self.steps) > 1

    @property
    def peak(self) -> float:
        """Orders a second of the last phase that measured them."""
        return next(one.seen.goodput for one in reversed(self.steps) if not one.times)

    def _memory(self) -> dict[str, int]:
        return {name: cpu.resident(pid) // _MEGABYTE for name, pid in self._pids().items() if pid}


@asynccontextmanager
async def storm(
    settings: Settings, clock: Clock, pids: Pids, *, connections: int = CONNECTIONS
) -> AsyncIterator[Storm]:
    """Fill the shelf of the instance of these settings and stand a generator before it.

    Raises:
        BenchFailed: what the API or the generator said.
    """
    address = ports.base_url(settings.http_host, settings.http_port)
    async with LoadClient(address, settings.admin_key or "", connections=4) as client:
        shelf = Shelf(client, clock, token(4))
        await shelf.fill()
    child = await Child.start("flood", environment=environment(settings))
    try:
        where = urlsplit(address)
        target = Target(
            host=where.hostname or "", port=where.port or 0, connections=connections,
            parts=_parts(where.netloc, settings.admin_key or "", shelf.plenty),
            core=_GENERATOR_CORE if cpu.cores() > _GENERATOR_CORE else -1,
        )  # fmt: skip
        await child.tell(msgspec.json.encode(target))
        await child.hear(_MORE_S)
        yield Storm(child, pids)
    finally:
        await child.stop()


@contextmanager
def on_one_core() -> Iterator[bool]:
    """Have what is started meanwhile on one core; false where there are not two to choose from."""
    if not hasattr(os, "sched_setaffinity") or cpu.cores() <= _GENERATOR_CORE:
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_ENGINE_CORE})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


async def measure(
    supervisor: Supervisor, clock: Clock, seconds: float, progress: Progress
) -> list[Step]:
    """Run the whole plan, each phase so many seconds.

    Raises:
        BenchFailed: what the API or the generator said.
    """

    def pids() -> dict[str, int | None]:
        return {name: supervisor.pid_of(name) for name in supervisor.names()}

    async with storm(supervisor.settings, clock, pids) as one:
        await one.phase(min(seconds, 5.0))  # warm
        for times in PLAN:
            if not one.measured or times >= 1:
                await _calm(one)
                seen = await one.phase(seconds)
                progress.say(f"peak {seen.goodput:,.0f}/s")
            seen = await one.phase(seconds, times)
            progress.say(f"{times:g} x: {seen.goodput:,.0f}/s, p99 {seen.p99_ms:.0f} ms")
        return one.steps[1:]


async def _calm(one: Storm) -> None:
    """Let what limits orders find out that it is over; what it answers meanwhile is not noted."""
    await one.phase(_CALM_S, _CALM)
    one.steps.pop()


def lines(steps: Sequence[Step]) -> list[str]:
    """Return what was measured, for people."""
    peak, found = 0.0, [_HEAD]
    for one in steps:
        seen = one.seen
        peak = peak if one.times else seen.goodput
        each = (seen.refused / seen.seconds, seen.dropped / seen.seconds)
        found.append(
            f"{'peak' if not one.times else f'{one.times * peak:,.0f}':>9}  {seen.goodput:>10,.0f}"
            f"  {seen.goodput / peak:>6.0%}   {each[0]:>9,.0f}  {each[1]:>9,.0f}  {seen.lost:>4}"
            f"  {seen.p50_ms:>6.1f}  {seen.p99_ms:>6.1f}  {seen.settled_s:>9.2f}"
        )
    found.append(f"memory, MB, first and last: {_grown(steps[0].memory_mb, steps[-1].memory_mb)}")
    return found


def _grown(first: Mapping[str, int], last: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name} {size} {last.get(name, 0)}"
        for name, size in first.items()
        if name != postgres_server.NAME
    )


def _parts(host: str, key: str, campaign: str) -> list[str]:
    order = requests.an_order(GATE, campaign, MARK)
    body = codec.encode(order).decode()
    head = (
        f"POST /v1/orders HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    )
    return (head + body).split(MARK)
