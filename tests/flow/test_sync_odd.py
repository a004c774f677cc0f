"""Marketplaces' orders on odd ways: each of these once went wrong."""

from datetime import UTC, datetime

import pytest

from engine.infra import keys
from engine.kernel import codec
from tests.conftest import eventually
from tests.fault.engines import ADMIN, an_order, certificate
from tests.fault.marketplace import (
    TMALL,
    id_of,
    line,
    open_shops,
    pools_of,
    recorded,
    share,
    snapshot,
    sync,
    synced,
)

GATE = {"channel": TMALL, "authority": "gate"}
TINY = b"0." + b"0" * 20_000 + b"1"  # more digits than a number has room for, and as good as 0


@pytest.fixture
async def api(here):
    return await here.api()


async def sold(api):
    return sum(pool[4] for pool in (await pools_of(api)).values())


async def shown(api, number):
    await recorded(api)
    return (await api.order(id_of(number))).document


async def buy(api, number, units, **more):
    """An everyday order that is asked for through the shop."""
    order = an_order(number, ("A", units)) | {"channel": TMALL, "campaign": ""} | more
    answer = await api.call("POST", "/v1/orders", order)
    assert answer.status == 202, answer.document


async def become_a_marketplace(api):
    etag = (await api.call("GET", f"/v1/channels/{TMALL}")).headers["ETag"]
    body = {"name": "T", "authority": "external"}
    assert (await api.call("PUT", f"/v1/channels/{TMALL}", body, If_Match=etag)).status == 200

    async def told():
        (one,) = await sync(api, snapshot("probe", 1, "closed"))
        return one["status"] == 200

    await eventually(told, within_s=10)
    await recorded(api)


async def forget(api, number):
    """As `prune` does when nothing more is expected of an order."""
    assert await api.cell.redis.hdel(keys.of(api.cell.id, "holds"), id_of(number)) == 1


async def test_a_return_on_its_way_when_the_marketplace_tells_the_same(api, here):
    await open_shops(api, [GATE], A=10)
    await buy(api, "g", 5)
    assert (await api.pay(id_of("g"), "p", 500)).document["state"] == "applied"
    await become_a_marketplace(api)
    await here.stop("worker")
    await here.worker("recorder", name="recorder")
    cut = {"line_id": f"{id_of('g')}-1", "quantity": 2}
    body = {"cancel_id": "c", "lines": [cut]}
    assert (await api.call("POST", f"/v1/orders/{id_of('g')}/cancel", body)).status == 200
    await synced(api, snapshot("g", 1, "paid", line("A", 5, refunded_quantity=2)))
    await here.worker("keeper", "settler", name="settler")

    async def returned():
        waiting = "SELECT count(*) FROM stock_returns WHERE log_id = ''"
        return not await api.process.pool.fetchval(waiting)

    await eventually(returned, within_s=10)
    assert await sold(api) == 3
    await certificate(api)


async def test_an_order_that_was_asked_for_and_forgotten_is_taken_over(api):
    await open_shops(api, [GATE], A=10)
    await buy(api, "g", 5, placed_at="2026-11-10T12:00:00Z")
    assert (await api.pay(id_of("g"), "p", 500)).document["state"] == "applied"
    await recorded(api)
    await forget(api, "g")
    await become_a_marketplace(api)
    assert await synced(api, snapshot("g", 1, "paid", line("A", 5))) == ["updated"]
    assert await synced(api, snapshot("g", 2, "shipped", line("A", 5))) == ["updated"]
    assert await sold(api) == 5
    found = await shown(api, "g")
    assert (found["status"], found["attention"]) == ("shipped", "")
    await certificate(api)


async def test_a_forgotten_order_that_says_it_is_young_is_the_same_order(api):
    """The cell takes it for a first one; Postgres knows better, and its old units go back."""
    await open_shops(api, A=10)
    await synced(api, snapshot("t", 1, "shipped", line("A", 5)))
    await recorded(api)
    await forget(api, "t")
    now = datetime.now(UTC).isoformat()
    young = snapshot("t", 2, "delivered", line("A", 4), placed_at=now)
    assert await synced(api, young) == ["created"]
    await certificate(api)
    assert await synced(api, {**young, "version": "3"}) == ["updated"]
    await certificate(api)

    async def gone_back():
        return await sold(api) == 4

    await eventually(gone_back, within_s=10)
    await certificate(api)
    found = await shown(api, "t")
    assert (found["status"], found["version"], found["attention"]) == ("delivered", "3", "")
    assert found["lines"][0]["quantity"] == 4


async def test_more_units_than_a_number_holds_are_refused(api):
    await open_shops(api, A=10)
    rows = [{"channel": TMALL, "item_id": "i", "sku_id": "", "sku": "A", "units_per": 10_000}]
    assert (await api.call("POST", "/v1/listings", {"listings": rows})).status == 200
    many = snapshot("t", 1, "paid", line("", 101, listing={"item_id": "i"}))
    (refused, accepted) = await sync(api, many, snapshot("u", 1, "paid"))
    assert (refused["status"], refused["errors"][0]["pointer"]) == (400, "/lines/0/quantity")
    assert accepted["status"] == 200
    await certificate(api)


