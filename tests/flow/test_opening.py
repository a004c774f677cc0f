"""A cell opens by itself after a clean restart; anything else stays closed and says why."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.assurance.keeper import Keeper
from engine.assurance.store import SQL
from engine.infra import keys
from engine.infra.cell import Cell, client
from engine.infra.servers import ports
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Misconfigured
from tests.fault.engines import certificate, id_of, open_sale
from tests.lua.builders import AVAILABLE, GRANTED

CELL = keys.of("1", "cell")
OPENS_WITHIN_S = 3  # the bar is 1 s on a quiet machine


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=100)
    for number in ("1", "2", "3"):
        assert (await one.buy(number)).status == 202
    await one.pay(id_of("2"), "p", 100)
    await certificate(one)
    return one


async def restart(redis):
    """What every script takes for another run of the server: nothing was lost."""
    await redis.hset(CELL, "run_id", "another")


async def readyz(api):
    answer = await api.client.get("/readyz")
    return answer.status, (await answer.json())["missing"].get("cell", "")


async def opens(api):
    return (await readyz(api))[0] == 200


async def test_a_clean_restart_opens_by_itself(api, servers, eventually):
    epoch = api.cell.epoch
    before = (await api.order(id_of("1"))).document
    servers.kill("valkey")
    url = servers.settings.valkey_url
    await eventually(lambda: ports.valkey_answers(url), within_s=20)
    begun = time.monotonic()

    async def sells():
        return (await api.buy("1")).status == 200

    await eventually(sells, within_s=20)
    assert time.monotonic() - begun < OPENS_WITHIN_S
    assert api.cell.epoch > epoch

    async def ready():
        assert await readyz(api) == (200, "")
        return True

    await eventually(ready)
    assert (await api.buy("4")).status == 202
    assert before["status"] == (await api.order(id_of("1"))).document["status"]
    await certificate(api)


@pytest.fixture
async def keeper(api, here, settings):
    """A keeper that opens when a test says so, after everything else has stopped."""
    await here.stop("worker")
    redis = client(settings.valkey_url)
    one = Keeper(Cell(redis, settings.cell, SystemClock()), api.process.pool, SystemClock())
    yield one
    await redis.aclose()


async def log_cut(redis, _pg):
    await redis.hset(CELL, "trimmed_to", "9999999999999-0")


async def pool_wrong(redis, _pg):
    await tamper(redis, AVAILABLE)


async def tamper(redis, *accounts):
    """Add a unit to accounts of the only pool in the cell, behind everybody's back."""
    ((pool_id, packed),) = (await redis.hgetall(keys.of("1", "pools"))).items()
    pool = msgspec.msgpack.decode(packed)
    for account in accounts:
        pool[account] += 1
    await redis.hset(keys.of("1", "pools"), pool_id, msgspec.msgpack.encode(pool))
    return pool_id, packed


REASONS = {
    "its log was cut": (log_cut, "the log was cut at 9999999999999-0, but Postgres stands at "),
    "its pools are wrong": (pool_wrong, "pools do not add up in the cell: "),
}


@pytest.mark.parametrize(("sabotage", "sentence"), REASONS.values(), ids=REASONS)
async def test_each_reason_to_stay_closed_is_told(api, keeper, pg, eventually, sabotage, sentence):
    await restart(api.cell.redis)
    await sabotage(api.cell.redis, pg)
    reason = await keeper.open(await api.cell.refresh())
    assert reason.startswith(sentence)
    assert await pg.fetchval("SELECT closed_reason FROM cells") == reason
    assert (await api.buy("4")).code == "closed"
    status, told = await readyz(api)
    assert status == 503
    assert told == f"the cell is closed: {reason}"
    await eventually(lambda: not api.cell.is_open)


async def test_the_cell_of_another_database_is_not_touched(api, keeper, pg):
    await pg.execute("UPDATE cells SET identity = 'another'")
    before = await api.cell.redis.hgetall(CELL)
    with pytest.raises(Misconfigured, match="another database"):
        await keeper.open(await api.cell.refresh())
    assert await api.cell.redis.hgetall(CELL) == before


