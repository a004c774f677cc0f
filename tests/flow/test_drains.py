"""Moves out of a marketplace's pool: asked for, confirmed by its shop, done or refused."""

from dataclasses import replace

import msgspec
import pytest

from engine.infra import postgres
from engine.inventory.types import Dimensions
from engine.publications.service import draining
from tests.conftest import eventually
from tests.fault.engines import certificate, house
from tests.fault.marketplace import TMALL, line, open_shops, pools_of, snapshot, synced
from tests.flow.test_publications import LINKS, acked, becomes, listed, page, settled, told

QUOTAS = {"sku": "A", "shared": 0, "channels": [
    {"channel": TMALL, "quota": 100}, {"channel": "mall", "quota": 10},
]}  # fmt: skip
MOVE = {"move_id": "m1", "sku": "A", "units": 40, "from": {"channel": TMALL},
        "to": {"channel": "mall"}}  # fmt: skip


async def opened(api):
    await open_shops(api, ({"channel": TMALL}, {"channel": "mall", "authority": "gate"}), A=0)
    before = await api.call("GET", "/v1/supply-policies/A")
    etag = before.headers["ETag"]
    answer = await api.call("PUT", "/v1/supply-policies/A", QUOTAS, If_Match=etag)
    assert answer.status == 200, answer.document
    await eventually(lambda: granted(api, 110), within_s=20)
    await listed(api, *LINKS)
    await settled(api, lag_seconds=0)
    await becomes(api, one=100, pair=50)
    await acked(api)


async def granted(api, units):
    return sum(one[0] for one in (await pools_of(api)).values()) == units


@pytest.fixture
async def api(here):
    one = await here.api()
    await opened(one)
    return one


async def free(api):
    names = {
        row["pool_id"]: row["channel"]
        for row in await api.process.pool.fetch("SELECT pool_id, channel FROM pools")
    }
    return {names[pool]: one[2] for pool, one in (await pools_of(api)).items()}


async def asked(api, status=202, **changed):
    answer = await api.call("POST", "/v1/pools:move", MOVE | changed)
    assert answer.status == status, answer.document
    return answer.document


async def stands(api, state, move_id="m1"):
    async def it_does():
        found = (await api.call("GET", f"/v1/pools:move/{move_id}")).document
        assert found["state"] == state, found
        return found

    return await eventually(it_does, within_s=10)


async def events(api):
    rows = await api.process.pool.fetch(
        "SELECT kind, data FROM events WHERE kind LIKE 'drain%' ORDER BY at, id"
    )
    return [(row["kind"], msgspec.json.decode(row["data"])["reason"]) for row in rows]


async def test_units_leave_only_after_every_listing_confirmed_the_lower_number(api):
    first = await asked(api)
    assert (first["state"], first["units"], first["reason"]) == ("requested", 40, "")
    found = await stands(api, "draining")
    assert [one["confirmed"] for one in found["listings"]] == [False, False]
    await becomes(api, one=60, pair=30)
    (one, pair) = await page(api, pending="true")
    ack = {"item_id": "1", "sku_id": "one", "number": one["number"], "accepted": True}
    await told(api, "ack", ack)
    found = (await api.call("GET", "/v1/pools:move/m1")).document
    assert [one["confirmed"] for one in found["listings"]] == [True, False]
    assert await free(api) == {"": 0, TMALL: 100, "mall": 10}, "one of two is not enough"
    assert await asked(api) == found, "asked again it is the same"
    await told(api, "ack", ack | {"sku_id": "pair", "number": pair["number"]})
    found = await stands(api, "done")
    assert found["ended_at"] is not None
    assert await free(api) == {"": 0, TMALL: 60, "mall": 50}
    assert await shown_after(api) == {"one": 60, "pair": 30}
    assert (await asked(api, 200))["state"] == "done"
    other = await api.call("POST", "/v1/pools:move", MOVE | {"units": 1})
    assert (other.status, other.code) == (422, "idempotency_conflict")
    assert await events(api) == [("drain_requested", ""), ("drain_done", "")]
    await certificate(api)


async def shown_after(api):
    """What is shown once nothing is left to look at."""
    waiting = "SELECT count(*) = 0 FROM publication_changes"
    await eventually(lambda: api.process.pool.fetchval(waiting))
    return {one["sku_id"]: one["published"] for one in await page(api)}


async def test_a_refusal_puts_the_number_back_and_moves_nothing(api):
    await asked(api)
    await becomes(api, one=60, pair=30)
    (one, _) = await page(api, pending="true")
    await told(api, "ack", {"item_id": "1", "sku_id": "one", "number": one["number"],
                            "accepted": False, "reason": "promotion"})  # fmt: skip
    found = await stands(api, "refused")
    assert (found["reason"], found["told"]) == ("not_reducible", "promotion")
    await becomes(api, one=100, pair=50)
    assert await free(api) == {"": 0, TMALL: 100, "mall": 10}
    assert (await events(api))[-1] == ("drain_refused", "not_reducible")
    assert (await asked(api))["state"] == "refused"


async def test_a_listing_known_as_irreducible_refuses_at_once(api):
    await settled(api, lag_seconds=0, reducible=False)
    found = await asked(api)
    assert (found["state"], found["reason"]) == ("refused", "not_reducible")
    assert await free(api) == {"": 0, TMALL: 100, "mall": 10}


