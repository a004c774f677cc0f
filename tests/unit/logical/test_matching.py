"""Which rule applies, and which of several decides."""

from datetime import UTC, datetime
from itertools import permutations

import pytest

from engine.logical.rules.matching import Book, decides
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


def rule(name, *scope, units=1, **more):
    return Rule(name, "safety", **{field: ALL_OF_IT[field] for field in scope}, units=units, **more)


@pytest.mark.parametrize("n", range(len(SCOPES) - 1))
def test_the_more_specific_one_decides(n):
    narrow, wide = rule("z", *SCOPES[n]), rule("a", *SCOPES[n + 1], units=9)
    for told in permutations([narrow, wide]):
        assert decides(Book(told).of(CARD, PLACE), "safety") is narrow


def test_of_one_scope_a_dated_one_decides_then_the_one_that_withholds_more_then_the_id():
    dated = rule("z", "sku", units=0, ends_at=datetime(2027, 1, 1, tzinfo=UTC))
    more, first, second = rule("c", "sku", units=5), rule("a", "sku"), rule("b", "sku")
    for told in permutations([dated, more, first, second]):
        assert decides(told, "safety") is dated
    for told in permutations([more, first, second]):
        assert decides(told, "safety") is more
    assert decides([second, first], "safety") is first
    days = [Rule("a", "expiry", days=1), Rule("b", "expiry", days=2)]
    assert decides(days, "expiry") is days[1]
    assert decides(days, "safety") is None


@pytest.mark.parametrize("field", ALL_OF_IT)
def test_everything_that_a_rule_names_must_be_so(field):
    fits, other = rule("r", field), rule("r", field)._replace(**{field: "other"})
    for one in (rule("g"), rule("g", "sku")):
        assert Book([one, other]).of(CARD, PLACE) == [one]
        assert sorted(Book([one, fits]).of(CARD, PLACE)) == sorted([one, fits])


def test_what_was_found_for_one_sku_is_not_told_of_another():
    book = Book([rule("a", "category"), rule("b", "sku")])
    assert [one.id for one in book.of(CARD, PLACE)] == ["a", "b"]
    assert [one.id for one in book.of(CARD._replace(sku="B"), PLACE)] == ["a"]
    assert book.of(CARD._replace(sku="B", category=""), PLACE) == []
    assert [one.id for one in book.of(CARD, PLACE._replace(node="M"))] == ["a", "b"]