@pytest.mark.parametrize("path", ["/v1/orders:sync", "/v1/orders:batch", "/v1/orders"])
async def test_a_number_with_more_digits_than_fit_is_kept_as_everybody_reads_it(api, path):
    gate = path != "/v1/orders:sync"
    await open_shops(api, [GATE if gate else {"channel": TMALL}], A=10)
    order = snapshot("t", 1, "paid", extensions={"a": 7_654_321})
    if gate:
        order = an_order("t") | {"channel": TMALL, "campaign": "", "extensions": {"a": 7_654_321}}
    body = codec.encode(order if path == "/v1/orders" else {"orders": [order]})
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    answer = await api.client.post(path, data=body.replace(b"7654321", TINY), headers=headers)
    assert answer.status in {200, 202}
    assert (await shown(api, "t"))["document"]["extensions"] == {"a": 0.0}
    assert await api.process.pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    await certificate(api)


async def test_the_newest_snapshot_alone_says_what_was_paid(api):
    await open_shops(api, A=10)
    paid = [{"payment_id": "p1", "amount": {"amount": 100, "currency": "CNY"}}]
    old, new = snapshot("t", 1, "paid"), snapshot("t", 2, "paid", payments=paid)
    await synced(api, old)
    await recorded(api)
    await synced(api, new)
    assert [one["payment_id"] for one in (await shown(api, "t"))["payments"]] == ["p1"]
    u = {"channel_order_id": "u"}
    assert await synced(api, old | u, new | u) == ["created", "updated"]  # recorded at once
    assert [one["payment_id"] for one in (await shown(api, "u"))["payments"]] == ["p1"]


async def test_a_line_keeps_its_quantity_however_snapshots_are_recorded(api):
    """The newest does not name y any more: what it once was stays to be seen."""
    await open_shops(api, A=10)
    x, y = line("A", 1, channel_line_id="x"), line("A", 3, channel_line_id="y")
    one, two = snapshot("t", 1, "paid", x, y), snapshot("t", 2, "paid", x)
    await synced(api, one)
    await recorded(api)
    await synced(api, two)
    u = {"channel_order_id": "u"}
    await synced(api, one | u, two | u)
    for number in "tu":
        lines = (await shown(api, number))["lines"]
        assert [(each["quantity"], each["open_quantity"]) for each in lines] == [(1, 1), (3, 0)]


async def test_whose_turn_it_is_follows_what_is_told_of_when_it_was_placed(api):
    await open_shops(api, A=0)
    await synced(api, snapshot("t", 1, "paid"))
    await synced(api, snapshot("u", 1, "paid", placed_at="2026-11-10T13:00:00Z"))
    await synced(api, snapshot("t", 2, "paid", placed_at="2026-11-10T14:00:00Z"))
    await share(api, "A", 1)
    assert (await shown(api, "u"))["status"] == "paid"
    assert (await shown(api, "t"))["status"] == "needs_attention"


async def test_the_last_lines_of_a_sku_are_short_each_of_what_it_lacks(api):
    await open_shops(api, A=2)
    lines = line("A", 4, channel_line_id="x"), line("A", 1, channel_line_id="y")
    await synced(api, snapshot("t", 1, "paid", *lines))
    found = await shown(api, "t")
    assert [one["short"] for one in found["lines"]] == [2, 1]
    assert [one["line_id"][-1] for one in found["blocks"]] == ["1", "2"]
    await share(api, "A", 3)
    assert [one["short"] for one in (await shown(api, "t"))["lines"]] == [1, 1]
    await certificate(api)


async def test_a_short_block_that_a_person_lifted_stays_lifted(api):
    """Until more is owed: then there is something new to decide."""
    await open_shops(api, A=1)
    await synced(api, snapshot("t", 1, "paid", line("A", 3)))
    await recorded(api)
    lifting = f"/v1/orders/{id_of('t')}/blocks/short?reason=we%20buy%20some"
    assert (await api.call("DELETE", lifting)).status == 200
    await synced(api, snapshot("t", 2, "paid", line("A", 3), buyer_note="a note"))
    assert (await shown(api, "t"))["blocks"] == []
    await share(api, "A", 2)
    assert (await shown(api, "t"))["blocks"] == []
    await synced(api, snapshot("t", 3, "paid", line("A", 4)))
    assert [one["code"] for one in (await shown(api, "t"))["blocks"]] == ["short"]


async def test_before_it_is_recorded_an_order_says_what_its_hold_says(api, here):
    await open_shops(api, A=2)
    await here.stop("worker")
    parcel = line("A", 1, shipped_quantity=1)
    await synced(
        api,
        snapshot("shipped", 1, "shipped"),
        snapshot("closed", 1, "closed", parcel),
        snapshot("short", 1, "paid", line("A", 2)),
        snapshot("unknown", 1, "paid", line("ghost")),
    )
    said = {}
    for number in ("short", "unknown", "shipped", "closed"):
        found = (await api.order(id_of(number))).document
        assert found["recorded"] is False
        said[number] = found["status"]
    assert said == {
        "short": "needs_attention", "unknown": "needs_attention", "shipped": "shipped",
        "closed": "closed",
    }  # fmt: skip


async def test_a_bad_order_of_long_ago_spoils_nothing(api):
    await open_shops(api, [GATE], A=100)
    old = an_order("g", ("A", 1)) | {
        "channel": TMALL, "campaign": "", "placed_at": "2026-11-01T12:00:00Z",
    }  # fmt: skip
    assert (await api.call("POST", "/v1/orders", old)).status == 202
    await recorded(api)
    other = old | {"channel_order_id": "h"}
    orders = {"orders": [other, old | {"lines": [line("A", 3)]}, other, old]}
    answer = await api.call("POST", "/v1/orders:batch", orders)
    assert [one["status"] for one in answer.document["results"]] == [202, 422, 200, 200]