async def test_what_is_sold_meanwhile_refuses_a_move_of_it(api):
    assert (await api.call("POST", "/v1/pools:move", MOVE | {"units": 101})).code == "short"
    await asked(api, units=90)
    await stands(api, "draining")
    short = await api.call("POST", "/v1/pools:move", MOVE | {"move_id": "m2", "units": 11})
    assert (short.status, short.document["available"]) == (409, 10), "what leaves is promised"
    await synced(api, snapshot("t1", 1, "paid", line(quantity=11)))
    found = await stands(api, "refused")
    assert found["reason"] == "short"
    await becomes(api, one=89, pair=44)


async def test_what_the_shop_still_shows_stays_covered(api):
    """It confirmed 60, and meanwhile an order came in: 60 more would not be there."""
    await asked(api)
    await becomes(api, one=60, pair=30)
    rows = await page(api, pending="true")
    await synced(api, snapshot("t1", 1, "paid", line(quantity=3)))
    await becomes(api, one=57, pair=28)
    acks = [{"item_id": "1", "sku_id": one["sku_id"], "number": one["number"], "accepted": True}
            for one in rows]  # fmt: skip
    assert [one["result"] for one in await told(api, "ack", *acks)] == ["superseded"] * 2
    found = (await api.call("GET", "/v1/pools:move/m1")).document
    assert [one["confirmed"] for one in found["listings"]] == [True, True]
    assert found["state"] == "draining"
    await acked(api)
    await stands(api, "done")
    assert await free(api) == {"": 0, TMALL: 57, "mall": 50}


async def test_a_shop_that_says_nothing_keeps_its_units(settings):
    async with house(replace(settings, move_seconds=1)) as here:
        await here.worker()
        api = await here.api()
        await opened(api)
        await asked(api)
        found = await stands(api, "refused")
        assert found["reason"] == "timed_out"
        await becomes(api, one=100, pair=50)
        assert await free(api) == {"": 0, TMALL: 100, "mall": 10}


async def test_the_lag_of_a_listing_is_waited_for(api):
    await settled(api, lag_seconds=1.5)
    await asked(api)
    await becomes(api, one=60, pair=30)
    await acked(api)
    found = await stands(api, "done")
    assert found["state"] == "done"
    waited = "SELECT extract(epoch FROM ended_at - draining_at)::float8 FROM drains"
    assert await api.process.pool.fetchval(waited) >= 1.5


@pytest.mark.parametrize("asked_cell", [False, True])
async def test_a_killed_worker_goes_on_and_moves_once(here, api, asked_cell):
    """Whether or not the cell was asked before it died: only the cell can say what was done."""
    await asked(api)
    await becomes(api, one=60, pair=30)
    await here.stop("worker")
    await acked(api)
    pool = api.process.pool
    if asked_cell:
        await pool.execute("UPDATE drains SET moving = true")
        row = await pool.fetchrow("SELECT source, target FROM drains")
        claim = ["main\x1fm1", row["source"], row["target"], 40, 0, "moved"]
        reply = await api.cell.call("move", [claim])
        assert reply.results[0][0] == "MOVED"
        await pool.execute("UPDATE drains SET deadline = now() - interval '1 minute'")
    await here.worker(name="worker-2")
    await stands(api, "done")
    assert await free(api) == {"": 0, TMALL: 60, "mall": 50}
    await certificate(api)


async def test_gates_and_unlisted_pools_move_at_once(api):
    back = {"from": {"channel": "mall"}, "to": {"channel": TMALL}, "units": 5}
    assert (await asked(api, 200, **back))["state"] == "done"
    await becomes(api, one=105, pair=52)
    answer = await api.call("DELETE", f"/v1/listings?channel={TMALL}&item_id=1&sku_id=one")
    assert answer.status == 200
    answer = await api.call("DELETE", f"/v1/listings?channel={TMALL}&item_id=1&sku_id=pair")
    assert answer.status == 200
    assert (await asked(api, 200, move_id="m2"))["state"] == "done"
    assert await free(api) == {"": 0, TMALL: 65, "mall": 45}
    assert (await api.call("GET", "/v1/pools:move/none")).status == 404


async def test_the_engine_drains_towards_the_shared_pool_by_itself(api, settings):
    pool = Dimensions("main", "main", "A", TMALL)
    owner = await api.process.pool.fetchval("SELECT owner FROM pools LIMIT 1")
    connection = await postgres.connect(settings.database_url)
    try:
        async with connection.transaction():
            first = await draining.drain(connection, pool._replace(owner=owner), 20, "policy")
            again = await draining.drain(connection, pool._replace(owner=owner), 30, "policy")
            nowhere = await draining.drain(connection, pool._replace(sku="Z"), 1, "policy")
    finally:
        await connection.close()
    assert first == again
    assert nowhere is None
    await becomes(api, one=80, pair=40)
    await acked(api)
    await stands(api, "done", first)
    assert await free(api) == {"": 20, TMALL: 80, "mall": 10}
    assert await events(api) == [("drain_requested", "policy"), ("drain_done", "")]
