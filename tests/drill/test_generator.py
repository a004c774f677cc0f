"""The generator alone, against a server that stalls: what a closed loop would hide is seen here.

Half of each second the server answers at once, then it stands still for 400 ms, as a collector of
garbage or a full disk does. An order that was due meanwhile has waited, whenever it was sent.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_of
from engine.kernel.clock import SystemClock
from engine.simulation.drill import gathering, plan
from engine.simulation.drill.curve import Curve
from engine.simulation.drill.generating import Generator
from engine.simulation.drill.tally import Seen

STALL_S, EVERY_S = 0.4, 1.0
ANSWER = b'{"order_id":"o"}'
RAW = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(ANSWER), ANSWER,
)  # fmt: skip
KEY = "k" * 16


class Stalling(asyncio.Protocol):
    """Answers whatever comes, unless everything stands still."""

    def __init__(self, open_: set[asyncio.BaseTransport]) -> None:
        self._open = open_

    def connection_made(self, transport):
        self._open.add(transport)
        self._transport = transport
        self._rest = b""

    def connection_lost(self, _exc):
        self._open.discard(self._transport)

    def data_received(self, data):
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(self._rest) < end + 4 + length:
                return
            self._rest = self._rest[end + 4 + length :]
            self._transport.write(RAW)


@pytest.fixture(scope="module")
def stalling() -> Iterator[str]:
    """The address of the server; its thread's loop stands still in each second."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), threading.Event()
    found: list[int] = []
    open_: set[asyncio.BaseTransport] = set()

    def stall() -> None:
        time.sleep(STALL_S)
        if not ended.is_set():
            loop.call_later(EVERY_S - STALL_S, stall)

    async def serve() -> None:
        server = await loop.create_server(lambda: Stalling(open_), "127.0.0.1", 0)
        found.append(server.sockets[0].getsockname()[1])
        loop.call_later(EVERY_S - STALL_S, stall)
        ready.set()
        while not ended.is_set():  # noqa: ASYNC110 - it is set by another thread
            await asyncio.sleep(0.02)
        server.close()
        for transport in open_:
            transport.close()
        while open_:  # noqa: ASYNC110 - each says so when it is lost
            await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    yield f"http://127.0.0.1:{found[0]}"
    ended.set()
    thread.join()
    loop.close()


async def load(
    url: str, folder: Path, rate: float, *, in_flight: int = 600, late_ms: float = 60_000
) -> Seen:
    folder.mkdir()  # noqa: ASYNC240 - before anything runs
    clock = SystemClock()
    told = plan.Plan(
        url=url, mark="m", seed=1, curve=Curve(rate, rate, rate), seconds=3.0, work=plan.Work(),
        in_flight_max=in_flight, bounds=plan.Bounds(late_p99_ms=late_ms), folder="",
    )  # fmt: skip
    with Generator(folder, 1, KEY, settings_of.load()) as generator:
        await generator.prepare(told, clock)
        generator.go(clock)
        (seen,) = await generator.finish(clock, 60.0)
    return seen


async def test_a_stall_is_in_the_latency_and_what_was_not_sent_is_counted(
    stalling: str, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as tasks:
        open_ = tasks.create_task(load(stalling, tmp_path / "open", 200.0))
        tight = tasks.create_task(load(stalling, tmp_path / "tight", 200.0, in_flight=4))
    seen, full = open_.result(), tight.result()
    latency, _ = gathering.latencies([seen])
    totals = gathering.totals([seen])
    assert totals.planned == totals.sent == totals.accepted
    assert totals.dropped == 0
    assert latency["accepted"].p99 > 0.85 * STALL_S * 1_000
    assert latency["service"].p50 < 0.25 * STALL_S * 1_000, "most were answered at once"
    dropped = gathering.totals([full])
    assert dropped.planned == totals.planned, "the same arrivals were due"
    assert dropped.sent + dropped.dropped == dropped.planned
    assert dropped.accepted == dropped.sent
    # each stall lets four wait, and drops what else was due: about 80 less 4
    assert dropped.dropped > 0.2 * dropped.planned


async def test_more_than_it_can_send_is_its_own_failure(stalling: str, tmp_path: Path) -> None:
    seen = await load(stalling, tmp_path / "much", 20_000.0, late_ms=300.0)
    assert seen.aborted.startswith(("it sent orders", "it was busy"))
    assert gathering.generator("x", [seen]).aborted