async def lease(pg, seconds):
    await pg.execute(
        "INSERT INTO leases (process, until) VALUES ('other', now() + $1)"
        " ON CONFLICT (process) DO UPDATE SET until = excluded.until",
        timedelta(seconds=seconds),
    )


@pytest.mark.parametrize("ends", ["it reported", "it died"])
async def test_opening_waits_for_a_living_process(api, keeper, pg, eventually, ends):
    await lease(pg, 60)
    await restart(api.cell.redis)
    opening = asyncio.get_running_loop().create_task(keeper.open(await api.cell.refresh()))

    async def only_the_other_is_waited_for():
        epoch = await pg.fetchval("SELECT epoch FROM cells")
        rows = await pg.fetch(SQL["waited_for"], epoch)
        return [row["process"] for row in rows] == ["other"]

    await eventually(only_the_other_is_waited_for)
    for _ in range(20):
        assert (await api.buy("4")).code == "closed"
    assert not opening.done()
    if ends == "it died":
        await lease(pg, -1)
    else:
        await pg.execute("UPDATE leases SET restored_epoch = 1000 WHERE process = 'other'")
    assert await asyncio.wait_for(opening, 5) == ""
    await eventually(lambda: opens(api))


async def test_opening_does_not_wait_for_the_dead(api, keeper, pg, eventually):
    await lease(pg, -1)
    await restart(api.cell.redis)
    begun = time.monotonic()
    assert await keeper.open(await api.cell.refresh()) == ""
    assert time.monotonic() - begun < OPENS_WITHIN_S
    await eventually(lambda: opens(api))


async def test_deadlines_within_the_closed_time_move_by_it(here, settings, eventually):
    """The one that came while it was closed moves, by all of it; a later one stays."""
    api = await here.api()
    await open_sale(api, hold_s=2, grace_s=60, A=9)
    later = {"payment": {"status": "pending", "method": "bank_transfer"}}
    before = [(await api.buy("1")).document, (await api.buy("2", **later)).document]
    await here.stop("worker")
    redis = api.cell.redis
    await restart(redis)
    due = _instant(before[0]["pay_by"])
    await eventually(lambda: datetime.now(UTC) > due, within_s=10)
    opener = client(settings.valkey_url)
    keeper = Keeper(Cell(opener, settings.cell, SystemClock()), api.process.pool, SystemClock())
    assert await keeper.open(await api.cell.refresh()) == ""
    await opener.aclose()
    await eventually(lambda: opens(api))
    moved, stayed = [
        _instant((await api.buy(number, **fields)).document["pay_by"])
        for number, fields in (("1", {}), ("2", later))
    ]
    entries = await redis.xrevrange(keys.of("1", "log"), count=20)
    events = [event for _, named in entries for event in msgspec.msgpack.decode(named[b"e"])]
    opened = next(event for event in events if event[:2] == ["O", "opened"])
    closed_for = timedelta(milliseconds=opened[7] - opened[6])
    assert timedelta(seconds=1) < closed_for < timedelta(seconds=20)
    assert moved - due == closed_for
    assert stayed == _instant(before[1]["pay_by"])


def _instant(text):
    return datetime.fromisoformat(text)


async def test_a_difference_found_after_opening_closes_the_cell_again(api, pg, eventually):
    await pg.execute("UPDATE pools SET granted = granted + 1, available = available + 1")
    assert await opens(api)
    await restart(api.cell.redis)

    async def closed():
        return (await readyz(api))[1].startswith("the cell is closed: cell and Postgres differ")

    await eventually(closed, within_s=15)
    assert (await readyz(api))[1].endswith("about A mall")
    assert (await api.buy("4")).code == "closed"
    assert "differ about A mall" in await pg.fetchval("SELECT closed_reason FROM cells")


async def test_a_difference_in_the_cell_that_adds_up_closes_it_as_well(api, eventually):
    await tamper(api.cell.redis, GRANTED, AVAILABLE)
    await restart(api.cell.redis)

    async def closed():
        return "differ about A mall" in (await readyz(api))[1]

    await eventually(closed, within_s=15)
