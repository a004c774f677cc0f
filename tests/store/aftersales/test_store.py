"""What is counted of refunds, and which blocks are lifted."""

import pytest

from engine.aftersales import store
from engine.aftersales.types import Block, Line, Refund

ORDER = """
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, draws, counters, document
) VALUES (
  $1, '1', 'main', 'mall', $1, '', '', 'sale', 'open', 'paid', 'committed', 'unrouted', 'CNY', 300,
  1, '', now(), now(), '1-0', 'k', '[]', '[]', '{}'
)
"""
LINE = """
INSERT INTO order_lines (order_id, line_no, sku, quantity, open_quantity, payable)
VALUES ($1, $2, 'A', $3, $4, 100)
"""
PAYMENT = """
INSERT INTO payments (order_id, payment_id, state, amount, currency, method, stage)
VALUES ($1, $2, $3, $4, 'CNY', '', 'full')
"""

PAID = (
    ("p1", "applied", 100),
    ("p2", "applied", 30),
    ("p3", "refund_due", 7),
    ("p4", "received", 5),
)


@pytest.fixture
async def tx(pg):
    for order_id in ("o", "other"):
        await pg.execute(ORDER, order_id)
        await pg.execute(LINE, order_id, 1, 3, 2)
        await pg.execute(LINE, order_id, 2, 1, 1)
    async with pg.transaction():
        yield pg


async def refund(tx, refund_id, state, lines=(), **over):
    one = Refund("o", refund_id, "cancel", state, 10, "CNY", tuple(lines))._replace(**over)
    await store.save(tx, one, "k")
    return one


async def standing(tx):
    return await store.standing(tx, await store.lock(tx, "o"))


async def test_only_what_is_there_and_what_is_done_counts(tx):
    for payment_id, state, amount in PAID:
        await tx.execute(PAYMENT, "o", payment_id, state, amount)
    await tx.execute(PAYMENT, "other", "p1", "applied", 1_000)
    await refund(tx, "r1", "done", [(1, 1)], amount=11)
    await refund(tx, "r2", "done", [(1, 1), (2, 1)], amount=12)
    await refund(tx, "r3", "done", [(1, 1)], kind="return", amount=13)
    await refund(tx, "r4", "requested", [(1, 1)], amount=14)
    await refund(tx, "r5", "rejected", [(1, 1)], amount=15)
    await refund(tx, "r1", "done", [(2, 1)], order_id="other")
    found = await standing(tx)
    assert (found.applied, found.due_back, found.refunded) == (130, 7, 36)
    assert found.lines == {1: Line(3, 2, 2), 2: Line(1, 1, 1)}
    assert await store.count(tx, "o") == 5


async def test_a_refund_is_read_as_it_was_written_and_only_its_state_moves(tx):
    assert await store.refund(tx, "o", "r1") is None
    asked = await refund(tx, "r1", "requested", [(1, 2), (2, 1)])
    await refund(tx, "r0", "requested")
    assert await store.refund(tx, "o", "r1") == asked
    assert await store.requested(tx, "o") == ["r0", "r1"]
    await refund(tx, "r1", "done", amount=99)
    assert await store.refund(tx, "o", "r1") == asked._replace(state="done")
    assert await store.requested(tx, "o") == ["r0"]
    assert await store.requested(tx, "other") == []


async def test_a_lift_tells_of_what_stood_and_touches_nothing_else(tx):
    past = await tx.fetchval("SELECT now() - interval '1 s'")
    for line in ("", "o-1", "o-2"):
        await store.set_block(tx, "o", Block("manual", line, "why", None), "k")
    await store.set_block(tx, "o", Block("manual", "o-2", "why", past), "k")
    await store.set_block(tx, "o", Block("review", "", "why", None), "k")
    await store.set_block(tx, "other", Block("manual", "", "why", None), "k")
    assert await store.lift(tx, "o", "manual", "o-1") == ["o-1"]
    assert await store.lift(tx, "o", "manual", None) == [""]
    assert await store.lift(tx, "o", "manual", None) == []
    assert await store.block(tx, "o", "manual", "o-2") is None
    assert [row["code"] for row in await store.blocks(tx, "o")] == ["review"]
    assert [row["code"] for row in await store.blocks(tx, "other")] == ["manual"]


async def test_a_block_that_stands_keeps_since_when_and_one_that_passed_begins_anew(tx):
    past = await tx.fetchval("SELECT now() - interval '1 s'")
    for until, kept in ((None, True), (past, False)):
        await store.set_block(tx, "o", Block("manual", "", "first", until), "k1")
        await tx.execute("UPDATE blocks SET since = now() - interval '1 h'")
        before = (await store.block(tx, "o", "manual", ""))["since"]
        await store.set_block(tx, "o", Block("manual", "", "second", None), "k2")
        found = await store.block(tx, "o", "manual", "")
        assert (found["reason"], found["by"], found["until"]) == ("second", "k2", None)
        assert (found["since"] == before) is kept
