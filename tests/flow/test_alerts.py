"""What of stock a person should look at: raised by a worker, listed, told as events, and over."""

import pytest

from engine.alerts.service.watching import QUICK, SLOW, look
from engine.inventory.service import selling
from engine.kernel.errors import Overloaded
from tests.fault.engines import ADMIN, house
from tests.fault.marketplace import TMALL, line, snapshot, sync

CAMPAIGN = {
    "name": "sale",
    "starts_at": "2020-01-01T00:00:00Z",
    "ends_at": "2099-01-01T00:00:00Z",
    "skus": [{"sku": "tea", "quota": {"mall": 4}}],
}

COUNT = {
    "report": "r",
    "node": "N",
    "basis": "on_hand",
    "as_of": "2026-01-02T00:00:00Z",
    "lines": [{"sku": "tea", "quantity": 3, "batch": "b", "produced_on": "2025-01-01"}],
}


@pytest.fixture
async def api(settings):
    async with house(settings) as here:
        await here.worker()
        one = await here.api()
        await put(one, "/v1/skus/tea", {"name": "Tea"})
        await put(one, "/v1/channels/mall", {"name": "mall"})
        await put(one, f"/v1/channels/{TMALL}", {"name": "Tmall", "authority": "external"})
        yield one


async def put(api, path, body, status=201, **headers):
    answer = await api.call("PUT", path, body, **headers)
    assert answer.status == status, answer.document
    return answer.document


async def alerts(api, query="", key=ADMIN):
    answer = await api.call("GET", f"/v1/stock:alerts{query}", Authorization=f"Bearer {key}")
    assert answer.status == 200, answer.document
    return answer.document["items"]


async def said(api):
    """Kinds of the standing alerts, with what is needed to tell them apart."""
    return [
        (one["kind"], one["sku"] or one["node"] or one["item_id"], one["value"], one["rule"])
        for one in await alerts(api)
    ]


def becomes(api, *want):
    async def is_so():
        assert sorted(await said(api)) == sorted(want)
        return True

    return is_so


async def test_few_then_none_then_some_again(api, eventually, pg):
    await put(api, "/v1/alert-rules/few", {"kind": "low", "units": 3, "match": {"sku": "tea"}})
    await put(api, "/v1/campaigns/sale", CAMPAIGN)
    orders = [await api.buy("1", ("tea", 2), campaign="sale", channel="mall")]
    await eventually(becomes(api, ("low", "tea", 2, "few")), within_s=20)
    orders.append(await api.buy("2", ("tea", 2), campaign="sale", channel="mall"))
    await eventually(becomes(api, ("sold_out", "tea", 0, "")), within_s=20)
    for answer in orders:
        assert answer.status == 202
        await api.cancel(answer.document["order_id"], "c")
    await eventually(becomes(api), within_s=20)
    over = await alerts(api, "?standing=false&channel=mall&kind=low")
    assert len(over) == 1
    assert over[0]["until"] >= over[0]["since"]
    events = await pg.fetch("SELECT kind, data->>'kind' AS what FROM events ORDER BY xid, id")
    told = [(row["kind"], row["what"]) for row in events if row["kind"].startswith("stock_alert")]
    assert told[:2] == [("stock_alert", "low"), ("stock_alert", "sold_out")]
    assert sorted(told[2:]) == [("stock_alert_over", "low"), ("stock_alert_over", "sold_out")]


async def quiet(api):
    """A whole look that began from now on has told nothing."""
    async with api.process.pool.acquire() as db:
        await look(api.process, db, QUICK)
    assert await said(api) == []


async def test_a_campaign_that_does_not_run_is_not_sold_out(api, eventually, pg):
    later = CAMPAIGN | {
        "starts_at": "2098-01-01T00:00:00Z", "skus": [{"sku": "tea"}], "channels": ["mall"],
        "waves": [{"at": "2098-02-01T00:00:00Z", "sku": "tea", "quota": {"mall": 4}}],
    }  # fmt: skip
    await put(api, "/v1/supply-policies/tea", {"sku": "tea", "shared": 9, "channels": [
        {"channel": "mall"}]})  # fmt: skip
    await put(api, "/v1/campaigns/sale", later)
    sql = "SELECT count(*) = 3 AND sum(available) = 9 FROM pools"
    await eventually(lambda: pg.fetchval(sql), within_s=20)
    await quiet(api)
    # what was sold out when it ended needs nobody any more
    await pg.execute("UPDATE campaigns SET starts_at = now() - interval '1 day'")
    await eventually(becomes(api, ("sold_out", "tea", 0, "")), within_s=20)
    await pg.execute("UPDATE campaigns SET ends_at = now() - interval '1 hour', returns = false")
    await eventually(becomes(api), within_s=20)


async def test_what_a_channel_sells_no_more_is_not_sold_out(api, eventually, pg):
    policy = {"sku": "tea", "shared": 9, "channels": [{"channel": "mall", "quota": 3}]}
    await put(api, "/v1/supply-policies/tea", policy)
    sql = "SELECT sum(available) = $1 FROM pools"
    await eventually(lambda: pg.fetchval(sql, 12), within_s=20)
    etag = (await api.call("GET", "/v1/supply-policies/tea")).headers["ETag"]
    nobody = policy | {"channels": []}
    await put(api, "/v1/supply-policies/tea", nobody, status=200, If_Match=etag)
    await eventually(lambda: pg.fetchval(sql, 9), within_s=20)
    await quiet(api)


