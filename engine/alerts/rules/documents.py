"""What an alert rule may say; no I/O."""

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.alerts.types.documents import AlertKind, AlertRuleFields
from engine.alerts.types.facts import Rule
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault

_NUMBERS: Final = ("units", "seconds", "days")
_SKU: Final = frozenset({"sku", "category", "brand"})
_OWN: Final[dict[AlertKind, str]] = {
    "low": "units",
    "sold_out": "",
    "short": "units",
    "owed": "units",
    "stale_feed": "seconds",
    "listing_drift": "units",
    "unmapped_listing": "",
    "aging": "days",
    "slow_mover": "days",
}
_MATCHED: Final[dict[AlertKind, frozenset[str]]] = {
    "low": _SKU | {"channel"},
    "sold_out": _SKU | {"channel"},
    "short": _SKU,
    "owed": _SKU,
    "stale_feed": frozenset({"node"}),
    "listing_drift": _SKU | {"channel"},
    "unmapped_listing": frozenset({"channel"}),
    "aging": _SKU | {"node"},
    "slow_mover": _SKU,
}


def normal(rule: AlertRuleFields) -> AlertRuleFields:
    """Return the rule.

    Raises:
        ValidationFailed: with everything that is wrong in itself.
    """
    if faults := list(_faults(rule)):
        raise ValidationFailed(faults)
    codec.plain_text(rule.reason, "/reason", 256)
    return rule


def compiled(key: str, rule: AlertRuleFields) -> Rule:
    """Return a rule as it is applied."""
    matched = msgspec.structs.asdict(rule.match)
    limit = getattr(rule, _OWN[rule.kind]) if _OWN[rule.kind] else 0
    return Rule(
        key, rule.kind, limit, rule.severity,
        **{name: value or "" for name, value in matched.items()}, quiet=not rule.enabled,
    )  # fmt: skip


def _faults(rule: AlertRuleFields) -> Iterator[Fault]:
    own = _OWN[rule.kind]
    for name in _NUMBERS:
        given = getattr(rule, name) is not None
        if name == own and not given:
            yield Fault(f"/{name}", f"is required for kind {rule.kind}")
        elif given and name != own:
            yield Fault(f"/{name}", f"is not for kind {rule.kind}")
    for name, text in msgspec.structs.asdict(rule.match).items():
        if text is None:
            continue
        if name not in _MATCHED[rule.kind]:
            yield Fault(f"/match/{name}", f"is not for kind {rule.kind}")
        else:
            yield from _named(text, f"/match/{name}")


def _named(text: str, pointer: str) -> Iterator[Fault]:
    try:
        codec.identifier(text, pointer)
    except ValidationFailed:
        yield Fault(pointer, "must not contain control characters")
