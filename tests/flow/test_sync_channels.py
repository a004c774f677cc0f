"""What a channel's document says of its snapshots: what counts, who ends it, what is called how."""

import pytest

from engine.infra import keys
from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.fault.marketplace import (
    id_of,
    line,
    open_shops,
    pools_of,
    put,
    recorded,
    share,
    snapshot,
    sync,
    synced,
)

SHOPS = (
    {"channel": "tmall"},
    {"channel": "later", "counts_at": "paid"},
    {"channel": "history", "authority": "record"},
    {"channel": "ours", "expires_by": "us", "hold_seconds": 1, "grace_seconds": 0},
)


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_shops(one, SHOPS, A=10)
    return one


async def totals(api):
    return [sum(column) for column in zip(*(await pools_of(api)).values(), strict=True)]


async def shown(api, number, channel):
    await recorded(api)
    return (await api.order(id_of(number, channel))).document


async def test_where_a_sale_counts_when_it_is_paid(api):
    order = {"channel": "later"}
    assert await synced(api, snapshot("1", 1, "unpaid", line("A", 3), **order)) == ["created"]
    assert await totals(api) == [10, 0, 10, 0, 0]
    assert (await shown(api, "1", "later"))["stock_state"] == "none"
    assert await synced(api, snapshot("1", 2, "paid", line("A", 3), **order)) == ["updated"]
    assert await totals(api) == [10, 0, 7, 0, 3]
    assert await synced(api, snapshot("1", 3, "closed", line("A", 3), **order)) == ["updated"]
    assert await totals(api) == [10, 0, 10, 0, 0]
    await certificate(api)


async def test_what_is_only_recorded_takes_nothing(api):
    order = {"channel": "history"}
    results = await sync(api, snapshot("1", 1, "paid", line("A", 99), line("ghost"), **order))
    assert [(one["result"], one["short"], one["blocks"]) for one in results] == [
        ("created", [], [])
    ]
    assert await totals(api) == [10, 0, 10, 0, 0]
    found = await shown(api, "1", "history")
    assert (found["payment_state"], found["stock_state"]) == ("paid", "none")
    await certificate(api)


async def test_a_deadline_of_ours_ends_it_until_it_is_paid(api):
    order = {"channel": "ours"}
    await synced(api, snapshot("1", 1, "unpaid", line("A", 3), **order))

    async def expired():
        return (await shown(api, "1", "ours"))["status"] == "expired"

    await eventually(expired, within_s=10)
    assert await totals(api) == [10, 0, 10, 0, 0]
    moved = snapshot("1", 2, "unpaid", line("A", 3), **order, buyer_note="a note")
    assert await synced(api, moved) == ["updated"]
    assert (await shown(api, "1", "ours"))["status"] == "expired"
    assert await totals(api) == [10, 0, 10, 0, 0]
    assert await synced(api, snapshot("1", 3, "paid", line("A", 3), **order)) == ["updated"]
    assert (await shown(api, "1", "ours"))["status"] == "paid"
    assert await totals(api) == [10, 0, 7, 0, 3]
    await certificate(api)


async def test_unknown_and_doubly_mapped_lines_block_and_are_on_the_alarm_list(api):
    await put(api, "/v1/skus/B", {"name": "B"})
    rows = [{"channel": "tmall", "item_id": "i1", "sku_id": "", "sku": "A", "units_per": 2}]
    rows += [{"channel": "tmall", "item_id": "i2", "sku_id": "", "sku": s, "units_per": 1}
             for s in ("A", "B")]  # fmt: skip
    told = await api.call("POST", "/v1/listings", {"listings": rows})
    assert told.status == 200, told.document
    order = snapshot(
        "1", 1, "paid",
        line("", 2, listing={"item_id": "i1"}), line("", 1, listing={"item_id": "i2"}),
        line("", 1, listing={"item_id": "new", "sku_id": "s"}), line("ghost", 1),
    )  # fmt: skip
    (result,) = await sync(api, order)
    assert (result["result"], result["short"], result["blocks"]) == (
        "created",
        [],
        ["unmapped_sku"],
    )
    assert await totals(api) == [10, 0, 6, 0, 4], "what is known counts: two links of two"
    found = await shown(api, "1", "tmall")
    assert [(one["code"], one["line_id"][-1]) for one in found["blocks"]] == [
        ("unmapped_sku", "2"), ("unmapped_sku", "3"), ("unmapped_sku", "4"),
    ]  # fmt: skip
    assert found["status"] == "needs_attention"
    alarms = (await api.call("GET", "/v1/listings:alarms")).document["items"]
    assert {(one["item_id"], one["sku"], one["reason"]) for one in alarms} == {
        ("i2", "", "doubled"), ("new", "", "unmapped"), ("", "ghost", "unknown_sku"),
    }  # fmt: skip

    # a mapping makes the same snapshot say more: nobody has to wait for a change
    rows = [{"channel": "tmall", "item_id": "new", "sku_id": "s", "sku": "A", "units_per": 1}]
    assert (await api.call("POST", "/v1/listings", {"listings": rows})).status == 200
    assert await eventually_updated(api, order)
    assert await totals(api) == [10, 0, 5, 0, 5]
    assert [one["line_id"][-1] for one in (await shown(api, "1", "tmall"))["blocks"]] == ["2", "4"]
    await certificate(api)


