"""Every process of the engine restarted in turn under load: asked to end, and killed.

The clients send on a schedule, whatever the answers do, and send the same order again when they got
no answer, or were told to come back.
"""

import asyncio
import signal
import time
from dataclasses import dataclass, field, replace

import asyncpg
import pytest

from engine.app import runtime
from engine.assurance.verify import certify
from engine.infra.servers.supervisor import Supervisor
from engine.kernel import codec
from engine.simulation.http import NO_ANSWER, LoadClient
from tests.conftest import eventually
from tests.fault.engines import ADMIN, an_order, campaign_of

GIVES_UP_S = 15.0
SHARE = 0.7
RATE_MAX = 250
PROBES = 600


@dataclass
class Crowd:
    """Buyers, each with one order and the patience to send it again."""

    client: LoadClient
    again: bool = True
    accepted: set = field(default_factory=set)
    failed: list = field(default_factory=list)
    unanswered: int = 0
    sent: int = 0

    async def buy(self, number):
        raw = self.client.compose("POST", "/v1/orders", codec.encode(an_order(number)))
        until = time.monotonic() + GIVES_UP_S
        while True:
            answer = await self.client.request(raw)
            if answer.status in {200, 202}:
                self.accepted.add(number)
                return
            self.unanswered += answer.status == NO_ANSWER
            if answer.status not in {NO_ANSWER, 503} or time.monotonic() > until or not self.again:
                self.failed.append((number, answer.status, answer.body[:200]))
                return
            await asyncio.sleep(max(0.05, answer.retry_after_s))

    async def come(self, rate, closed):
        """One after the other by the clock until `closed`; then wait for all of them."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as buyers:
            while not closed.is_set():
                while self.sent < (time.monotonic() - began) * rate:
                    self.sent += 1
                    buyers.create_task(self.buy(f"n{self.sent}"))
                await asyncio.sleep(0.002)


async def restart(instance, name, word):
    """End a process one way or the other, and wait until the next one has taken its place."""
    up = f"{name.partition('-')[0]}_up"
    times = instance.log_of(name).count(up)
    pid = await asyncio.to_thread(instance.kill, name, word)
    await asyncio.to_thread(instance.wait_replaced, name, pid, 20.0)
    await eventually(lambda: instance.log_of(name).count(up) > times, within_s=20)


@pytest.fixture
def instance(settings):
    """Two API processes and two workers, over the servers of the tests."""
    own = replace(settings, http_port=0, admin_key=ADMIN, drain_seconds=5, ephemeral=True)
    with Supervisor(own, api_processes=2, workers=2) as one:
        one.start_engine()
        one.wait_ready()
        yield one


async def opened(instance):
    client = LoadClient(instance.address, ADMIN, connections=128, deadline_s=10)
    async with client:
        for path, body in campaign_of({"A": 1_000_000}):
            raw = client.compose("PUT", path, codec.encode(body))
            assert (await client.request(raw)).status == 201

        async def sells():
            raw = client.compose("POST", "/v1/orders", codec.encode(an_order("first")))
            return (await client.request(raw)).status in {200, 202}

        await eventually(sells, within_s=20)
        probing, began = Crowd(client), time.monotonic()
        await asyncio.gather(*(probing.buy(f"p{n}") for n in range(PROBES)))
        return PROBES / (time.monotonic() - began), {"first"} | probing.accepted


async def rolled(instance, turns, most, **crowd):
    """Restart under load; return the crowd and every order that was accepted."""
    full, before = await opened(instance)
    closed = asyncio.Event()
    async with LoadClient(instance.address, ADMIN, connections=256, deadline_s=10) as client:
        buyers = Crowd(client, **crowd)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(buyers.come(min(full * SHARE, most), closed))
            try:
                async with asyncio.TaskGroup() as sides:
                    for side in turns:
                        sides.create_task(_in_turn(instance, side))
            finally:
                closed.set()
    return buyers, before | buyers.accepted


async def _in_turn(instance, side):
    for name, word in side:
        await restart(instance, name, word)


async def kept(instance, accepted):
    """Nothing that was accepted is lost, nothing is there twice, and the books hold."""
    own = instance.settings
    connection = await asyncpg.connect(own.database_url)
    try:

        async def recorded():
            rows = await connection.fetch("SELECT channel_order_id FROM orders")
            return accepted <= {row[0] for row in rows} and rows

        rows = await eventually(recorded, within_s=20)
    finally:
        await connection.close()
    assert len(rows) == len({row[0] for row in rows})
    async with runtime(own, "verify") as process:
        found = await certify(process.cell, process.pool, process.clock, within_s=20)
        assert found.holds, found.faults


SHORT = (
    [("api-0", signal.SIGTERM), ("api-1", signal.SIGKILL)],
    [("worker-0", signal.SIGTERM), ("worker-1", signal.SIGKILL)],
)


async def test_a_rolling_restart_fails_no_client_that_sends_again(instance):
    buyers, accepted = await rolled(instance, SHORT, RATE_MAX)
    assert not buyers.failed, buyers.failed[:3]
    assert len(buyers.accepted) == buyers.sent > 0
    assert buyers.unanswered, "nobody met a killed process: this showed nothing"
    await kept(instance, accepted)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_each_process_both_ways_at_seventy_percent(instance):
    words = [signal.SIGTERM, signal.SIGKILL]
    side = [(name, word) for word in words for name in ("api-0", "api-1", "worker-0", "worker-1")]
    buyers, accepted = await rolled(instance, [side], 1e9)
    assert not buyers.failed, buyers.failed[:3]
    assert len(buyers.accepted) == buyers.sent
    print(f"{buyers.sent} orders, {buyers.unanswered} unanswered once")  # noqa: T201
    await kept(instance, accepted)
