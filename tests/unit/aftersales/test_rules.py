"""What a refund does to an order: its money, its units, its hold and its block."""

# ruff: noqa: E501 - tables are read by their columns

import pytest

from engine.aftersales import rules
from engine.aftersales.types import REFUND_REQUESTED, Block, Line, Refund, Standing, Step
from engine.kernel.errors import IdempotencyConflict, InConflict, WrongAmount

AXES = {
    "confirmed": ("open", "paid", "committed"),
    "on delivery": ("open", "on_delivery", "committed"),
    "pending": ("open", "deposit_paid", "held"),
    "pending, owed": ("open", "unpaid", "short"),
    "cancelled": ("cancelled", "refund_due", "released"),
    "expired": ("closed", "refund_due", "released"),
    "closed": ("closed", "paid", "consumed"),
}
SECOND = "a refund is due for a second payment"
LINES = "a refund is due for cancelled lines"
BROKEN = "return: UNKNOWN_POOL p"


def order(what="confirmed", **over):
    state, payment_state, stock_state = AXES[what]
    found = Standing(
        state, payment_state, stock_state, "", "CNY", 200, "", 200, 0, 0, {1: Line(2, 2, 0)}
    )
    return found._replace(**over)


def refund(state="done", amount=100, kind="cancel", lines=(), currency="CNY"):
    return Refund("o", "r1", kind, state, amount, currency, tuple(lines))


# fmt: off
#                              the order       applied  due_back  refunded  payable  attention  becomes             attention
SETTLED = {
    "a line of two":          ("confirmed",     200,     0,        100,      100,     LINES,     "partly_refunded",  ""),
    "less than the line":     ("confirmed",     200,     0,         80,      100,     LINES,     "partly_refunded",  LINES),
    "all that was paid":      ("confirmed",     200,     0,        200,      200,     "",        "refunded",         ""),
    "an allowance":           ("confirmed",     200,     0,         10,      200,     "",        "partly_refunded",  ""),
    "the second payment":     ("confirmed",     200,   200,        200,      200,     SECOND,    "paid",             ""),
    "half of the second":     ("confirmed",     200,   200,        100,      200,     SECOND,    "paid",             SECOND),
    "second, and a line":     ("confirmed",     200,   200,        300,      100,     SECOND,    "partly_refunded",  ""),
    "both":                   ("confirmed",     200,   200,        400,      200,     SECOND,    "refunded",         ""),
    "dropped lines":          ("confirmed",     300,     0,        100,      200,     LINES,     "partly_refunded",  ""),
    "another trouble stays":  ("confirmed",     200,     0,        200,      200,     BROKEN,    "refunded",         BROKEN),
    "paid before delivery":   ("on delivery",     0,    50,         50,      200,     SECOND,    "on_delivery",      ""),
    "a wrong amount":         ("pending",        60,    99,         99,      200,     SECOND,    "deposit_paid",     ""),
    "some of the wrong one":  ("pending",        60,    99,         98,      200,     SECOND,    "deposit_paid",     SECOND),
    "wrong amount, owed":     ("pending, owed",   0,    99,         99,      200,     SECOND,    "unpaid",           ""),
    "all of a cancelled":     ("cancelled",     200,     0,        200,        0,     "",        "refunded",         ""),
    "half of a cancelled":    ("cancelled",     200,     0,        100,        0,     "",        "refund_due",       ""),
    "money after the cancel": ("cancelled",       0,   200,        200,        0,     SECOND,    "refunded",         ""),
    "an expired deposit":     ("expired",        60,     0,         60,      200,     "",        "refunded",         ""),
    "deposit, late balance":  ("expired",        60,   140,         60,      200,     "",        "refund_due",       ""),
    "long delivered":         ("closed",        200,     0,         50,      200,     "",        "partly_refunded",  ""),
}
# fmt: on


@pytest.mark.parametrize("row", SETTLED.values(), ids=SETTLED)
def test_settled(row):
    what, applied, due_back, refunded, payable, attention, state, left = row
    found = order(
        what, applied=applied, due_back=due_back, refunded=refunded, payable=payable,
        attention=attention,
    )  # fmt: skip
    assert rules.settled(found) == (state, left)


# fmt: off
#                             the order        applied  due_back  refunded  asked                               what comes first
STEPS = {
    "of a confirmed order":  ("confirmed",      200,     0,        0,       refund(amount=200),                 None),
    "the rest":              ("confirmed",      200,     0,      150,       refund(amount=50),                  None),
    "more than the rest":    ("confirmed",      200,     0,      150,       refund(amount=51),                  Step.CATCH_UP),
    "more, rejected":        ("confirmed",      200,     0,      150,       refund("rejected", 51),             None),
    "more, requested":       ("confirmed",      200,     0,      150,       refund("requested", 51),            Step.CATCH_UP),
    "a deposit":             ("pending",         60,     0,        0,       refund(amount=60),                  Step.END_HOLD),
    "some of it":            ("pending",         60,     0,        0,       refund(amount=1, kind="allowance"), Step.END_HOLD),
    "a deposit, requested":  ("pending",         60,     0,        0,       refund("requested", 60),            None),
    "a deposit, expired":    ("expired",         60,     0,        0,       refund(amount=60),                  Step.END_HOLD),
    "a deposit, cancelled":  ("cancelled",       60,     0,        0,       refund(amount=60),                  None),
    "an unpaid order":       ("pending",          0,     0,        0,       refund(amount=1),                   Step.CATCH_UP),
    "wrong amount":          ("pending",         60,    99,        0,       refund(amount=99, kind="allowance"),  None),
    "more than that":        ("pending",         60,    99,        0,       refund(amount=100, kind="allowance"), Step.END_HOLD),
    "wrong amount, cancel":  ("pending",         60,    99,        0,       refund(amount=99),                  Step.END_HOLD),
    "owed and pending":      ("pending, owed",   60,     0,        0,       refund(amount=60),                  Step.END_HOLD),
    "delivered":             ("closed",         200,     0,        0,       refund(amount=60, kind="return"),   None),
}
# fmt: on


