"""What rules make of what is measured."""

from collections.abc import Iterable, Mapping
from typing import Final

from engine.alerts.types.documents import AlertKind
from engine.alerts.types.facts import Alert, Card, Fact, Rule, Standing, Subject

# What is worth an alert though nobody wrote a rule.
DEFAULTS: Final = (
    Rule("", "sold_out", 0, "info"),
    Rule("", "short", 1, "critical"),
    Rule("", "owed", 1, "warning"),
    Rule("", "listing_drift", 1, "warning"),
    Rule("", "unmapped_listing", 0, "warning"),
)
_NOBODY: Final = Card()


def judge(
    facts: Iterable[Fact], cards: Mapping[str, Card], rules: Iterable[Rule]
) -> dict[Standing, Alert]:
    """Return what is worth an alert; the order of facts and rules is of no matter.

    A fact of kind `low` says how many units are for sale: none of them is `sold_out`.
    """
    by_kind: dict[AlertKind, list[Rule]] = {}
    for rule in (*rules, *DEFAULTS):
        by_kind.setdefault(rule.kind, []).append(rule)
    found = {}
    for fact in facts:
        kind: AlertKind = "sold_out" if fact.kind == "low" and not fact.value else fact.kind
        card = cards.get(fact.subject.sku, _NOBODY)
        fitting = (rule for rule in by_kind.get(kind, ()) if _fits(rule, fact.subject, card))
        decides = min(fitting, key=_precedence, default=None)
        if decides and not decides.quiet and _passes(kind, fact.value, decides.limit):
            alert = Alert(fact.value, decides.limit, decides.severity, decides.id)
            found[kind, fact.subject] = alert
    return found


def furthest(rules: Iterable[Rule], kind: AlertKind) -> int | None:
    """Return the greatest limit of a kind, None if nothing of it is worth an alert."""
    limits = [one.limit for one in (*rules, *DEFAULTS) if one.kind == kind and not one.quiet]
    return max(limits, default=None)


def nearest(rules: Iterable[Rule], kind: AlertKind) -> int | None:
    """Return the smallest limit of a kind, None if nothing of it is worth an alert."""
    limits = [one.limit for one in (*rules, *DEFAULTS) if one.kind == kind and not one.quiet]
    return min(limits, default=None)


def _passes(kind: AlertKind, value: int, limit: int) -> bool:
    return 0 < value <= limit if kind == "low" else value >= limit


def _fits(rule: Rule, subject: Subject, card: Card) -> bool:
    return (
        rule.sku in {"", subject.sku}
        and rule.channel in {"", subject.channel}
        and rule.node in {"", subject.node}
        and rule.category in {"", card.category}
        and rule.brand in {"", card.brand}
    )


def _precedence(rule: Rule) -> tuple[object, ...]:
    return (
        not rule.sku, not rule.node, not rule.category, not rule.brand, not rule.channel,
        not rule.id, rule.id,
    )  # fmt: skip
