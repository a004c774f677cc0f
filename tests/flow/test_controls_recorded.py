"""A pause or a move that was answered outlives the cell: Postgres has it by then."""

import asyncio

import pytest

from engine.inventory.service import controls
from tests.fault.engines import CHANNEL, open_sale
from tests.fault.marketplace import put

PAUSE = "/v1/skus/A/pause"
POLICY = {"sku": "tea", "shared": 5, "channels": [{"channel": CHANNEL, "quota": 5}]}
MOVE = {
    "move_id": "m1",
    "sku": "tea",
    "from": {},
    "to": {"channel": CHANNEL},
    "units": 3,
}


@pytest.fixture
async def slow(here, eventually):
    """A shop whose recorder stands still."""
    api = await here.api()
    await open_sale(api, A=20)
    await put(api, "/v1/skus/tea", {"name": "Tea"})
    await put(api, "/v1/supply-policies/tea", POLICY)

    async def granted():
        return await api.process.pool.fetchval("SELECT sum(granted) FROM pools") == 30

    await eventually(granted, within_s=20)
    await here.stop("worker")
    return api


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        (PAUSE, {}, "SELECT count(*) FROM pauses"),
        ("/v1/pools:move", MOVE, "SELECT count(*) FROM moves_done WHERE move_id ~ 'm1'"),
    ],
)
async def test_it_is_answered_when_postgres_has_it(slow, here, monkeypatch, path, body, asked):
    monkeypatch.setattr(controls, "_RECORDED_WITHIN_S", 30.0)
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(slow.call("POST", path, body))
        await asyncio.sleep(0.3)
        assert not answering.done()
        await here.worker("recorder", name="recorder")
    answer = answering.result()
    assert answer.status == 200, answer.document
    await here.stop("recorder")
    assert await slow.process.pool.fetchval(asked) == 1


async def test_one_that_met_another_opening_says_so_and_is_done_when_asked_again(
    slow, here, eventually, monkeypatch
):
    monkeypatch.setattr(controls, "_RECORDED_WITHIN_S", 30.0)
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(slow.call("POST", PAUSE, {}))
        await asyncio.sleep(0.3)
        await slow.cell.redis.flushall()
        await here.worker(name="worker again")
    assert answering.result().code == "outcome_unknown"

    async def paused():
        return (await slow.call("POST", PAUSE, {})).status == 200

    await eventually(paused, within_s=20)
    assert (await slow.buy("1")).code == "paused"


async def test_a_sale_is_stopped_also_while_nothing_is_recorded(slow):
    answer = await slow.call("POST", PAUSE, {})
    assert answer.status == 200, answer.document
    assert (await slow.buy("1")).code == "paused"