@pytest.mark.parametrize("row", STEPS.values(), ids=STEPS)
def test_what_comes_first(row):
    what, applied, due_back, refunded, asked, step = row
    found = order(what, applied=applied, due_back=due_back, refunded=refunded)
    assert rules.step_before(found, asked, caught_up=False, ended=False) is step
    if step is Step.END_HOLD:
        assert rules.step_before(found, asked, caught_up=False, ended=True) is None
    if step is Step.CATCH_UP:
        with pytest.raises(WrongAmount) as refusal:
            rules.step_before(found, asked, caught_up=True, ended=False)
        left = applied + due_back - refunded
        assert refusal.value.extra == {"accepted": {"amount": left, "currency": "CNY"}}


def test_what_a_marketplace_gave_back_is_not_judged():
    found = order(version="7", applied=0, refunded=500)
    asked = refund(amount=10**9, lines=[(1, 9)])
    assert rules.step_before(found, asked, caught_up=False, ended=False) is None


def test_another_currency_is_refused_in_any_state():
    for state in ("requested", "done", "rejected"):
        with pytest.raises(WrongAmount, match="CNY"):
            rules.step_before(
                order(), refund(state, currency="USD"), caught_up=False, ended=False
            )  # fmt: skip


# fmt: off
#                       known         asked        goes on
STATES = {
    "again":           ("requested",  "requested", False),
    "done":            ("requested",  "done",      True),
    "rejected":        ("requested",  "rejected",  True),
    "done again":      ("done",       "done",      False),
    "late request":    ("done",       "requested", False),
    "after rejection": ("rejected",   "requested", False),
    "done after all":  ("rejected",   "done",      True),
}
# fmt: on


@pytest.mark.parametrize("row", STATES.values(), ids=STATES)
def test_states_go_one_way(row):
    known, asked, news = row
    assert rules.is_news(refund(known), refund(asked)) is news


def test_what_is_done_cannot_be_rejected():
    with pytest.raises(InConflict):
        rules.is_news(refund("done"), refund("rejected"))


@pytest.mark.parametrize("changed", [{"amount": 99}, {"kind": "return"}, {"lines": [(1, 1)]}])
@pytest.mark.parametrize("state", ["requested", "done", "rejected"])
def test_the_same_refund_says_the_same(changed, state):
    with pytest.raises(IdempotencyConflict):
        rules.is_news(refund("done"), refund(state, **changed))


# fmt: off
#                          quantity  open  refunded  asked  cut
CUTS = {
    "one of two":           (2,       2,    0,        1,    1),
    "the other":            (2,       1,    1,        1,    1),
    "cancelled before":     (2,       1,    0,        1,    0),
    "one of both cancelled":(2,       1,    0,        2,    1),
    "all gone":             (2,       0,    0,        2,    0),
}
# fmt: on


@pytest.mark.parametrize("row", CUTS.values(), ids=CUTS)
def test_units_that_go_back(row):
    *line, asked, cut = row
    found = order(lines={1: Line(*line)})
    assert sum(n for _, n in rules.units_to_cut(found, refund(lines=[(1, asked)]))) == cut


@pytest.mark.parametrize("what", ["cancelled", "expired", "closed"])
def test_nothing_goes_back_from_an_order_that_is_over(what):
    assert rules.units_to_cut(order(what), refund(lines=[(1, 1)])) == ()


@pytest.mark.parametrize("kind", ["return", "allowance"])
def test_only_a_cancel_gives_units_back(kind):
    assert rules.units_to_cut(order(), refund(kind=kind, lines=[(1, 1)])) == ()


@pytest.mark.parametrize(("n", "units", "refunded"), [(1, 3, 0), (1, 1, 2), (2, 1, 0)])
def test_no_more_units_than_were_sold(n, units, refunded):
    found = order(lines={1: Line(2, 2, refunded)})
    with pytest.raises(InConflict):
        rules.step_before(found, refund(lines=[(n, units)]), caught_up=True, ended=False)


#            the order, the refund, whether its snapshot is still to come
SNAPSHOTS = {
    "not yet": (order(version="7"), refund(lines=[(1, 1)]), True),
    "there": (order(version="7", lines={1: Line(2, 1, 0)}), refund(lines=[(1, 1)]), False),
    "closed": (order("cancelled", version="7"), refund(lines=[(1, 1)]), False),
    "no lines": (order(version="7"), refund(), True),
    "requested": (order(version="7"), refund("requested", lines=[(1, 1)]), False),
    "goodwill": (order(version="7"), refund(kind="allowance"), False),
    "ours": (order(), refund(lines=[(1, 1)]), False),
}


@pytest.mark.parametrize("row", SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_units_of_a_marketplace_wait_for_its_snapshot(row):
    found, asked, waits = row
    assert rules.waits_for_snapshot(found, asked) is waits


def test_the_block_names_the_oldest_request_and_then_what_it_waits_for():
    block = rules.block_of(["r2", "r3"], waits=True)
    assert block == Block(REFUND_REQUESTED, "", "refund r2 is requested", None)
    assert "snapshot" in rules.block_of([], waits=True).reason
    assert rules.block_of([], waits=False) is None