async def test_while_the_cell_is_away_the_rest_is_still_measured(api, eventually, pg, monkeypatch):
    await put(api, "/v1/campaigns/sale", CAMPAIGN)
    await api.buy("1", ("tea", 4), campaign="sale", channel="mall")
    await eventually(becomes(api, ("sold_out", "tea", 0, "")), within_s=20)

    async def away(*_args):
        raise Overloaded("away")

    monkeypatch.setattr(selling, "scarce", away)
    await pg.execute("UPDATE pools SET owed = 1 WHERE sku = 'tea'")
    async with api.process.pool.acquire() as db:
        await look(api.process, db, QUICK)
    assert sorted(await said(api)) == [("owed", "tea", 1, ""), ("sold_out", "tea", 0, "")]
    await pg.execute("UPDATE pools SET owed = 0 WHERE sku = 'tea'")


async def test_what_was_never_for_sale_is_not_sold_out(api, eventually):
    await put(api, "/v1/supply-policies/tea", {"sku": "tea", "channels": [{"channel": "mall"}]})
    (told,) = await sync(api, snapshot("7", 1, "paid", line("cup")))
    assert told["blocks"] == ["unmapped_sku"]
    await eventually(becomes(api, ("unmapped_listing", "cup", 1, "")), within_s=20)


async def test_units_owed_are_told_until_they_are_there(api, eventually):
    policy = {"sku": "tea", "channels": [{"channel": TMALL, "quota": 1}]}
    await put(api, "/v1/supply-policies/tea", policy)
    await put(api, "/v1/alert-rules/quiet", {"kind": "sold_out", "enabled": False})
    (told,) = await sync(api, snapshot("7", 1, "paid", line("tea", 4)))
    assert told["short"][0]["quantity"] == 3
    await eventually(becomes(api, ("owed", "tea", 3, "")), within_s=20)
    policy["channels"][0]["quota"] = 9
    await put(api, "/v1/supply-policies/tea", policy, 200, If_Match='"1"')
    await eventually(becomes(api), within_s=20)


async def test_a_node_that_falls_silent_and_goods_that_lie(api, eventually, pg):
    await put(api, "/v1/nodes/N", {"name": "N"})
    answer = await api.call("POST", "/v1/inventory/counts", COUNT)
    assert answer.status == 200, answer.document
    await put(api, "/v1/alert-rules/feed", {"kind": "stale_feed", "seconds": 3_600})
    await pg.execute("UPDATE stock_feeds SET heard_at = now() - interval '2 hours'")

    async def silent():
        found = [one for one in await alerts(api) if one["kind"] == "stale_feed"]
        assert [(one["node"], one["value"] >= 7_200) for one in found] == [("N", True)]
        return True

    await eventually(silent, within_s=20)
    movement = {"reference": "m", "kind": "receipt",
                "lines": [{"node": "N", "sku": "tea", "quantity": 1}]}  # fmt: skip
    assert (await api.call("POST", "/v1/inventory/movements", movement)).status == 200
    await eventually(becomes(api), within_s=20)


async def test_what_lies_too_long_or_is_not_bought(api, pg):
    await put(api, "/v1/nodes/N", {"name": "N"})
    assert (await api.call("POST", "/v1/inventory/counts", COUNT)).status == 200
    await put(api, "/v1/alert-rules/old", {"kind": "aging", "days": 90, "match": {"sku": "tea"}})
    await put(api, "/v1/alert-rules/slow", {"kind": "slow_mover", "days": 7})
    await put(api, "/v1/supply-policies/tea", {"sku": "tea", "channels": [{"channel": "mall"}]})
    await look(api.process, pg, SLOW)
    assert [(kind, sku) for kind, sku, _, _ in await said(api)] == [("aging", "tea")]
    await pg.execute("UPDATE stock_sales SET since = now() - interval '8 days'")
    await look(api.process, pg, SLOW)
    assert ("slow_mover", "tea", 8, "slow") in await said(api)
    await pg.execute("UPDATE pools SET sold = sold + 1, granted = granted + 1")
    await look(api.process, pg, SLOW)
    assert [kind for kind, *_ in await said(api)] == ["aging"]


async def test_what_no_channel_sells_is_not_bought_either(api, pg):
    await put(api, "/v1/nodes/N", {"name": "N"})
    assert (await api.call("POST", "/v1/inventory/counts", COUNT)).status == 200
    await put(api, "/v1/alert-rules/slow", {"kind": "slow_mover", "days": 7})
    await look(api.process, pg, SLOW)
    await pg.execute("UPDATE stock_sales SET since = now() - interval '8 days'")
    await look(api.process, pg, SLOW)
    assert await said(api) == [("slow_mover", "tea", 8, "slow")]


async def test_rules_over_http(api):
    path, body = "/v1/alert-rules/r", {"kind": "low", "units": 3}
    first = await put(api, path, body)
    assert (first["rule"], first["version"], first["severity"]) == ("r", 1, "warning")
    assert (await put(api, path, body, 200))["version"] == 1
    refusal = await put(api, path, {"kind": "low"}, 400)
    assert [one["pointer"] for one in refusal["errors"]] == ["/units"]
    assert (await api.call("GET", path)).document == first
    assert (await api.call("GET", "/v1/alert-rules")).document["items"] == [first]
    assert (await api.call("GET", "/v1/alert-rules/none")).status == 404
    for query in ("kind=x", "severity=x", "standing=x"):
        assert (await api.call("GET", f"/v1/stock:alerts?{query}")).status == 400