async def eventually_updated(api, order):
    async def again():
        return (await synced(api, order)) == ["updated"]

    return await eventually(again)


async def test_what_the_cell_has_forgotten_comes_back_from_postgres(api):
    """An order of last month: its units are counted once, whatever comes of it now."""
    old = {"placed_at": "2026-01-05T00:00:00Z"}
    lines = line("A", 4, channel_line_id="x"), line("A", 9, channel_line_id="y")
    await synced(api, snapshot("1", 1, "shipped", *lines, **old))
    assert await totals(api) == [10, 3, 0, 0, 13]
    await recorded(api)
    assert await api.cell.redis.hdel(keys.of(api.cell.id, "holds"), id_of("1")) == 1
    assert await synced(api, snapshot("1", 1, "shipped", *lines, **old)) == ["unchanged"]
    assert await synced(api, snapshot("1", 0, "paid", *lines, **old)) == ["stale"]
    back = line("A", 4, channel_line_id="x"), line("A", 9, channel_line_id="y", refunded_quantity=5)
    assert await synced(api, snapshot("1", 2, "shipped", *back, **old)) == ["updated"]
    assert await totals(api) == [10, 0, 2, 0, 8]
    assert await api.process.pool.fetchval("SELECT count(*) FROM duplicates") == 0
    await certificate(api)


async def test_a_gate_order_is_not_told_and_a_marketplace_order_is_not_asked(api):
    await put(api, "/v1/channels/mall", {"name": "Mall"})
    results = await sync(api, {**snapshot("1", 1, "paid"), "channel": "mall"}, {"channel": "tmall"})
    assert [(one["status"], one["code"]) for one in results] == [
        (422, "wrong_call"), (400, "validation_failed"),
    ]  # fmt: skip
    asked = {**snapshot("1", 1, "paid")}
    for name in ("version", "source_status"):
        del asked[name]
    answer = await api.call("POST", "/v1/orders", asked)
    assert (answer.status, answer.code) == (422, "wrong_call")
    await synced(api, snapshot("2", 1, "unpaid"))
    pay = await api.pay(id_of("2"), "p", 100)
    cancel = await api.cancel(id_of("2"), "c")
    assert [pay.code, cancel.code] == ["wrong_call", "wrong_call"]
    await certificate(api)


async def test_a_channel_made_a_marketplace_takes_its_orders_over(api, eventually):
    """The order was asked for; now its marketplace says what became of it."""
    await put(api, "/v1/channels/mall", {"name": "Mall"})
    policy = await api.call("GET", "/v1/supply-policies/A")
    channels = [*policy.document["channels"], {"channel": "mall", "quota": 0}]
    body = {"sku": "A", "shared": 10, "channels": channels}
    etag = {"If_Match": policy.headers["ETag"]}
    assert (await api.call("PUT", "/v1/supply-policies/A", body, **etag)).status == 200
    await share(api, "A", 10)
    order = {"channel": "mall", "channel_order_id": "1", "lines": [line("A", 2)], "buyer_id": "b"}

    async def taken():
        return (await api.call("POST", "/v1/orders", order)).status == 202

    await eventually(taken)
    etag = (await api.call("GET", "/v1/channels/mall")).headers["ETag"]
    body = {"name": "Mall", "authority": "external"}
    assert (await api.call("PUT", "/v1/channels/mall", body, If_Match=etag)).status == 200
    told = {**snapshot("1", 1, "paid", line("A", 1)), "channel": "mall"}

    async def updated():
        (one,) = await sync(api, told)
        return one.get("result") == "updated"

    await eventually(updated, within_s=10)
    assert await totals(api) == [10, 0, 9, 0, 1]
    await certificate(api)
