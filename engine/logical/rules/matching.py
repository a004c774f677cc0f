"""Which rules apply to a SKU at a node, and which of several decides.

A rule applies where everything that it names is so. Of `safety` and `expiry` one rule decides: the
one with the most specific scope, and of scopes the one counts more that stands first in

    sku > node > node_group > category > brand > owner > all

compared from the left, so that sku with node is before sku alone, and sku alone before node. Where
that is equal, one with a beginning or an end is before one without, because it was meant for an
occasion; then the one that withholds more; then the one whose id comes first.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from engine.logical.types.bases import Card, Place, Rule
from engine.logical.types.documents import RuleKind


class Book:
    """Rules of a tenant, laid out so that those of a SKU at a node are found without a search."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Take enabled rules; their order is of no matter."""
        self._by_sku: dict[str, list[Rule]] = {}
        for rule in rules:
            self._by_sku.setdefault(rule.sku, []).append(rule)
        self._general: dict[tuple[str, ...], list[Rule]] = {}

    def of(self, card: Card, place: Place) -> Sequence[Rule]:
        """Return the rules for a SKU at a node, whenever they are in force."""
        key = (card.owner, card.category, card.brand, place.node, place.group)
        general = self._general.get(key)
        if general is None:
            found = self._by_sku.get("", ())
            general = self._general[key] = [one for one in found if _fits(one, card, place)]
        own = self._by_sku.get(card.sku)
        if not own:
            return general
        return [*general, *(one for one in own if _fits(one, card, place))]


def in_force(rule: Rule, at: datetime) -> bool:
    """Tell whether a rule holds at an instant."""
    return (rule.starts_at is None or rule.starts_at <= at) and (
        rule.ends_at is None or at < rule.ends_at
    )


def decides(rules: Iterable[Rule], kind: RuleKind) -> Rule | None:
    """Return the one rule of a kind that decides, of those that apply and are in force."""
    return min((rule for rule in rules if rule.kind == kind), key=_precedence, default=None)


def _fits(rule: Rule, card: Card, place: Place) -> bool:
    return (
        rule.category in {"", card.category}
        and rule.brand in {"", card.brand}
        and rule.owner in {"", card.owner}
        and rule.node in {"", place.node}
        and rule.node_group in {"", place.group}
    )


def _precedence(rule: Rule) -> tuple[object, ...]:
    return (
        not rule.sku,
        not rule.node,
        not rule.node_group,
        not rule.category,
        not rule.brand,
        not rule.owner,
        rule.starts_at is None and rule.ends_at is None,
        -(rule.units or 0),
        -(rule.days or 0),
        rule.id,
    )
