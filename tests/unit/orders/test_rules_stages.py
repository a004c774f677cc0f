"""What the log makes of an order that is paid in stages, or split from another."""

# ruff: noqa: E501 - tables are read by their columns

import pytest

from engine.kernel import events
from engine.kernel.events import Move
from engine.orders import rules
from engine.orders.types import packed
from tests.unit.orders.stretches import (
    ALL,
    ALL_PAID,
    BALANCE_END,
    CONFIRMED,
    DEPOSITED,
    FIRST,
    HELD_AGAIN,
    REST,
    STAGES,
    UNPAID_END,
    axes,
    fold,
    presold,
    refund_due,
    released,
    reserved,
    told,
)

CANCELLED_AFTER_DEPOSIT = released(ALL, "R", paid=60)
LATE_REST = events.Reheld("o", 9_900, [], REST, 2, [(1, "c", 2), (2, "b", 1)], [])

# fmt: off
#                                 stretch                                            state        money           stock        stages left
STRETCHES = {
    "waits for a deposit":       ([presold()],                                      ("open",      "unpaid",       "held"),      STAGES),
    "waits for the balance":     ([presold(), DEPOSITED],                           ("open",      "deposit_paid", "held"),      STAGES[1:]),
    "paid in two":               ([presold(), DEPOSITED, ALL_PAID],                 ("open",      "paid",         "committed"), []),
    "paid at once":              ([presold(), CONFIRMED],                           ("open",      "paid",         "committed"), []),
    "no deposit came":           ([presold(), UNPAID_END],                          ("closed",    "unpaid",       "released"),  STAGES),
    "no balance came":           ([presold(), DEPOSITED, BALANCE_END],              ("closed",    "refund_due",   "released"),  STAGES[1:]),
    "cancelled":                 ([presold(), released(ALL, "R")],                  ("cancelled", "unpaid",       "released"),  STAGES),
    "cancelled after deposit":   ([presold(), DEPOSITED, CANCELLED_AFTER_DEPOSIT],  ("cancelled", "refund_due",   "released"),  STAGES[1:]),
    "a late deposit":            ([presold(), UNPAID_END, HELD_AGAIN],              ("open",      "deposit_paid", "held"),      STAGES[1:]),
    "a late deposit, then all":  ([presold(), UNPAID_END, HELD_AGAIN, ALL_PAID],    ("open",      "paid",         "committed"), []),
    "a deposit too late":        ([presold(), UNPAID_END, refund_due("too_late", FIRST)], ("closed", "refund_due", "released"), STAGES),
    "a late balance":            ([presold(), DEPOSITED, BALANCE_END, LATE_REST],   ("open",      "paid",         "committed"), []),
    "a late balance, no goods":  ([presold(), DEPOSITED, BALANCE_END, refund_due("no_stock", REST)], ("closed", "refund_due", "released"), STAGES[1:]),
}
# fmt: on


@pytest.mark.parametrize(("stretch", "wanted", "left"), STRETCHES.values(), ids=STRETCHES)
def test_where_an_order_stands_after_a_stretch(stretch, wanted, left):
    changes = fold(*stretch)
    assert axes(changes) == wanted
    assert changes.orders["o"].stages == packed(left)


@pytest.mark.parametrize(("stretch", "wanted", "left"), STRETCHES.values(), ids=STRETCHES)
def test_cut_into_two_stretches_it_comes_to_the_same(stretch, wanted, left):
    for cut in range(1, len(stretch)):
        first, then = fold(*stretch[:cut]), fold(*stretch[cut:])
        order, patch, whole = first.orders["o"], then.patches["o"], fold(*stretch).orders["o"]
        for name, value in ((name, getattr(patch, name)) for name in type(patch).__struct_fields__):
            if value is not None:
                setattr(order, name, value)
        assert (order.state, order.payment_state, order.stock_state) == wanted
        assert order.stages == packed(left)
        for name in ("pay_by", "held_until", "attempt", "draws", "payable"):
            assert getattr(order, name) == getattr(whole, name), name
        assert sorted(told(first) + told(then)) == sorted(told(fold(*stretch)))


def test_a_deposit_moves_the_deadline_and_is_a_payment():
    changes = fold(DEPOSITED)
    patch = changes.patches["o"]
    assert (patch.pay_by, patch.held_until, patch.stages) == (9_000, 9_500, packed(STAGES[1:]))
    assert (patch.state, patch.stock_state, patch.draws) == (None, None, None)
    (row,) = changes.payments
    assert (row.payment, row.state, row.log_id) == (FIRST, "applied", "1-0")
    (event,) = changes.events
    assert (event.kind, event.actor) == ("order.deposit_paid", "key-1")
    assert event.data == {"payment_id": "d", "amount": 60}


