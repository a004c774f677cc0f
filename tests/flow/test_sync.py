"""Marketplaces' orders: full snapshots, in any order of arrival, never refused."""

from itertools import permutations

import pytest

from tests.fault.engines import ADMIN, certificate
from tests.fault.marketplace import (
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


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_shops(one, A=10, B=5)
    return one


async def axes(api, number):
    await recorded(api)
    row = await api.process.pool.fetchrow(
        "SELECT state, payment_state, stock_state, fulfilment_state, payable, version,"
        " source_status FROM orders WHERE order_id = $1",
        id_of(number),
    )
    return tuple(row)


async def units(api):
    """Units of all pools: granted, owed, available, held, sold."""
    return [sum(column) for column in zip(*(await pools_of(api)).values(), strict=True)]


async def test_created_updated_unchanged_and_stale(api):
    first, paid = snapshot("t1", 1, "unpaid"), snapshot("t1", 2, "paid")
    assert await synced(api, first) == ["created"]
    assert await units(api) == [15, 0, 14, 1, 0]
    assert await synced(api, first) == ["unchanged"]
    assert await synced(api, paid) == ["updated"]
    assert await units(api) == [15, 0, 14, 0, 1]
    assert await synced(api, first, paid) == ["stale", "unchanged"]
    assert await axes(api, "t1") == ("open", "paid", "committed", "unrouted", 100, "2", "paid")
    shown = (await api.order(id_of("t1"))).document
    assert (shown["status"], shown["version"], shown["source_status"]) == ("paid", "2", "paid")
    assert [one["state"] for one in shown["payments"]] == ["applied"]
    assert [one["kind"] for one in shown["timeline"]] == ["order.synced", "order.changed"]
    await certificate(api)


async def test_an_order_keeps_the_trace_in_which_it_was_first_told_of(api):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0{}"
    for version, status in enumerate(("unpaid", "paid")):
        headers = {"Authorization": f"Bearer {ADMIN}", "traceparent": trace.format(version)}
        body = {"orders": [snapshot("t1", version, status)]}
        async with api.client.post("/v1/orders:sync", json=body, headers=headers) as answer:
            assert (await answer.json())["results"][0]["result"] in {"created", "updated"}
    await recorded(api)
    assert (await api.order(id_of("t1"))).document["trace"] == trace.format(0)


FIRST_SIGHT = {
    "unpaid": ({}, ("open", "unpaid", "held", "unrouted", 300), (0, 3, 0)),
    "paid": ({}, ("open", "paid", "committed", "unrouted", 300), (0, 0, 3)),
    "paid on delivery": (
        {"payment": {"status": "on_delivery"}},
        ("open", "on_delivery", "committed", "unrouted", 300), (0, 0, 3),
    ),
    "part refunded": (
        {"lines": [line("A", 3, refunded_quantity=1)]},
        ("open", "partly_refunded", "committed", "unrouted", 200), (0, 0, 2),
    ),
    "shipped": ({}, ("open", "paid", "committed", "shipped", 300), (0, 0, 3)),
    "delivered": ({}, ("open", "paid", "committed", "delivered", 300), (0, 0, 3)),
    "closed": ({}, ("cancelled", "unpaid", "released", "unrouted", 0), (0, 0, 0)),
    "closed and refunded": (
        {"payment": {"status": "paid"}},
        ("cancelled", "refunded", "released", "unrouted", 0), (0, 0, 0),
    ),
    "closed after a part was shipped": (
        {"payment": {"status": "paid"}, "lines": [line("A", 3, shipped_quantity=1)]},
        ("closed", "refunded", "committed", "shipped", 100), (0, 0, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FIRST_SIGHT)
async def test_first_sight_in_any_state(api, case):
    more, expected, (owed, held, sold) = FIRST_SIGHT[case]
    status = {"part refunded": "paid", "paid on delivery": "paid"}.get(case, case.split()[0])
    (word,) = await synced(api, snapshot("t1", 7, status, line("A", 3), **more))
    assert word == "created"
    assert (await axes(api, "t1"))[:5] == expected
    assert await units(api) == [15, owed, 15 - held - sold, held, sold]
    await certificate(api)


async def test_what_is_lacking_is_owed_named_and_repaid_by_placed_at(api):
    late = snapshot("late", 1, "paid", line("A", 4), placed_at="2026-11-10T14:00:00Z")
    early = snapshot("early", 1, "paid", line("A", 3), placed_at="2026-11-10T13:00:00Z")
    results = await sync(api, snapshot("first", 1, "paid", line("A", 8)), late, early)
    assert [one["blocks"] for one in results] == [[], ["short"], ["short"]]
    assert [one["short"] for one in results] == [
        [],
        [{"line_id": f"{id_of('late')}-1", "sku": "A", "quantity": 2}],
        [{"line_id": f"{id_of('early')}-1", "sku": "A", "quantity": 3}],
    ]
    assert await units(api) == [15, 5, 5, 0, 15]
    assert (await axes(api, "late"))[2] == (await axes(api, "early"))[2] == "short"
    listed = await api.call("GET", "/v1/orders?block=short")
    assert len(listed.document["items"]) == 2

    # three units come back: the order that was placed first is repaid, though it came last
    await synced(api, snapshot("first", 2, "paid", line("A", 8, refunded_quantity=3)))
    assert (await axes(api, "early"))[2] == "committed"
    assert (await axes(api, "late"))[2] == "short"
    shown = (await api.order(id_of("early"))).document
    assert (shown["status"], shown["blocks"], shown["lines"][0]["short"]) == ("paid", [], 0)
    assert shown["timeline"][-1]["kind"] == "order.short_repaid"

    # it wants less itself: first of all it is owed less
    await synced(api, snapshot("late", 2, "paid", line("A", 4, refunded_quantity=1)))
    shown = (await api.order(id_of("late"))).document
    await recorded(api)
    shown = (await api.order(id_of("late"))).document
    assert shown["lines"][0]["short"] == 1
    await share(api, "A", 12)
    await certificate(api)
    assert (await axes(api, "late"))[2] == "committed"
    assert await api.process.pool.fetchval("SELECT count(*) FROM shorts") == 0


def story(short=0):
    """Six snapshots of one order, each a step further; it wants `short` units more of A."""

    def lines(refunded=0, shipped=0):
        return [
            line("A", 2 + short, channel_line_id="x", shipped_quantity=shipped and 2 + short),
            line("B", 2, channel_line_id="y", refunded_quantity=refunded,
                 shipped_quantity=shipped and 2 - refunded),
        ]  # fmt: skip

    paid = {
        "payment": {"status": "paid"},
        "payments": [
            {"payment_id": "p1", "amount": {"amount": 400 + 100 * short, "currency": "CNY"}}
        ],
    }
    moved = {"ship_to": {"city": "杭州市", "address": "…"}}
    return {
        "create": snapshot("t1", 101, "unpaid", *lines()),
        "pay": snapshot("t1", 102, "paid", *lines(), **paid),
        "address": snapshot("t1", 103, "paid", *lines(), **paid, **moved),
        "refund": snapshot("t1", 104, "paid", *lines(refunded=1), **paid, **moved),
        "ship": snapshot("t1", 105, "shipped", *lines(refunded=1, shipped=1), **paid, **moved),
        "close": snapshot("t1", 106, "closed", *lines(refunded=1, shipped=1), **paid, **moved),
    }  # fmt: skip


async def state_of(api, order_id):
    """Everything about an order but when its parts came."""
    pool = api.process.pool
    order = dict(await pool.fetchrow("SELECT * FROM orders WHERE order_id = $1", order_id))
    for name in ("order_id", "accepted_at", "recorded_at", "log_id", "fingerprint"):
        del order[name]
    number = order.pop("channel_order_id")
    order["document"] = order["document"].replace(f'"{number}"', "")
    found = [order]
    for columns, table in (
        ("line_no, sku, quantity, open_quantity, payable, short, channel_line_id", "order_lines"),
        ("payment_id, state, reason, amount, currency, method, stage, paid_at", "payments"),
        ("code, replace(line_id, order_id, ''), by", "blocks"),
        ("pool_id, line_no, units, placed_at", "shorts"),
    ):
        statement = f"SELECT {columns} FROM {table} WHERE order_id = $1 ORDER BY 1, 2"  # noqa: S608 - the names above
        rows = await pool.fetch(statement, order_id)
        found += [[tuple(row) for row in rows]]
    return found


async def test_every_order_of_arrival_ends_in_the_same(api):
    """All 720 permutations at once, each as an order of its own; enough for all of them."""
    await share(api, "A", 2_000)
    await share(api, "B", 2_000)
    steps, orders = story(), list(permutations(story()))
    for turn in range(len(steps)):
        arriving = [{**steps[names[turn]], "channel_order_id": f"t{n}"}
                    for n, names in enumerate(orders)]  # fmt: skip
        for first in range(0, len(arriving), 360):
            await synced(api, *arriving[first : first + 360])
    await recorded(api)
    expected = await state_of(api, id_of("t0"))
    assert expected[0]["version"] == "106"
    for n, names in enumerate(orders):
        assert await state_of(api, id_of(f"t{n}")) == expected, names
    assert await units(api) == [4_000, 0, 4_000 - 3 * 720, 0, 3 * 720]
    await certificate(api)


async def test_every_order_of_arrival_ends_in_the_same_without_enough(api):
    """One after the other on a shelf that lacks units; each goes before the next one comes."""
    steps, before, expected = story(short=20), await pools_of(api), None
    for n, names in enumerate(list(permutations(steps))[::18]):
        number = f"t{n}"
        for name in names:
            await synced(api, {**steps[name], "channel_order_id": number})
        await recorded(api)
        found = (await state_of(api, id_of(number)), await pools_of(api))
        expected = expected or found
        assert found == expected, names
        gone = {**steps["create"], "version": "107", "source_status": "closed"}
        await synced(api, {**gone, "channel_order_id": number})
        assert await pools_of(api) == before, names
    assert expected is not None
    assert expected[0][0]["stock_state"] == "short"
    await certificate(api)
