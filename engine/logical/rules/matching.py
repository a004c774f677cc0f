"""Which rules apply to a SKU at a node, and which of several decides.

A rule applies where everything that it names is so. Of `safety` and `expiry` one rule decides: the
one with the most specific scope, and of scopes the one counts more that stands first in

    sku > node > node_group > category > brand > owner > all

compared from the left, so that sku with node is before sku alone, and sku alone before node. Where
that is equal, one with a beginning or an end is before one without, because it was meant for an
occasion; then the one that withholds more; then the one whose id comes first.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from engine.logical.types.bases import Applied, Card, Place, Rule
from engine.logical.types.documents import RuleKind


class Book:
    """Rules of a tenant at one instant, found by SKU and node without a search."""

    def __init__(self, rules: Iterable[Rule], at: datetime) -> None:
        """Take enabled rules; their order is of no matter."""
        self._at = at
        self._by_sku: dict[str, list[Rule]] = {}
        for rule in rules:
            self._by_sku.setdefault(rule.sku, []).append(rule)
        self._general: dict[tuple[str, ...], tuple[list[Rule], Applied]] = {}

    def of(self, card: Card, place: Place) -> Applied:
        """Return what the rules for a SKU at a node come to."""
        key = (card.owner, card.category, card.brand, place.node)
        kept = self._general.get(key)
        if kept is None:
            found = [one for one in self._by_sku.get("", ()) if _fits(one, card, place)]
            kept = self._general[key] = found, applied(found, place, self._at)
        own = [one for one in self._by_sku.get(card.sku, ()) if _fits(one, card, place)]
        return applied([*kept[0], *own], place, self._at) if own else kept[1]


def applied(rules: Sequence[Rule], place: Place, at: datetime) -> Applied:
    """Return what rules that fit a SKU at a node, whenever they are in force, come to."""
    told = [moment for rule in rules for moment in (rule.starts_at, rule.ends_at)]
    of: dict[RuleKind, list[Rule]] = {}
    for rule in rules:
        if (rule.starts_at is None or rule.starts_at <= at) and (
            rule.ends_at is None or at < rule.ends_at
        ):
            of.setdefault(rule.kind, []).append(rule)
    expiry = min(of.get("expiry", ()), key=_precedence, default=None)
    today = at.astimezone(place.zone).date()
    return Applied(
        conditions=tuple(of.get("condition", ())),
        holds=tuple(sorted(of.get("quality_hold", ()), key=_hold_order)),
        today=today,
        needed=today + timedelta(days=expiry.days or 0) if expiry else today,
        expiry=expiry.id if expiry else "",
        safety=min(of.get("safety", ()), key=_precedence, default=None),
        set_asides=tuple(sorted(of.get("set_aside", ()), key=lambda rule: rule.id)),
        changes_at=min((one for one in told if one is not None and one > at), default=None),
    )


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


def _hold_order(rule: Rule) -> tuple[object, ...]:
    return rule.units is not None, not rule.batch, not rule.condition, rule.id