def test_a_late_deposit_is_the_next_attempt_with_its_own_draws_and_deadline():
    changes = fold(HELD_AGAIN)
    patch = changes.patches["o"]
    assert (patch.state, patch.attempt, patch.stock_state) == ("open", 2, "held")
    assert (patch.draws, patch.pay_by, patch.held_until) == (packed(HELD_AGAIN.draws), 9_000, 9_500)
    assert told(changes) == ["order.deposit_paid"]
    assert [one.payment for one in changes.payments] == [FIRST]


ENDS = {"expired": BALANCE_END, "cancelled": CANCELLED_AFTER_DEPOSIT}


@pytest.mark.parametrize(("reason", "end"), ENDS.items(), ids=ENDS)
def test_a_deposit_without_goods_is_to_be_given_back(reason, end):
    changes = fold(end)
    assert changes.patches["o"].payment_state == "refund_due"
    assert changes.events[-1].kind == "payment.refund_due"
    assert changes.events[-1].data == {"amount": 60, "reason": reason}


@pytest.mark.parametrize("end", [UNPAID_END, released(ALL, "R")], ids=["expired", "cancelled"])
def test_without_a_deposit_nothing_is_to_be_given_back(end):
    changes = fold(end)
    assert changes.patches["o"].payment_state is None
    assert "payment.refund_due" not in told(changes)


def test_a_moved_deadline_is_that_of_the_stage_that_is_due():
    moved = [["deposit", 4_000, 5_000, [[1, 30]]], STAGES[1]]
    event = events.DeadlineMoved("o", 1_500, [], 4_000, 5_000, moved)
    for found in (fold(presold(), event).orders["o"], fold(event).patches["o"]):
        assert (found.pay_by, found.held_until, found.stages) == (4_000, 5_000, packed(moved))


def test_a_deadline_of_an_order_that_is_paid_at_once_leaves_it_so():
    event = events.DeadlineMoved("o", 1_500, [], 4_000, 5_000)
    assert fold(reserved(), event).orders["o"].stages == "[]"
    assert fold(event).patches["o"].stages is None


def split(state="P", total=150, lines=((1, 1, 100),)):
    return released(
        list(lines), state, total, [(1, "a", 1), (2, "b", 1)], kind="split", cancel_id="new"
    )


def test_what_is_split_off_leaves_the_order_with_the_rest():
    changes = fold(reserved(), split())
    order, line = changes.orders["o"], changes.lines["o", 1]
    assert axes(changes) == ("open", "unpaid", "held")
    assert (order.payable, order.draws) == (150, packed([[1, "a", 1], [2, "b", 1]]))
    assert (line.quantity, line.open_quantity, line.payable) == (2, 1, 100)
    (cancel,) = changes.cancels
    assert (cancel.cancel_id, cancel.kind, cancel.lines) == ("new", "split", [(1, 1, 100)])
    assert told(changes) == ["order.reserved", "order.split"]
    assert (changes.events[1].data, changes.events[1].actor) == ({"into": "new"}, "key-2")


def test_an_order_that_was_split_up_is_cancelled_and_owes_nothing():
    changes = fold(split("R", 0, ALL))
    patch = changes.patches["o"]
    assert axes(changes) == ("cancelled", None, "released")
    assert (patch.payable, patch.counters) == (0, "[]")
    assert told(changes) == ["order.split"]


def test_both_orders_of_a_split_in_one_stretch():
    changes = fold(reserved(), reserved("new", total=100), split())
    assert axes(changes) == axes(changes, "new") == ("open", "unpaid", "held")


def duplicate(*moves, paid=0):
    return released(ALL, "R", kind="duplicate", moves=moves, paid=paid)


PAID_TWICE = {
    "its units were sold": duplicate(Move("a", 0, 0, 2, 0, -2)),
    "one of its pools had ended": duplicate(Move("a", -2, 0, 0, 0, -2), Move("c", 2, 0, 2, 0, 0)),
    "a deposit was paid on it": duplicate(Move("a", 0, 0, 2, -2, 0), paid=60),
}


@pytest.mark.parametrize("event", PAID_TWICE.values(), ids=PAID_TWICE)
def test_a_second_hold_that_was_paid_is_for_a_person_to_see(event):
    changes = fold(event)
    patch = changes.patches["o"]
    assert "refund" in patch.attention
    assert (patch.state, patch.payment_state, patch.draws) == (None, None, None)
    assert (changes.line_cuts, changes.cancels, changes.events) == ({}, [], [])
    axes_now = {"state": "open", "payment_state": "paid", "stock_state": "committed"}
    fulfilment = {"fulfilment_state": "unrouted", "attention": patch.attention}
    assert rules.status(axes_now | fulfilment) == "needs_attention"


def test_a_second_hold_that_nobody_paid_leaves_no_trace():
    changes = fold(duplicate(Move("a", 0, 0, 2, -2, 0)))
    assert (changes.patches, changes.events) == ({}, [])
