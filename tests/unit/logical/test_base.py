"""The chain of one SKU at one node, case by case."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.logical.rules.base import node_base
from engine.logical.rules.matching import applied
from engine.logical.types.bases import Held, Place, Rule, Term

AT = datetime(2026, 11, 11, 12, tzinfo=UTC)
TODAY = date(2026, 11, 11)
N = Place("N", "", enabled=True, controlled_by="us", zone=ZoneInfo("Asia/Shanghai"))


def key(units, condition="good", batch="", expires=None, **physical):
    """A key with `units` on hand; `physical` is what is locked, committed, handed over, shipped."""
    there = {"locked": 0, "committed": 0, "handed_over": 0, "shipped": 0} | physical
    left = units - there["locked"] - there["committed"] - there["handed_over"]
    return Held(condition, batch, expires, units, **there, sellable=left)


def chain(*held, rules=(), place=N, at=AT):
    return node_base(place, held, applied(rules, place, at))


def terms(*held, rules=(), at=AT):
    made = chain(*held, rules=rules, at=at)
    assert made.on_hand - sum(term.units for term in made.terms) == made.sellable
    return [(term.kind, term.units, term.rule or term.detail) for term in made.terms], made.sellable


def hold(name="h", **what):
    return Rule(name, "quality_hold", **what)


def safety(units, name="s", **what):
    return Rule(name, "safety", units=units, **what)


def aside(name, units=None, percent=None):
    return Rule(name, "set_aside", units=units, percent=percent)


def expiry(days, name="e", **what):
    return Rule(name, "expiry", days=days, **what)


LATE, SOON, PAST = date(2027, 11, 11), date(2026, 11, 14), date(2026, 11, 10)
CASES = {
    "physical": (
        [key(10, locked=1, committed=2, handed_over=3, shipped=9)], [],
        [("locked", 1, ""), ("committed", 2, ""), ("handed_over", 3, "")], 4,
    ),
    "an unlock without a lock adds": ([key(10, locked=-1)], [], [("locked", -1, "")], 11),
    "only good units": (
        [key(10), key(3, "defective"), key(2, "box_damaged")], [],
        [("condition", 2, "box_damaged"), ("condition", 3, "defective")], 10,
    ),
    "another condition by rule": (
        [key(10), key(3, "defective"), key(2, "box_damaged")],
        [Rule("c", "condition", condition="box_damaged")],
        [("condition", 3, "defective")], 12,
    ),
    "another condition of one batch": (
        [key(2, "box_damaged", "x"), key(4, "box_damaged", "y")],
        [Rule("c", "condition", condition="box_damaged", batch="y")],
        [("condition", 2, "box_damaged")], 4,
    ),
    "units without a batch, where one batch of the condition is sold": (
        [key(5, "box_damaged", "x"), key(4, "box_damaged", "y"), key(-3, "box_damaged")],
        [Rule("c", "condition", condition="box_damaged", batch="y")],
        [("condition", 5, "box_damaged")], 1,
    ),
    "and where that one is past its window": (
        [key(1, "box_damaged", "x", PAST), key(0, "box_damaged", handed_over=1)],
        [Rule("c", "condition", condition="box_damaged", batch="x")],
        [("handed_over", 1, "")], 0,
    ),
    "a loss of good units is not made good by bad ones": (
        [key(0, committed=3), key(10, "defective")], [],
        [("committed", 3, ""), ("condition", 10, "defective")], -3,
    ),
    "a loss in a condition that is not sold stays": (
        [key(10), key(0, "defective", committed=2)], [], [("committed", 2, "")], 8,
    ),
    "what is committed of no batch is of the batches there are": (
        [key(10, batch="x"), key(0, committed=3)], [], [("committed", 3, "")], 7,
    ),
    "a hold of all that matches": (
        [key(10, batch="x"), key(5, batch="y")], [hold(batch="x")], [("quality_hold", 10, "h")], 5,
    ),
    "a hold of some units": (
        [key(10, batch="x"), key(5, batch="y")], [hold(batch="x", units=4)],
        [("quality_hold", 4, "h")], 11,
    ),
    "holds of different things add up": (
        [key(10)], [hold("a", units=3), hold("b", units=4)],
        [("quality_hold", 3, "a"), ("quality_hold", 4, "b")], 3,
    ),
    "a unit is held once": (
        [key(10, batch="x")], [hold("a", batch="x"), hold("b"), hold("c", units=5)],
        [("quality_hold", 10, "a")], 0,
    ),
    "a hold of a condition": (
        [key(10), key(4, "box_damaged")],
        [Rule("c", "condition", condition="box_damaged"), hold(condition="box_damaged")],
        [("quality_hold", 4, "h")], 10,
    ),
    "a hold of what is not sold anyway": (
        [key(10), key(4, "defective")], [hold(condition="defective")],
        [("condition", 4, "defective")], 10,
    ),
    "a hold of units takes those that would be sold": (
        [key(10, batch="a", expires=PAST), key(10, batch="b", expires=LATE)], [hold(units=4)],
        [("quality_hold", 4, "h"), ("expiry", 10, "")], 6,
    ),
    "units without a batch are first of what may be sold": (
        [key(10, batch="x"), key(5, batch="y"), key(0, committed=3)], [hold(batch="x")],
        [("committed", 3, ""), ("quality_hold", 10, "h")], 2,
    ),
    "and then of what is held": (
        [key(10, batch="x"), key(0, committed=3)], [hold(batch="x")],
        [("committed", 3, ""), ("quality_hold", 7, "h")], 0,
    ),
    "and a loss beyond it stays": (
        [key(10, batch="x"), key(0, committed=12)], [hold(batch="x")], [("committed", 12, "")], -2,
    ),
    "good on its last day and gone after it": (
        [key(1, batch="a", expires=PAST), key(2, batch="b", expires=TODAY)], [],
        [("expiry", 1, "")], 2,
    ),
    "a window": (
        [key(1, batch="a", expires=SOON), key(2, batch="b", expires=LATE), key(4)], [expiry(4)],
        [("expiry", 1, "e")], 6,
    ),
    "exactly so many days": ([key(1, batch="a", expires=SOON)], [expiry(3)], [], 1),
    "held and past its window": (
        [key(5, batch="a", expires=PAST)], [hold(batch="a", units=2)],
        [("quality_hold", 2, "h"), ("expiry", 3, "")], 0,
    ),
    "safety": ([key(10)], [safety(4)], [("safety", 4, "s")], 6),
    "safety withholds what is there": ([key(3)], [safety(4)], [("safety", 3, "s")], 0),
    "safety of nothing": ([key(0, committed=2)], [safety(4)], [("committed", 2, "")], -2),
    "safety of 0": ([key(3)], [safety(0)], [], 3),
    "set-asides add up": (
        [key(10)], [aside("b", 3), aside("a", 2)],
        [("set_aside", 2, "a"), ("set_aside", 3, "b")], 5,
    ),
    "set-asides withhold what is there": (
        [key(4)], [aside("b", 3), aside("a", 2)],
        [("set_aside", 2, "a"), ("set_aside", 2, "b")], 0,
    ),
    "percentages are of one whole, rounded up": (
        [key(11)], [aside("a", percent=1_000), aside("b", percent=1_000), safety(1)],
        [("safety", 1, "s"), ("set_aside", 1, "a"), ("set_aside", 1, "b")], 8,
    ),
    "a percentage of a few": (
        [key(3)], [aside("a", percent=1)], [("set_aside", 1, "a")], 2,
    ),
    "a percentage of a loss": ([key(-3)], [aside("a", percent=5_000)], [], -3),
    "all of it": (
        [
            key(100, batch="x", expires=LATE, locked=1), key(0, committed=2, handed_over=3),
            key(7, "defective"), key(20, batch="y", expires=PAST),
        ],
        [hold("h", units=4), expiry(1), safety(5), aside("w", percent=1_000)],
        [
            ("locked", 1, ""), ("committed", 2, ""), ("handed_over", 3, ""),
            ("condition", 7, "defective"), ("quality_hold", 4, "h"), ("expiry", 20, "e"),
            ("safety", 5, "s"), ("set_aside", 9, "w"),
        ], 76,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_withheld(case):
    held, rules, expected, sellable = CASES[case]
    assert terms(*held, rules=rules) == (expected, sellable)
    assert terms(*reversed(held), rules=rules[::-1]) == (expected, sellable)


def test_days_are_those_of_the_node():
    batch = key(1, batch="a", expires=TODAY)
    before, after = (
        datetime(2026, 11, 11, 15, 59, tzinfo=UTC),
        datetime(2026, 11, 11, 16, tzinfo=UTC),
    )
    assert terms(batch, at=before)[1] == 1
    assert terms(batch, at=after)[1] == 0
    assert chain(batch, place=N._replace(zone=UTC), at=after).sellable == 1


def test_a_rule_holds_from_its_beginning_until_before_its_end():
    rule = safety(4, starts_at=AT, ends_at=AT.replace(hour=13))
    for moment, left in ((11, 10), (12, 6), (13, 10)):
        assert terms(key(10), rules=[rule], at=AT.replace(hour=moment))[1] == left


@pytest.mark.parametrize(
    ("more", "why_not"),
    [
        ({}, ""),
        ({"enabled": False}, "disabled"),
        ({"controlled_by": "channel"}, "controlled_by_channel"),
        ({"controlled_by": "supplier"}, "controlled_by_supplier"),
        ({"controlled_by": "supplier", "enabled": False}, "disabled"),
    ],
)
def test_whether_a_node_counts(more, why_not):
    made = chain(key(5, committed=1, handed_over=1, shipped=7), place=N._replace(**more))
    assert (made.counts, made.why_not) == (not why_not, why_not)
    assert (made.on_hand, made.sellable, made.assigned) == (5, 3, 9)
    assert made.terms == (Term("committed", 1), Term("handed_over", 1))
