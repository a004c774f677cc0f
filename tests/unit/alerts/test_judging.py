"""Of all rules that fit, the nearest one decides what is worth an alert."""

from itertools import permutations

import pytest

from engine.alerts.rules.judging import furthest, judge, nearest
from engine.alerts.types.facts import Alert, Card, Fact, Rule, Subject

TEA = Subject("tea", "mall")
CARDS = {"tea": Card("drinks", "leaf")}


def low(units, subject=TEA):
    return Fact("low", subject, units)


def rule(key, limit=5, kind="low", severity="warning", **more):
    return Rule(key, kind, limit, severity, **more)


def judged(fact, *rules):
    found = judge([fact], CARDS, rules)
    return next(iter(found.items()), None)


@pytest.mark.parametrize(
    ("fact", "rules", "want"),
    [
        (low(5), [rule("r")], ("low", Alert(5, 5, "warning", "r"))),
        (low(6), [rule("r")], None),
        (low(5), [], None),
        (low(0), [rule("r")], ("sold_out", Alert(0, 0, "info", ""))),
        (low(0), [rule("r", 0, "sold_out", "critical")],
         ("sold_out", Alert(0, 0, "critical", "r"))),
        (low(0), [rule("r", 0, "sold_out", quiet=True)], None),
        (Fact("short", TEA, 1), [], ("short", Alert(1, 1, "critical", ""))),
        (Fact("short", TEA, 1), [rule("r", 2, "short")], None),
        (Fact("owed", TEA, 7), [rule("r", 7, "owed")], ("owed", Alert(7, 7, "warning", "r"))),
        (Fact("aging", TEA, 700), [], None),
        (Fact("aging", TEA, 30), [rule("r", 30, "aging")],
         ("aging", Alert(30, 30, "warning", "r"))),
        (Fact("stale_feed", Subject(node="N"), 61), [rule("r", 60, "stale_feed", node="M")], None),
        (Fact("unmapped_listing", Subject("", "jd", item_id="7"), 0), [],
         ("unmapped_listing", Alert(0, 0, "warning", ""))),
    ],
)  # fmt: skip
def test_the_table(fact, rules, want):
    found = judged(fact, *rules)
    assert found == (want and ((want[0], fact.subject), want[1]))


NEAR_TO_FAR = (
    rule("a", sku="tea", channel="mall"), rule("b", sku="tea"), rule("c", category="drinks"),
    rule("d", brand="leaf"), rule("e", channel="mall"), rule("f"),
)  # fmt: skip


def test_the_nearest_scope_decides_whatever_the_order_of_rules():
    for n in range(len(NEAR_TO_FAR)):
        for some in permutations(NEAR_TO_FAR[n:][:4]):
            (_, alert) = judged(low(3), *some)
            assert alert.rule == NEAR_TO_FAR[n].id


def test_what_a_rule_names_must_be_so():
    for other in (
        rule("r", sku="milk"),
        rule("r", category="x"),
        rule("r", brand="x"),
        rule("r", channel="jd"),
    ):
        assert judged(low(3), other) is None


def test_a_quiet_rule_that_is_nearer_forbids_what_a_farther_one_wants():
    assert judged(low(3), rule("far"), rule("near", sku="tea", quiet=True)) is None
    assert judged(low(3), rule("far", quiet=True), rule("near", sku="tea")) is not None


def test_how_much_has_to_be_measured():
    rules = [rule("a", 5), rule("b", 50), rule("c", 500, quiet=True), rule("d", 9, "short")]
    assert (furthest(rules, "low"), nearest(rules, "short")) == (50, 1)
    assert (furthest([], "low"), nearest([], "aging")) == (None, None)
