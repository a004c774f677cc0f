"""The view over all sources: its order, its pages, and what the triggers keep of orders."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from engine.desk import rules, store
from engine.desk.types import Wanted
from engine.infra import postgres
from engine.kernel.types import MAIN
from tests.flow.shipping import ORDER

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def pool(database_url):
    async with await postgres.open_pool(database_url) as one:
        yield one


async def order(pg, order_id, ship_by=None):
    promise = {} if ship_by is None else {"promise": {"ship_by": ship_by.isoformat()}}
    await pg.execute(ORDER, order_id, msgspec.json.encode(promise).decode())
    await pg.execute(
        "INSERT INTO order_lines (order_id, line_no, sku, quantity, open_quantity, payable)"
        " VALUES ($1, 1, 'A', 3, 3, 180), ($1, 2, 'B', 2, 2, 120)", order_id,
    )  # fmt: skip


async def blocked(pg, order_id, code="manual", line="", since=NOW, until=None):
    await pg.execute(
        "INSERT INTO blocks (order_id, code, line_id, since, until) VALUES ($1, $2, $3, $4, $5)",
        order_id, code, line, since, until,
    )  # fmt: skip


async def queued(pg, order_id, queue, since=NOW):
    await pg.execute(
        "INSERT INTO routing_queue (order_id, tenant, queue, reason, since, facts, row_version)"
        " VALUES ($1, 'main', $2, 'no_stock', $3, '', '')", order_id, queue, since,
    )  # fmt: skip


async def ids(pool, limit=100, **wanted):
    return [one.id for one in await store.listed(pool, Wanted(MAIN, **wanted), NOW, limit)]


async def test_all_sources_are_one_list_by_urgency_in_pages_of_any_length(pool, pg):
    for n in range(4):
        await order(pg, f"o{n}", NOW + n * HOUR if n < 3 else None)
        await blocked(pg, f"o{n}", since=NOW - n * HOUR)
        await queued(pg, f"o{n}", "BACKORDER", NOW - 2 * n * HOUR)
    await order(pg, "o9")
    await blocked(pg, "o9", since=NOW - 9 * HOUR)
    wanted = [
        "block:manual:o0", "queue:o0", "queue:o1", "block:manual:o1", "queue:o2",
        "block:manual:o2", "block:manual:o9", "queue:o3", "block:manual:o3",
    ]  # fmt: skip
    assert await ids(pool) == wanted
    for length in (1, 2, 4):
        seen, after = [], None
        while page := await store.listed(pool, Wanted(MAIN, after=after), NOW, length):
            seen += [one.id for one in page]
            after = (page[-1].ship_by, page[-1].since, page[-1].id)
        assert seen == wanted
    due = [one.ship_by for one in await store.listed(pool, Wanted(MAIN), NOW, 6)]
    assert all(one <= other for one, other in pairwise(due))
    assert await ids(pool, overdue=True) == [], "what has to leave now is not late yet"
    assert await ids(pool, ship_by_before=NOW + HOUR) == wanted[:2]
    assert await ids(pool, since_before=NOW - 9 * HOUR) == ["block:manual:o9"]
    assert await ids(pool, codes=("manual",), ids=("queue:o1", "block:manual:o1")) == [wanted[3]]
    assert await ids(pool, sku="B") == wanted
    assert await ids(pool, sku="C") == await ids(pool, channel="tmall") == []
    counted = await store.counts(pool, MAIN, rules.CODES)
    assert {code: n for code, n in counted.items() if n} == {"manual": 5, "backorder": 4}


async def test_of_a_block_on_a_line_its_money_is_at_risk_and_what_is_over_is_not_listed(pool, pg):
    await order(pg, "o1")
    await blocked(pg, "o1", "price", "o1-2")
    await blocked(pg, "o1", "review")
    await blocked(pg, "o1", "cool_off", until=NOW + HOUR)
    await blocked(pg, "o1", "channel_hold", until=NOW - HOUR)
    found = {one.code: one for one in await store.listed(pool, Wanted(MAIN), NOW, 9)}
    assert found.keys() == {"price", "review"}
    price, review = found["price"], found["review"]
    assert (price.amount, price.sku, price.line_id, price.id) == (
        120, "B", "o1-2", "block:price:o1-2",
    )  # fmt: skip
    assert (review.amount, review.sku) == (300, "")
    assert await ids(pool, sku="A") == ["block:review:o1"]
    await pg.execute("UPDATE orders SET state = 'cancelled'")
    assert await ids(pool) == []


async def cares(pg):
    return [tuple(row) for row in await pg.fetch("SELECT code, reason FROM order_cares ORDER BY 1")]


@pytest.mark.parametrize(
    ("payment_state", "attention", "kept"),
    [
        ("paid", "", []),
        ("refund_due", "", [("refund_due", "the order ended and was paid")]),
        ("paid", "look", [("needs_attention", "look")]),
        ("refund_due", "look", [("needs_attention", "look"), ("refund_due", "look")]),
        ("paid", "a refund is due for x", [("refund_due", "a refund is due for x")]),
    ],
)
async def test_what_needs_a_person_is_kept_from_whoever_writes_an_order(
    pg, payment_state, attention, kept
):
    change = "UPDATE orders SET payment_state = $1, attention = $2"
    await order(pg, "o1")
    assert await cares(pg) == []
    await pg.execute(change, payment_state, attention)
    assert await cares(pg) == kept
    since = await pg.fetch("SELECT since FROM order_cares")
    await pg.execute(change, payment_state, attention)
    assert await pg.fetch("SELECT since FROM order_cares") == since
    await pg.execute(
        'INSERT INTO orders SELECT (jsonb_populate_record(o, \'{"order_id": "o2"}\')).*'
        " FROM orders AS o"
    )
    assert len(await cares(pg)) == 2 * len(kept)
    await pg.execute(change, "refunded", "")
    assert await cares(pg) == []


async def webhook(pg, name, state="active", cause="", dead=0):
    await pg.execute(
        "INSERT INTO webhook_endpoints (endpoint_id, tenant, url, description, types, patterns,"
        " channels, actor, cursor, state, cause)"
        " VALUES ($1, 'main', 'https://a.example', '', '{}', '{}', '{}', '', 0, $2, $3)",
        name, state, cause,
    )  # fmt: skip
    await pg.execute(
        "INSERT INTO webhook_waiting (endpoint_id, seq, key, state)"
        " SELECT $1, n, '', CASE WHEN n <= $2 THEN 'dead' ELSE 'waiting' END"
        " FROM generate_series(1, $2 + 1) AS n", name, dead,
    )  # fmt: skip


async def test_a_webhook_waits_for_a_person_once_something_was_given_up_or_it_was_disabled(
    pool, pg
):
    await webhook(pg, "whe_well")
    await webhook(pg, "whe_by_hand", "disabled", "by_hand")
    await webhook(pg, "whe_gone", "disabled", "gone")
    await webhook(pg, "whe_dead", dead=2)
    found = {one.subject: one for one in await store.listed(pool, Wanted(MAIN), NOW, 9)}
    assert {one.code for one in found.values()} == {"webhook_failed"}
    assert {name: one.reason for name, one in found.items()} == {
        "whe_gone": "it is told nothing: gone",
        "whe_dead": "messages were given up, 2 dead letters",
    }
    assert await ids(pool, channel="mall") == []
    calls = [one.call for one in rules.remedies_of(found["whe_dead"])]
    assert calls == ["POST /v1/webhooks/whe_dead/enable", "POST /v1/webhooks/whe_dead/replay"]
