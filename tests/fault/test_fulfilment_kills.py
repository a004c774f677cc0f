"""`kill -9` of the shipper, again and again, beside a warehouse that misbehaves in every way.

Each consignment exists exactly once at the warehouse, everything ends, and nothing leaves after
`stopped`.
"""

import asyncio
import os
import random
import signal
import sys
from contextlib import asynccontextmanager

import pytest

from engine import settings as settings_of
from engine.simulation.warehouse import Books
from tests.conftest import eventually
from tests.flow.shipping import LANGUAGES, MISBEHAVING, shipping, world

CI, LONG = 4, 50
SHIPPER = """
import asyncio
from engine import settings as settings_of
from engine.infra import postgres
from engine.infra.runtime import Runtime
from engine.kernel.clock import SystemClock
from engine.wms.consumer import Shipper

async def main():
    settings = settings_of.load()
    async with await postgres.open_pool(settings.database_url) as pool:
        process = Runtime(
            settings=settings, clock=SystemClock(), pool=pool, cell=None, process="shipper"
        )
        print("ready", flush=True)
        await Shipper(process).run()

asyncio.run(main())
"""
# Leases of a process that is dead for certain: nobody else had any.
LAPSE = "UPDATE jobs SET due_at = now() WHERE leased_until IS NOT NULL"
KNOBS = MISBEHAVING | {
    "slow": 0.2, "slow_ms": 300, "cancel_unknown": 0.1, "late_cancel": 0.2, "cancels_later": True,
    "ship_ms": (100, 900), "pick_ms": (50, 300),
}  # fmt: skip


async def start(settings):
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SHIPPER, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **settings_of.environment(settings),
             "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    line = await asyncio.wait_for(child.stdout.readline(), 30)
    assert line == b"ready\n"
    return child


@asynccontextmanager
async def killing(settings):
    """Yield what kills the shipper and starts another one."""
    children = [await start(settings)]

    async def kill():
        child = children.pop()
        child.send_signal(signal.SIGKILL)
        await child.wait()
        children.append(await start(settings))

    try:
        yield kill
    finally:
        for child in children:
            child.kill()
            await child.wait()


async def kills(here, settings, pg, language, times):
    """Plan and stop orders while shippers die; return once everything has ended."""
    dice, planned = random.Random(times), 0
    async with shipping(here, language, shippers=0), killing(settings) as kill:
        for _ in range(times):
            for _ in range(6):
                planned += 1
                await here.plan(planned)
            await asyncio.sleep(dice.uniform(0.05, 0.6))
            await here.stop(dice.randint(max(1, planned - 8), planned), f"c{planned}")
            await kill()
            await pg.execute(LAPSE)
        await eventually(here.in_time, within_s=60)
    return planned


async def check(here, pg, planned):
    states, held = await here.states(), here.server.books.held
    assert len(states) == planned
    assert {one.made for one in held.values()} == {1}
    left = here.units_left()
    assert await here.units_told() == left
    for name, state in states.items():
        assert (state == "shipped") == (name in left), (name, state, held.get(name))
    stops = await pg.fetch("SELECT order_id, answer FROM stops")
    for stop in stops:
        assert stop["answer"] in {"stopped", "not_stopped"}
        assert not (stop["answer"] == "stopped" and f"{stop['order_id']}-s1" in left), stop
    sums = await pg.fetchrow("SELECT sum(committed) AS c, sum(shipped) AS s FROM stock_balances")
    assert tuple(sums) == (0, sum(left.values()))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_after_every_kill_each_consignment_exists_once(settings, database_url, pg, language):
    async with world(settings, database_url, pg, language, seed=11, **KNOBS) as here:
        await check(here, pg, await kills(here, settings, pg, language, CI))


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_fifty_kills(settings, database_url, pg, language):
    async with world(settings, database_url, pg, language, seed=12, **KNOBS) as here:
        await check(here, pg, await kills(here, settings, pg, language, LONG))


class Forgetful(Books):
    """A warehouse that begins a consignment for each create, whatever its code."""

    def create(self, code, lines, carrier, waybill, now_ms):
        known = self.held.pop(code, None)
        answered = super().create(code, lines, carrier, waybill, now_ms)
        self.held[code].made += known.made if known else 0
        return answered


async def test_control_without_a_code_that_is_known_there_are_two(settings, database_url, pg):
    """If each is made once here, too, the tests above prove nothing."""
    knobs = {"seed": 11, "reply_lost": 0.5}
    async with (
        world(settings, database_url, pg, "plain", made=Forgetful, **knobs) as here,
        shipping(here, "plain"),
    ):
        for n in range(8):
            await here.plan(n)
        await eventually(lambda: max_made(here, pg), within_s=20)


async def max_made(here, pg):
    await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
    await pg.execute("UPDATE job_breakers SET probe_at = now()")
    return max((one.made for one in here.server.books.held.values()), default=0) > 1
