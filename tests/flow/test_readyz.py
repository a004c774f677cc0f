"""What `/readyz` says of a process that cannot take orders, and of what waits for a person."""

import asyncio

import pytest

from engine.infra import keys
from engine.infra.http import ready
from tests.fault.engines import certificate, open_sale

CELL = keys.of("1", "cell")


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=100)
    assert (await one.buy("1")).status == 202
    await certificate(one)
    return one


async def missing(api):
    """What is missing, by name; an answer of 503 and nothing else goes with it."""
    answer = await api.client.get("/readyz")
    document = await answer.json()
    assert (answer.status == 200) == document["ready"] == (not document["missing"])
    return document["missing"]


async def test_an_emptied_cell_comes_back_by_itself(api, eventually):
    assert await missing(api) == {}
    epoch = api.cell.epoch
    await api.cell.redis.flushall()

    async def is_back():
        assert api.cell.epoch > epoch
        assert await missing(api) == {}
        return True

    await eventually(is_back, within_s=30)


async def test_a_cell_whose_log_was_cut_too_far_says_so(api, pg, eventually):
    assert await missing(api) == {}
    cut = {"trimmed_to": "99999999999999-0", "run_id": "another"}
    await api.cell.redis.hset(CELL, mapping=cut)

    async def refused():
        return await pg.fetchval("SELECT closed_reason FROM cells")

    reason = await eventually(refused, within_s=15)
    assert "99999999999999-0" in reason

    async def is_told():
        assert await missing(api) == {"cell": f"the cell is closed: {reason}"}
        return True

    await eventually(is_told)


async def test_an_emptied_cell_that_nobody_looked_at_was_not_never_opened(here, api):
    await here.stop("worker")
    await api.cell.redis.flushall()
    told = (await missing(api))["cell"]
    assert told == "the cell is empty, though it was open before: is a worker running?"


async def test_a_cell_that_was_never_opened_says_so(here, api, pg):
    await here.stop("worker")
    await api.cell.redis.flushall()
    await pg.execute("UPDATE cells SET opened_at = NULL")
    assert await missing(api) == {"cell": "the cell was never opened: is a worker running?"}


async def test_a_call_that_never_returns_is_noticed(api, eventually, monkeypatch):
    monkeypatch.setattr(ready, "STUCK_AFTER_S", 0.2)
    answer = asyncio.Event()
    call = api.cell.call

    async def hang(script, *arguments, **named):
        if script == "reserve":
            await answer.wait()
        return await call(script, *arguments, **named)

    monkeypatch.setattr(api.cell, "call", hang)
    buying = asyncio.get_running_loop().create_task(api.buy("2"))

    async def noticed():
        told = await missing(api)
        assert set(told) <= {"batches"}
        return told.get("batches", "").startswith("reserve: a call has been under way for ")

    await eventually(noticed)
    answer.set()
    assert (await buying).status == 202
    assert await missing(api) == {}


@pytest.mark.parametrize("name", ["reserve", "confirm", "release"])
async def test_a_loop_that_has_ended_is_noticed(api, eventually, name):
    """A task group lets a child that was cancelled go without a word."""
    (loop,) = [
        task
        for task in asyncio.all_tasks()
        if task.get_coro().cr_frame.f_locals.get("self") is getattr(api.reservations, f"_{name}")
    ]
    loop.cancel()

    async def noticed():
        return await missing(api) == {"batches": f"{name}: its loop has ended"}

    await eventually(noticed)


async def test_a_document_that_cannot_be_planned_is_shown_and_stops_nothing(api, pg, eventually):
    await pg.execute(
        "INSERT INTO campaigns"
        " (tenant, campaign, version, document, actor, starts_at, ends_at, returns)"
        " VALUES ('main', 'bad', 1, '{}', 'test', now(), now(), true)"
    )
    policy = {"sku": "A", "shared": 5, "channels": [{"channel": "mall"}]}
    assert (await api.call("PUT", "/v1/supply-policies/a", policy)).status == 201

    async def published():
        return (await api.call("GET", "/v1/supply-policies/a")).document["published"]

    async def noted():
        answer = await api.client.get("/readyz")
        return (answer.status, (await answer.json()).get("noted")) == (
            200,
            {"documents": "campaign bad, version 1, cannot be planned: /name: is required"},
        )

    await eventually(published, within_s=20)
    await eventually(noted, within_s=20)
    assert (await api.buy("2", campaign="")).status == 202
    await pg.execute("DELETE FROM campaigns WHERE campaign = 'bad'")
    assert "noted" not in await (await api.client.get("/readyz")).json()


async def test_a_channel_that_cannot_be_read_stops_no_other(api, pg, eventually):
    """What was written by hand, or by a release that took more, waits for a person alone."""
    assert (await api.call("PUT", "/v1/channels/bad", {"name": "Bad"})).status == 201
    await pg.execute(
        "UPDATE channels SET document = document || '{\"hold_seconds\": -5}', version = version + 1"
        " WHERE channel = 'bad'"
    )
    assert (await api.call("PUT", "/v1/channels/good", {"name": "Good"})).status == 201

    async def published():
        return (await api.call("GET", "/v1/channels/good")).document["published"]

    async def noted():
        return (await (await api.client.get("/readyz")).json()).get("noted")

    await eventually(published, within_s=20)
    await eventually(noted, within_s=20)
    reason = "channel bad, version 2, cannot be planned: /hold_seconds: Expected `int` >= 1"
    assert await noted() == {"documents": reason}
