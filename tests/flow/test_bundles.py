"""Bundles: sold as one line, held as their components, and for ever what they were when sold."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from engine.catalogue.registry import BUNDLES
from engine.infra import keys
from engine.inventory.service import selling
from tests.conftest import eventually
from tests.fault.engines import CHANNEL, an_order, certificate, id_of
from tests.fault.marketplace import TMALL, line, put, recorded, snapshot, sync, synced
from tests.fault.marketplace import id_of as tmall_id

SET = [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}]


async def amend(api, sku, components, status=200):
    """Change what a bundle stands for, and wait until the process has heard of it."""
    before = await api.call("GET", f"/v1/skus/{sku}")
    body = {"name": sku, "components": components}
    answer = await api.call("PUT", f"/v1/skus/{sku}", body, If_Match=before.headers["ETag"])
    assert answer.status == status, answer.document
    if status == 200:
        await known_components(api, sku, components)
    return answer.document


async def known_components(api, sku, components):
    bundles = api.client.server.app[BUNDLES]
    wanted = tuple((one["sku"], one["quantity"]) for one in components)
    await eventually(lambda: bundles.of("main").get(sku, ()) == wanted, within_s=20)


@pytest.fixture
async def api(here):
    one = await here.api()
    one.house = here
    await put(one, f"/v1/channels/{CHANNEL}", {"name": "Mall"})
    await put(one, f"/v1/channels/{TMALL}", {"name": "Tmall", "authority": "external"})
    for sku, units in {"A": 10, "B": 5, "C": 20}.items():
        await put(one, f"/v1/skus/{sku}", {"name": sku})
        channels = [{"channel": name, "quota": 0} for name in (CHANNEL, TMALL)]
        body = {"sku": sku, "shared": units, "channels": channels}
        await put(one, f"/v1/supply-policies/{sku}", body)
    await put(one, "/v1/skus/SET", {"name": "Set", "components": SET})

    async def told():
        waiting = await one.process.pool.fetchval(
            "SELECT (SELECT count(*) FROM grants WHERE applied IS NULL)"
            " + (SELECT count(*) FROM cell_rules WHERE NOT applied)"
        )
        return waiting == 0 and await one.cell.redis.hlen(keys.of(one.cell.id, "rules")) >= 8

    await eventually(told, within_s=20)
    for name in (CHANNEL, TMALL):
        await eventually(lambda name=name: one.registry.authority("main", name))
    await known_components(one, "SET", SET)
    yield one
    await certificate(one)


def order(number, *lines, **more):
    return an_order(number, *lines, campaign="", **more)


async def buy(api, number, *lines, status=202, **more):
    answer = await api.call("POST", "/v1/orders", order(number, *lines, **more))
    assert answer.status == status, answer.document
    return answer.document


async def stock(api):
    """(available, held, sold) of each SKU, in Postgres once it has all of the log."""
    await recorded(api)
    rows = await api.process.pool.fetch(
        "SELECT sku, sum(available)::int AS a, sum(held)::int AS h, sum(sold)::int AS s"
        " FROM pools GROUP BY sku"
    )
    return {row["sku"]: (row["a"], row["h"], row["s"]) for row in rows}


async def cancel(api, order_id, cancel_id, *lines, status=200):
    asked = [{"line_id": f"{order_id}-{n}", "quantity": units} for n, units in lines]
    body = {"cancel_id": cancel_id, "lines": asked}
    answer = await api.call("POST", f"/v1/orders/{order_id}/cancel", body)
    assert answer.status == status, answer.document
    return answer.document


async def test_an_order_of_a_bundle_holds_its_components_and_shows_the_bundle(api):
    answer = await buy(api, "1", ("C", 1), ("SET", 2))
    one = id_of("1")
    assert answer["payable"] == {"amount": 300, "currency": "CNY"}
    assert answer["lines"] == [
        {"line_id": f"{one}-1", "sku": "C", "quantity": 1},
        {"line_id": f"{one}-2", "sku": "SET", "quantity": 2, "components": [
            {"line_id": f"{one}-3", "sku": "A", "quantity": 4},
            {"line_id": f"{one}-4", "sku": "B", "quantity": 2},
        ]},
    ]  # fmt: skip
    early = (await api.order(one)).document
    assert await stock(api) == {"A": (6, 4, 0), "B": (3, 2, 0), "C": (19, 1, 0)}
    shown = (await api.order(one)).document
    for view in (early, shown):
        plain, bundle = view["lines"]
        assert (plain["sku"], plain["components"]) == ("C", [])
        assert (bundle["sku"], bundle["quantity"], bundle["open_quantity"]) == ("SET", 2, 2)
        assert bundle["payable"]["amount"] == 200
        parts = bundle["components"]
        assert [(c["sku"], c["per"], c["quantity"], c["line_id"]) for c in parts] == [
            ("A", 2, 4, f"{one}-3"), ("B", 1, 2, f"{one}-4"),
        ]  # fmt: skip
    assert shown["document"]["lines"][1]["sku"] == "SET"
    assert (await api.pay(one, "p", 300)).status == 200
    assert await stock(api) == {"A": (6, 0, 4), "B": (3, 0, 2), "C": (19, 0, 1)}


async def test_sold_out_names_the_bundle_and_the_component_that_lacks(api):
    refused = await buy(api, "1", ("C", 1), ("SET", 6), status=409)
    assert {k: refused[k] for k in ("code", "line", "sku", "component")} == {
        "code": "sold_out", "line": 2, "sku": "SET", "component": "A",
    }  # fmt: skip
    # each line alone would do: nine A and a set of two are more than ten
    refused = await buy(api, "2", ("A", 9), ("SET", 1), status=409)
    assert (refused["sku"], refused["component"]) == ("SET", "A")
    await buy(api, "3", ("A", 8), ("SET", 1))
    refused = await buy(api, "4", ("SET", 1), status=409)
    refused = await buy(api, "5", ("SET", 1), status=409)  # by the flag
    assert (refused["line"], refused["sku"], refused["component"]) == (1, "SET", "A")
    assert await stock(api) == {"A": (0, 10, 0), "B": (4, 1, 0), "C": (20, 0, 0)}


@pytest.mark.parametrize("paid", [False, True])
async def test_a_cancel_of_some_gives_back_their_components_and_their_money(api, paid):
    one = id_of("1")
    await buy(api, "1", ("SET", 3), ("A", 1), payment={"status": "paid" if paid else "pending"},
              amounts={"payable": {"amount": 1_000, "currency": "CNY"}})  # fmt: skip
    if paid:
        await recorded(api)
    # 1000 over lines of 300 and 100: 750 for three bundles
    left = await cancel(api, one, "c1", (1, 1))
    assert left["payable"]["amount"] == 750
    assert (await cancel(api, one, "c1", (1, 1)))["payable"]["amount"] == 750
    told = await cancel(api, one, "c2", (3, 1), status=409)
    assert "component" in told["detail"]
    await cancel(api, one, "c3", (1, 3), status=409)
    left = await cancel(api, one, "c4", (1, 2), (2, 1))
    assert left["payable"]["amount"] == 0
    assert left["state"] == "cancelled"

    async def back():
        return await stock(api) == {"A": (10, 0, 0), "B": (5, 0, 0), "C": (20, 0, 0)}

    await eventually(back, within_s=20)
    shown = (await api.order(one)).document
    assert [c["open_quantity"] for c in shown["lines"][0]["components"]] == [0, 0]


async def test_a_refund_of_some_gives_back_their_components(api):
    one = id_of("1")
    await buy(api, "1", ("SET", 3), payment={"status": "paid"})
    await recorded(api)

    async def refund(number, n, status=200):
        body = {
            "refund_id": number, "kind": "cancel", "state": "done",
            "amount": {"amount": 100, "currency": "CNY"},
            "lines": [{"line_id": f"{one}-{n}", "quantity": 1}],
        }  # fmt: skip
        answer = await api.call("POST", f"/v1/orders/{one}/refunds", body)
        assert answer.status == status, answer.document

    await refund("r1", 2, status=409)  # a component alone
    await refund("r2", 1)

    async def back():
        return await stock(api) == {"A": (6, 0, 4), "B": (3, 0, 2), "C": (20, 0, 0)}

    await eventually(back, within_s=20)


async def test_an_expired_bundle_comes_back_whole_and_is_held_again_when_paid(api):
    body = {"name": "Mall", "hold_seconds": 1, "grace_seconds": 0}
    before = await api.call("GET", f"/v1/channels/{CHANNEL}")
    await api.call("PUT", f"/v1/channels/{CHANNEL}", body, If_Match=before.headers["ETag"])

    async def short_held():
        document = (await api.call("GET", f"/v1/channels/{CHANNEL}")).document
        waiting = "SELECT count(*) FROM cell_rules WHERE NOT applied"
        return document["version"] == 2 and not await api.process.pool.fetchval(waiting)

    await eventually(short_held, within_s=20)
    await buy(api, "1", ("SET", 2))

    async def expired():
        return (await api.order(id_of("1"))).document["status"] == "expired"

    await eventually(expired, within_s=20)
    assert (await stock(api))["A"] == (10, 0, 0)
    await amend(api, "SET", [{"sku": "A", "quantity": 1}, {"sku": "C", "quantity": 1}])
    answer = await api.pay(id_of("1"), "p", 200)
    assert answer.document["state"] == "applied"
    assert await stock(api) == {"A": (6, 0, 4), "B": (3, 0, 2), "C": (20, 0, 0)}


async def test_the_same_order_after_a_change_gets_the_same_answer(api):
    first = await buy(api, "1", ("SET", 1))
    await amend(api, "SET", [{"sku": "A", "quantity": 1}, {"sku": "C", "quantity": 3}])
    assert await buy(api, "1", ("SET", 1), status=200) == first
    (again,) = (await api.call("POST", "/v1/orders:batch", {"orders": [order("1", ("SET", 1))]})
                ).document["results"]  # fmt: skip
    assert again["order"] == first
    later = await buy(api, "2", ("SET", 1))
    assert [c["sku"] for c in later["lines"][0]["components"]] == ["A", "C"]
    await amend(api, "SET", [])
    assert await buy(api, "1", ("SET", 1), status=200) == first
    await cancel(api, id_of("1"), "c", (1, 1))
    assert await buy(api, "1", ("SET", 1), status=200) == first | {"status": "cancelled"} | {
        "payable": {"amount": 0, "currency": "CNY"}
    }
    assert await stock(api) == {"A": (9, 1, 0), "B": (5, 0, 0), "C": (17, 3, 0)}
    refused = await buy(api, "3", ("SET", 1), status=422)
    assert refused["code"] == "unknown_sku"


async def test_a_bundle_that_is_new_is_looked_up_once_more(api):
    await put(api, "/v1/skus/NEW", {"name": "New", "components": SET})
    found = await buy(api, "1", ("NEW", 1))
    assert [c["sku"] for c in found["lines"][0]["components"]] == ["A", "B"]
    await put(api, "/v1/skus/NEWER", {"name": "Newer", "components": SET})
    answer = await api.call("POST", "/v1/orders:batch", {"orders": [
        order("2", ("NEWER", 1)), order("3", ("NONE", 1)), order("4", ("C", 1)),
    ]})  # fmt: skip
    results = answer.document["results"]
    assert [one["status"] for one in results] == [202, 422, 202]
    unknown = await buy(api, "3", ("C", 1), ("NONE", 1), status=422)
    assert (unknown["code"], unknown["line"], unknown["sku"]) == ("unknown_sku", 2, "NONE")
    assert (results[1]["code"], results[1]["line"], results[1]["sku"]) == ("unknown_sku", 1, "NONE")
    await put(api, "/v1/skus/NEWEST", {"name": "Newest", "components": SET})
    (result,) = await sync(api, snapshot("5", 1, "paid", line("NEWEST", 1)))
    assert (result["result"], result["blocks"]) == ("created", [])
    assert await stock(api) == {"A": (4, 4, 2), "B": (2, 2, 1), "C": (19, 1, 0)}


async def test_a_marketplace_sells_bundles_and_owes_what_their_components_lack(api):
    body = {"listings": [{"channel": TMALL, "item_id": "i", "sku": "SET", "units_per": 2}]}
    answer = await api.call("POST", "/v1/listings", body)
    assert answer.status == 200, answer.document
    listed = {"listing": {"item_id": "i"}, "sku": ""}
    (result,) = await sync(api, snapshot("1", 1, "paid", line(quantity=1) | listed, line("A", 3)))
    assert (result["result"], result["short"], result["blocks"]) == ("created", [], [])
    assert await stock(api) == {"A": (3, 0, 7), "B": (3, 0, 2), "C": (20, 0, 0)}
    (result,) = await sync(api, snapshot("1", 2, "paid", line(quantity=2) | listed, line("A", 3)))
    assert result["result"] == "updated"
    one = tmall_id("1")
    assert result["short"] == [{"line_id": f"{one}-3", "sku": "A", "quantity": 1}]
    await recorded(api)
    shown = (await api.order(one)).document
    bundle = shown["lines"][0]
    assert [(c["line_id"], c["quantity"], c["short"]) for c in bundle["components"]] == [
        (f"{one}-3", 8, 1), (f"{one}-4", 4, 0),
    ]  # fmt: skip
    assert (bundle["sku"], bundle["quantity"]) == ("SET", 4)
    assert [one["code"] for one in shown["blocks"]] == ["short"]
    assert await synced(
        api, snapshot("1", 3, "closed", line(quantity=2) | listed, line("A", 3))
    ) == ["updated"]
    assert await stock(api) == {"A": (10, 0, 0), "B": (5, 0, 0), "C": (20, 0, 0)}


async def test_a_snapshot_after_a_change_keeps_what_the_bundle_was(api):
    bought = [line("SET", 2, channel_line_id="x"), line("C", 1, channel_line_id="y")]
    assert await synced(api, snapshot("1", 1, "unpaid", *bought)) == ["created"]
    assert await stock(api) == {"A": (6, 4, 0), "B": (3, 2, 0), "C": (19, 1, 0)}
    await amend(api, "SET", [{"sku": "B", "quantity": 1}, {"sku": "C", "quantity": 5}])
    assert await synced(api, snapshot("1", 1, "unpaid", *bought)) == ["unchanged"]
    assert await synced(api, snapshot("1", 2, "paid", *bought)) == ["updated"]
    assert await stock(api) == {"A": (6, 0, 4), "B": (3, 0, 2), "C": (19, 0, 1)}
    # a line is new, and one more of the old: the new one is what the bundle is by now
    more = [line("SET", 1, channel_line_id="z"), bought[1], line("SET", 3, channel_line_id="x")]
    assert await synced(api, snapshot("1", 3, "paid", *more)) == ["updated"]
    assert await stock(api) == {"A": (4, 0, 6), "B": (1, 0, 4), "C": (14, 0, 6)}
    # the line is another SKU now: what the bundle held is free again
    other = [bought[1], line("C", 2, channel_line_id="x")]
    assert await synced(api, snapshot("1", 4, "paid", *other)) == ["updated"]
    assert await stock(api) == {"A": (10, 0, 0), "B": (5, 0, 0), "C": (17, 0, 3)}
    shown = (await api.order(tmall_id("1"))).document
    assert {one["sku"]: one["components"] for one in shown["lines"] if one["open_quantity"]} == {
        "C": []
    }
    assert await synced(api, snapshot("1", 5, "closed", *other)) == ["updated"]
    assert await stock(api) == {"A": (10, 0, 0), "B": (5, 0, 0), "C": (20, 0, 0)}


async def test_a_forgotten_order_keeps_what_its_bundle_was(api):
    old = {"placed_at": "2026-10-01T12:00:00Z"}
    bought = line("SET", 2, channel_line_id="x")
    assert await synced(api, snapshot("1", 1, "paid", bought, **old)) == ["created"]
    await amend(api, "SET", [{"sku": "B", "quantity": 1}, {"sku": "C", "quantity": 5}])
    await recorded(api)
    await api.cell.redis.hdel(keys.of(api.cell.id, "holds"), tmall_id("1"))
    fewer = line("SET", 2, channel_line_id="x", refunded_quantity=1)
    assert await synced(api, snapshot("1", 2, "paid", fewer, **old)) == ["updated"]
    assert await stock(api) == {"A": (8, 0, 2), "B": (4, 0, 1), "C": (20, 0, 0)}


BAD = {
    "one": ([{"sku": "A", "quantity": 2}], 400, "2 to 20"),
    "itself": ([{"sku": "X", "quantity": 1}, SET[0]], 400, "itself"),
    "twice": ([SET[0], SET[0]], 400, "twice"),
    "a bundle": ([SET[0], {"sku": "SET", "quantity": 1}], 400, "bundle itself"),
    "nothing": ([SET[0], {"sku": "NONE", "quantity": 1}], 400, "no such SKU"),
    "none of it": ([SET[0], {"sku": "B", "quantity": 0}], 400, ""),
    "another's": ([SET[0], {"sku": "O", "quantity": 1}], 400, "same owner"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_a_bundle_is_refused(api, case):
    components, status, told = BAD[case]
    await put(api, "/v1/skus/O", {"name": "O", "owner": "other"})
    answer = await api.call("PUT", "/v1/skus/X", {"name": "X", "components": components})
    assert (answer.status, answer.code) == (status, "validation_failed")
    assert told in answer.document["errors"][0]["detail"]
    assert (await api.call("GET", "/v1/skus/X")).status == 404


async def test_a_bundle_has_no_stock_and_stock_makes_no_bundle(api):
    refused = await amend(api, "A", [SET[1], {"sku": "C", "quantity": 1}], status=409)
    assert "stock of its own" in refused["detail"]
    await put(api, "/v1/skus/X", {"name": "X"})
    await put(api, "/v1/skus/Y", {"name": "Y", "components": [{"sku": "X", "quantity": 1}, SET[0]]})
    refused = await amend(api, "X", SET, status=409)
    assert refused["bundle"] == "Y"
    await put(api, "/v1/nodes/w", {"name": "W", "kind": "DC"})
    wrong = await api.call("PUT", "/v1/supply-policies/s", {"sku": "SET", "shared": 1})
    assert (wrong.status, wrong.document["errors"][0]["pointer"]) == (400, "/sku")
    wrong = await api.call("POST", "/v1/inventory/movements", {
        "reference": "r", "kind": "receipt", "lines": [{"node": "w", "sku": "SET", "quantity": 1}],
    })  # fmt: skip
    assert wrong.status == 400, wrong.document
    assert "bundle" in wrong.document["errors"][0]["detail"]
    wrong = await api.call("POST", "/v1/pools:move", {
        "move_id": "m", "sku": "SET", "units": 1, "from": {}, "to": {"channel": CHANNEL},
    })  # fmt: skip
    assert (wrong.status, wrong.document["errors"][0]["pointer"]) == (400, "/sku")


async def test_a_paused_bundle_or_component_is_not_sold(api):
    for sku in ("SET", "B"):
        assert (await api.call("POST", f"/v1/skus/{sku}/pause", {})).status == 200
        assert (await buy(api, f"1{sku}", ("SET", 1), status=409))["code"] == "paused"
        assert (await api.call("POST", f"/v1/skus/{sku}/resume", {})).status == 200
    await buy(api, "2", ("SET", 1))


async def test_what_a_bundle_cannot_be_in_an_order(api):
    price = {"amount": 100, "currency": "CNY"}
    gift = {"sku": "SET", "quantity": 1, "unit_price": price, "on_short": "drop"}
    refused = await buy(api, "1", lines=[gift], status=400)
    assert refused["errors"][0]["pointer"] == "/lines/0/on_short"
    refused = await buy(api, "2", ("C", 1), ("SET", 600_000), status=400)
    assert refused["errors"][0]["pointer"] == "/lines/1/quantity"
    await buy(api, "cart", ("SET", 1), ("A", 2), buyer_id="b")
    split = [{"kind": "split_from", "channel_order_id": "cart"}]
    refused = await buy(api, "3", ("SET", 1), buyer_id="b", relations=split, status=400)
    assert refused["errors"][0]["pointer"] == "/lines/0/sku"
    refused = await buy(api, "4", ("A", 3), buyer_id="b", relations=split, status=409)
    await buy(api, "5", ("A", 2), buyer_id="b", relations=split)
    await cancel(api, id_of("cart"), "c")
    await cancel(api, id_of("5"), "c")
    assert (await stock(api))["A"] == (10, 0, 0)


async def test_how_many_bundles_there_are_is_shown_beside_their_components(api):
    await put(
        api, "/v1/skus/AA", {"name": "AA", "components": [SET[0], {"sku": "C", "quantity": 7}]}
    )
    await put(api, "/v1/skus/Z", {"name": "Z"})
    await put(
        api, "/v1/skus/AZ", {"name": "AZ", "components": [SET[0], {"sku": "Z", "quantity": 1}]}
    )
    await buy(api, "1", ("B", 2))
    await recorded(api)
    page = (await api.call("GET", f"/v1/stock?channel={CHANNEL}")).document["items"]
    assert [(one["sku"], one["sellable"]) for one in page] == [
        ("A", 10), ("AA", 2), ("B", 3), ("C", 20), ("SET", 3),
    ]  # fmt: skip
    (one,) = (await api.call("GET", f"/v1/stock?channel={TMALL}&sku=SET")).document["items"]
    assert (one["sellable"], one["own"], one["shared"]) == (3, 0, 3)
    pages, cursor = [], ""
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        document = (await api.call("GET", f"/v1/stock?channel={CHANNEL}&limit=2{more}")).document
        pages += [one["sku"] for one in document["items"]]
        cursor = document["next_cursor"]
        if not cursor:
            break
    assert pages == ["A", "AA", "B", "C", "SET"]


async def open_campaign(api, *skus, name="sale", **more):
    now = datetime.now(UTC)
    body = {
        "name": "Sale", "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(hours=1)).isoformat(), "channels": [CHANNEL],
        "skus": list(skus), **more,
    }  # fmt: skip
    await put(api, f"/v1/campaigns/{name}", body)
    await settled(api)


async def settled(api):
    async def told():
        return not await api.process.pool.fetchval(
            "SELECT (SELECT count(*) FROM grants WHERE applied IS NULL)"
            " + (SELECT count(*) FROM cell_rules WHERE NOT applied)"
            " + (SELECT count(*) FROM campaigns WHERE published_version < version)"
            " + (SELECT count(*) FROM bundles WHERE NOT replanned)"
        )

    await eventually(told, within_s=20)


async def test_a_campaign_sells_bundles_by_limit_and_price_out_of_its_components(api):
    price = {"amount": 90, "currency": "CNY"}
    await open_campaign(
        api,
        {"sku": "SET", "quota": {CHANNEL: 3}, "per_buyer_limit": 2, "floor_price": price},
        {"sku": "A", "quota": {CHANNEL: 2}, "per_buyer_limit": 1},
        limits=[{"by": "buyer_id", "max": 3, "counts": "units"}],
    )
    quota = "SELECT granted FROM pools WHERE campaign = 'sale' AND sku = $1"
    await recorded(api)
    assert [await api.process.pool.fetchval(quota, sku) for sku in "AB"] == [8, 3]
    items = (await api.call("GET", "/v1/stock")).document["items"]
    assert [(one["sku"], one["sellable"]) for one in items if one["campaign"]] == [
        ("A", 8), ("B", 3), ("SET", 3),
    ]  # fmt: skip

    async def campaign_buy(number, *lines, buyer="x", **more):
        wanted = an_order(number, *lines, buyer_id=buyer, **more)
        return (await api.call("POST", "/v1/orders", wanted)).document

    # four A are in two sets, and the limit of A is 1: what is limited is what is sold
    assert "order_id" in await campaign_buy("1", ("SET", 2))
    refused = await campaign_buy("2", ("SET", 1))
    assert (refused["code"], refused["maximum"], refused["counted"]) == ("limit_reached", 2, 2)
    refused = await campaign_buy("3", ("A", 1), ("B", 1))
    assert (refused["code"], refused["maximum"]) == ("limit_reached", 3)
    await cancel(api, id_of("1"), "c", (1, 1))
    assert "order_id" in await campaign_buy("4", ("SET", 1), ("A", 1))
    # what the campaign does not name it does not sell, also where it has its components
    await put(api, "/v1/skus/OTHER", {"name": "O", "components": SET})
    await known_components(api, "OTHER", SET)
    assert (await campaign_buy("5", ("OTHER", 1), buyer="y"))["code"] == "unknown_sku"
    # too cheap: taken, blocked, and the bundle is sold no more
    cheap = {"sku": "SET", "quantity": 1, "unit_price": {"amount": 10, "currency": "CNY"}}
    assert "order_id" in await campaign_buy("6", buyer="y", lines=[cheap])
    assert (await campaign_buy("7", ("SET", 1), buyer="z"))["code"] == "paused"
    assert "order_id" in await campaign_buy("8", ("A", 1), buyer="v")
    await recorded(api)
    blocks = (await api.order(id_of("6"))).document["blocks"]
    assert [(one["code"], one["line_id"]) for one in blocks] == [("price", f"{id_of('6')}-1")]


async def test_a_campaign_follows_what_its_bundle_stands_for(api):
    await open_campaign(api, {"sku": "SET", "quota": {CHANNEL: 2}})
    await amend(api, "SET", [{"sku": "A", "quantity": 1}, {"sku": "C", "quantity": 3}])
    await settled(api)
    await recorded(api)
    rows = await api.process.pool.fetch("SELECT sku, granted FROM pools WHERE campaign = 'sale'")
    assert {row["sku"]: row["granted"] for row in rows} == {"A": 2, "B": 0, "C": 6}
    answer = await api.call("POST", "/v1/orders", an_order("1", ("SET", 2)))
    assert answer.status == 202, answer.document
    refused = await api.call("POST", "/v1/orders", an_order("2", ("SET", 1)))
    assert refused.document["component"] == "A"


async def test_a_presale_of_a_bundle_asks_for_the_bundles_deposit(api):
    until = (datetime.now(UTC) + timedelta(hours=9)).isoformat()
    deposit = {"amount": 30, "currency": "CNY"}
    await open_campaign(
        api,
        {"sku": "SET", "quota": {CHANNEL: 2}, "deposit": deposit},
        {"sku": "A", "quota": {CHANNEL: 2}, "deposit": {"amount": 70, "currency": "CNY"}},
        balance_until=until,
    )
    answer = await api.call("POST", "/v1/orders", an_order("1", ("SET", 2)))
    assert [one["amount"]["amount"] for one in answer.document["stages"]] == [60, 140]
    body = {"payment_id": "d", "amount": {"amount": 60, "currency": "CNY"}, "stage": "deposit"}
    paid = await api.call("POST", f"/v1/orders/{id_of('1')}/payments", body)
    assert paid.document["state"] == "applied"
    await recorded(api)
    (one,) = (await api.order(id_of("1"))).document["stages"]
    assert one["amount"]["amount"] == 140


async def test_another_process_that_knows_no_bundle_yet_gives_the_same_answer(api):
    first = await buy(api, "1", ("C", 1), ("SET", 1))
    other = await api.house.api()
    await eventually(lambda: other.registry.authority("main", CHANNEL))
    other.client.server.app[BUNDLES].of = lambda _tenant: {}
    answer = await other.call("POST", "/v1/orders", order("1", ("C", 1), ("SET", 1)))
    assert (answer.status, answer.document) == (200, first)
    await recorded(api)
    await api.cell.redis.hdel(keys.of(api.cell.id, "holds"), id_of("1"))
    old = order("1", ("C", 1), ("SET", 1), placed_at="2026-01-01T00:00:00Z")
    answer = await other.call("POST", "/v1/orders", old)  # from Postgres
    assert (answer.status, answer.document["lines"]) == (200, first["lines"])
    assert (await stock(api))["A"] == (8, 2, 0)


async def test_many_buyers_at_once_of_bundles_and_of_what_they_are_made_of(api):
    wanted = [[("SET", 1)], [("A", 1)], [("A", 1), ("SET", 1)], [("SET", 2)]]

    async def buyer(n):
        paid = {"status": "paid" if n % 3 else "pending"}
        body = order(f"{n}", *wanted[n % len(wanted)], payment=paid)
        answer = await api.call("POST", "/v1/orders", body)
        if answer.status == 202 and n % 5 == 0:
            await api.cancel(id_of(f"{n}"), "c")
        return answer.status

    snapshots = [snapshot(f"s{n}", 1, "paid", line("SET", 1)) for n in range(3)]
    statuses, _ = await asyncio.gather(
        asyncio.gather(*(buyer(n) for n in range(60))), sync(api, *snapshots)
    )
    assert set(statuses) <= {202, 409}
    await recorded(api)
    rows = await api.process.pool.fetch(
        "SELECT granted, owed, available, held, sold, balance FROM pools"
    )
    assert all(row["balance"] == 0 for row in rows)


async def test_an_explanation_of_a_bundle_is_of_one_instant(api, monkeypatch):
    """What is sold while it is made is in none of its numbers."""
    counted = selling.counted

    async def sold_meanwhile(*args):
        if (await api.order(id_of("1"))).status != 200:
            await buy(api, "1", ("A", 10))
            await recorded(api)
        return await counted(*args)

    monkeypatch.setattr(selling, "counted", sold_meanwhile)
    page = (await api.call("GET", f"/v1/stock/SET?channel={CHANNEL}")).document
    (one,) = page["channel"]
    assert (one["sellable"], one["binding"]["about"], one["binding"]["left"]) == (5, "A", 5)
    (one,) = (await api.call("GET", f"/v1/stock/SET?channel={CHANNEL}")).document["channel"]
    assert (one["sellable"], one["binding"]["about"], one["binding"]["left"]) == (0, "A", 0)
