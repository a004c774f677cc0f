"""A recorder that comes late to a rebuild writes nothing; were it let, units would be sold twice.

Whoever accepted the order is gone, too, so that nothing but the fence stands between.
"""

import asyncio

import pytest

from engine.assurance import store as assurance
from engine.assurance.keeper import Keeper
from engine.infra import keys, log
from engine.infra.cell import Cell, client
from engine.kernel.clock import SystemClock
from engine.orders import store as orders
from engine.orders.recorder import Recorder
from tests.fault.engines import id_of, open_sale

UNITS = 20
FENCE = "AND epoch = $6"


class Late:
    """A recorder that has read an order from a log that is about to be lost."""

    def __init__(self, api, settings, connection, redis):
        self.api, self.pool, self.redis = api, api.process.pool, redis
        self.connection = connection
        cell = Cell(redis, settings.cell, SystemClock())
        self.recorder = Recorder(
            cell, settings.database_url, SystemClock(), "late", keep_seconds=60
        )
        self.keeper = Keeper(cell, self.pool, SystemClock())

    async def read(self):
        self.epoch, self.at = await self.pool.fetchrow("SELECT epoch, last_id FROM cells")
        assert (await self.api.buy("early", ("A", 2))).status == 202
        self.entries = await log.read(self.redis, "1", self.at, 64, wait_ms=None)
        assert self.entries

    async def record(self):
        return await self.recorder.record(self.connection, self.epoch, self.at, self.entries)

    async def lose(self):
        self.api.reservations.kept.clear()
        await self.redis.flushall()

    async def recorded(self):
        return await self.pool.fetchval("SELECT count(*) FROM orders")

    async def has_it(self):
        return await self.redis.hexists(keys.of("1", "holds"), id_of("early"))

    async def sell_out(self):
        """Sell all that the cell says it has; return how many units it sold."""
        sold, refused = 0, ""
        while sold <= UNITS and refused != "sold_out":
            answer = await self.api.buy(f"after-{sold}", ("A", 1))
            assert answer.status == 202 or answer.code in {"closed", "sold_out"}, answer.document
            sold, refused = sold + (answer.status == 202), answer.code
            await asyncio.sleep(0.01)
        return sold


@pytest.fixture
async def late(here, settings, eventually):
    one = await here.api()
    await open_sale(one, A=UNITS)

    async def recorded():
        waiting = "SELECT count(*) FROM grants WHERE applied IS NULL"
        rules = "SELECT count(*) FROM cell_rules WHERE NOT applied"
        pool = one.process.pool
        return not await pool.fetchval(waiting) and not await pool.fetchval(rules)

    await eventually(recorded, within_s=20)  # nobody does it once the worker is gone
    await here.stop("worker")
    redis = client(settings.valkey_url)
    connection = await orders.recording(settings.database_url)
    yield Late(one, settings, connection, redis)
    await connection.close()
    await redis.aclose()


async def test_what_comes_after_the_snapshot_is_not_written(late):
    await late.read()
    await late.lose()
    assert await late.keeper.open(None) == ""
    assert await late.record() is None
    assert await late.recorded() == 0
    assert await late.sell_out() == UNITS


async def test_without_the_epoch_it_is_and_units_are_sold_twice(late, monkeypatch):
    """The control."""
    loose = orders.SQL["advance"].replace(FENCE, "AND $6::bigint > 0")
    assert loose != orders.SQL["advance"]
    monkeypatch.setattr(orders, "SQL", {**orders.SQL, "advance": loose})
    await late.read()
    await late.lose()
    assert await late.keeper.open(None) == ""
    assert await late.record() is not None
    assert await late.recorded() == 1
    assert await late.sell_out() + 2 > UNITS


@pytest.fixture
def paused(monkeypatch):
    """The recorder's batch stands between its first statement and its commit."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    save = orders.save

    async def slow(*args, **kwargs):
        begun.set()
        await go_on.wait()
        return await save(*args, **kwargs)

    monkeypatch.setattr(orders, "save", slow)
    return begun, go_on


async def test_a_batch_that_is_under_way_is_waited_for(late, paused):
    begun, go_on = paused
    await late.read()
    async with asyncio.TaskGroup() as tasks:
        recording = tasks.create_task(late.record())
        await begun.wait()
        await late.lose()
        opening = tasks.create_task(late.keeper.open(None))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not await late.pool.fetchval(waiting):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
        assert not opening.done()
        go_on.set()
        assert await recording is not None
        assert await opening == ""
    assert await late.has_it()
    assert await late.sell_out() + 2 == UNITS


async def test_without_the_wait_its_units_are_sold_twice(late, paused, monkeypatch):
    """The control."""
    begun, go_on = paused
    known = "SELECT epoch, last_id, identity FROM cells WHERE cell = $1"
    monkeypatch.setattr(assurance, "SQL", {**assurance.SQL, "next_epoch": known})
    await late.read()
    async with asyncio.TaskGroup() as tasks:
        recording = tasks.create_task(late.record())
        await begun.wait()
        await late.lose()
        opening = tasks.create_task(late.keeper.open(None))
        while await late.redis.hget(keys.of("1", "cell"), "phase") not in {b"restoring", b"open"}:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        go_on.set()
        assert await recording is not None
        assert await opening == ""
    assert await late.recorded() == 1
    assert not await late.has_it()
    assert await late.sell_out() + 2 > UNITS
