"""What a stock rule may say; no I/O."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault
from engine.logical.types.bases import Rule
from engine.logical.types.documents import Match, RuleFields, RuleKind
from engine.physical.types.stock import CONDITIONS

_OWN: Final[dict[RuleKind, frozenset[str]]] = {
    "condition": frozenset(),
    "quality_hold": frozenset({"units"}),
    "expiry": frozenset({"days"}),
    "safety": frozenset({"units"}),
    "set_aside": frozenset({"units", "percent"}),
}
_BY_KEY: Final = frozenset({"condition", "quality_hold"})  # these look at keys, others at nodes


def normal(rule: RuleFields) -> RuleFields:
    """Return the rule as all of its authors would spell it.

    Raises:
        ValidationFailed: with everything that is wrong in itself.
    """
    if faults := [*_number_faults(rule), *_match_faults(rule)]:
        raise ValidationFailed(faults)
    codec.plain_text(rule.reason, "/reason", 256)
    starts = rule.from_ and codec.instant(rule.from_, "/from")
    ends = rule.until and codec.instant(rule.until, "/until")
    if starts and ends and ends <= starts:
        codec.refuse("/until", "must be later than from")
    match = rule.match
    if match.condition:
        match = msgspec.structs.replace(match, condition=CONDITIONS[match.condition])
    percent = None if rule.percent is None else abs(rule.percent)  # -0.0 is 0.0
    return msgspec.structs.replace(rule, match=match, from_=starts, until=ends, percent=percent)


def unknown(match: Match, *, sku: bool, node: bool) -> list[Fault]:
    """Return a fault for what a rule names and is not known."""
    return [
        Fault(f"/match/{field}", f"there is no such {what}")
        for field, what, known in (("sku", "SKU", sku), ("node", "node", node))
        if getattr(match, field) is not None and not known
    ]


def effect(rule: RuleFields) -> RuleFields | None:
    """Return what of a rule bears on stock; None while it is not enabled."""
    return msgspec.structs.replace(rule, reason="") if rule.enabled else None


def compiled(key: str, rule: RuleFields) -> Rule:
    """Return a rule as it is applied."""
    matched: dict[str, Any] = msgspec.structs.asdict(rule.match)
    return Rule(
        key,
        rule.kind,
        **{name: value or "" for name, value in matched.items()},
        units=rule.units,
        percent=None if rule.percent is None else round(rule.percent * 100),
        days=rule.days,
        starts_at=rule.from_,
        ends_at=rule.until,
    )


def _number_faults(rule: RuleFields) -> Iterator[Fault]:
    own = _OWN[rule.kind]
    given = {name for name in ("units", "percent", "days") if getattr(rule, name) is not None}
    for name in sorted(given - own):
        yield Fault(f"/{name}", f"is not for kind {rule.kind}")
    if rule.kind == "set_aside":
        if len(given & own) != 1:
            yield Fault("/units", "exactly one of units and percent is required")
    elif rule.kind == "quality_hold":
        if rule.units == 0:
            yield Fault("/units", "must be at least 1; leave it out to hold all that matches")
    elif missing := own - given:
        yield Fault(f"/{min(missing)}", f"is required for kind {rule.kind}")
    if rule.percent is not None and round(rule.percent, 2) != rule.percent:
        yield Fault("/percent", "must have at most two decimals")


def _match_faults(rule: RuleFields) -> Iterator[Fault]:
    given = {name: one for name, one in msgspec.structs.asdict(rule.match).items() if one}
    for name, text in given.items():
        try:
            codec.identifier(text, "")
        except ValidationFailed:
            yield Fault(f"/match/{name}", "must not contain control characters")
    if rule.kind not in _BY_KEY:
        for name in sorted(given.keys() & {"batch", "condition"}):
            yield Fault(f"/match/{name}", f"is not for kind {rule.kind}")
    elif rule.kind == "condition":
        yield from _condition_faults(rule.match)


def _condition_faults(match: Match) -> Iterator[Fault]:
    if match.condition is None:
        yield Fault("/match/condition", "is required for kind condition")
    elif CONDITIONS[match.condition] == "good":
        yield Fault("/match/condition", "good units are sold without a rule")
