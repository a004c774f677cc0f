"""Which rule applies, and which of several decides."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest

from engine.logical.rules.matching import Book, applied
from engine.logical.types.bases import Card, Place, Rule

CARD = Card("A", "acme", "tea", "leaf")
PLACE = Place("N", "east", enabled=True, controlled_by="us", zone=UTC)
ALL_OF_IT = {"sku": "A", "category": "tea", "brand": "leaf", "owner": "acme", "node": "N",
             "node_group": "east"}  # fmt: skip
# From the most specific one on.
SCOPES = [
    ("sku", "node", "node_group"), ("sku", "node"), ("sku", "node_group"), ("sku", "category"),
    ("sku",), ("node", "category"), ("node",), ("node_group", "category"), ("node_group",),
    ("category", "brand"), ("category",), ("brand", "owner"), ("brand",), ("owner",), (),
]  # fmt: skip


AT = datetime(2026, 11, 11, tzinfo=UTC)


def rule(name, *scope, kind="safety", units=1, **more):
    return Rule(name, kind, **{field: ALL_OF_IT[field] for field in scope}, units=units, **more)


def aside(name, *scope):
    return rule(name, *scope, kind="set_aside")


def found(rules, card=CARD, place=PLACE):
    return Book(rules, AT).of(card, place)


@pytest.mark.parametrize("n", range(len(SCOPES) - 1))
def test_the_more_specific_one_decides(n):
    narrow, wide = rule("z", *SCOPES[n]), rule("a", *SCOPES[n + 1], units=9)
    for told in permutations([narrow, wide]):
        assert found(told).safety is narrow


def test_of_one_scope_a_dated_one_decides_then_the_one_that_withholds_more_then_the_id():
    dated = rule("z", "sku", units=0, ends_at=datetime(2027, 1, 1, tzinfo=UTC))
    more, first, second = rule("c", "sku", units=5), rule("a", "sku"), rule("b", "sku")
    for told in permutations([dated, more, first, second]):
        assert found(told).safety is dated
    for told in permutations([more, first, second]):
        assert found(told).safety is more
    assert found([second, first]).safety is first
    days = [Rule("a", "expiry", days=1), Rule("b", "expiry", days=2)]
    assert (found(days).expiry, found(days).needed) == ("b", date(2026, 11, 13))
    assert (found([]).expiry, found([]).needed) == ("", date(2026, 11, 11))
    assert found(days).safety is None


@pytest.mark.parametrize("field", ALL_OF_IT)
def test_everything_that_a_rule_names_must_be_so(field):
    fits, other = aside("r", field), aside("r", field)._replace(**{field: "other"})
    for one in (aside("g"), aside("g", "sku")):
        assert found([one, other]).set_asides == (one,)
        assert found([one, fits]).set_asides == (one, fits)


def test_what_was_found_for_one_sku_is_not_told_of_another():
    book = Book([aside("a", "category"), aside("b", "sku"), aside("c", "node")], AT)

    def ids(card, place=PLACE):
        return "".join(one.id for one in book.of(card, place).set_asides)

    for _ in range(2):
        assert ids(CARD) == "abc"
        assert ids(CARD._replace(sku="B")) == "ac"
        assert ids(CARD._replace(sku="B", category="")) == "c"
        assert ids(CARD, PLACE._replace(node="M")) == "ab"


def test_the_next_bound_is_told_whether_or_not_a_rule_is_in_force():
    hours = [AT + timedelta(hours=n) for n in range(4)]
    told = [rule("a", ends_at=hours[3]), rule("b", starts_at=hours[2]), rule("c", ends_at=hours[0])]
    assert found(told).changes_at == hours[2]
    assert applied(told, PLACE, hours[2]).changes_at == hours[3]
    assert applied(told, PLACE, hours[3]).changes_at is None
