"""What becomes of an order that is paid: approved, held with a reason, cooling off, or nothing.

A verdict is of the order as it stands and of the instant, never of what woke us: said again of the
same order it sets nothing new.
"""

from collections.abc import Sequence
from typing import Final, Literal

from engine.review.types.judging import (
    COOL_OFF,
    NEVER,
    NONE,
    PRESALE,
    REVIEW,
    Review,
    Rules,
    Said,
    Standing,
    Subject,
    Verdict,
)

_MINUTE_MS: Final = 60_000
# Of an order that was refunded in part the rest is still to be sent.
_SETTLED: Final = frozenset({"paid", "partly_refunded", "on_delivery"})


def eligible(order: Subject) -> bool:
    """Whether there is anything of it for us to send."""
    return (
        order.state == "open"
        and order.payment_state in _SETTLED
        and order.authority != "record"
        and order.fulfilled_by == "merchant"
        and bool(order.demand)
    )


def judge(rules: Rules, order: Subject, now_ms: int) -> Verdict:
    """Return what becomes of an order.

    Rules judge it once, and again when what they see has changed, unless it is held still; a person
    who lets it pass is not overruled by the same rule. It cools off once, from its first payment.
    """
    if not eligible(order):
        return NONE
    standing = [one for one in order.blocks if one.until == NEVER or one.until > now_ms]
    made: list[Standing] = []
    review = _reviewed(rules, order, standing)
    if review is not None and review.verdict == "block":
        made.append(_held(rules, review, now_ms))
    cool_until = (order.paid_at or order.placed_at) + 1_000 * order.cool_off_s
    if order.last is None and cool_until > now_ms and not _stands(standing, COOL_OFF):
        made.append(Standing(COOL_OFF, cool_until, "cooling off"))
    return _verdict([*standing, *made], made, review)


def _reviewed(rules: Rules, order: Subject, standing: Sequence[Standing]) -> Review | None:
    """Return what the rules say, None where that was said before."""
    last = order.last
    if last is not None and (last.digest == order.digest or _stands(standing, REVIEW)):
        return None
    name, verdict = _matched(rules, order)
    if verdict == "block" and (
        _stands(standing, REVIEW) or (last and (last.verdict, last.rule) == ("block", name))
    ):
        verdict = "approve"  # a person holds it, or let this very thing pass
    revision = last.revision + 1 if last else 1
    return Review(revision, order.digest, verdict, name, rules.version)


def _matched(rules: Rules, order: Subject) -> tuple[str, Said]:
    """Return the name of the first rule that holds, and what it does."""
    if rules.judge is None:
        return "", "approve"
    found = rules.judge(order.facts)
    failed = found >> rules.judge.count
    for n, one in enumerate(rules.rules):
        if found >> n & 1 or (failed >> n & 1 and one.do == "block"):
            return one.name, one.do
    return "", "approve"


def _held(rules: Rules, review: Review, now_ms: int) -> Standing:
    (rule,) = (one for one in rules.rules if one.name == review.rule)
    until = now_ms + rule.hold_minutes * _MINUTE_MS if rule.hold_minutes else NEVER
    return Standing(REVIEW, until, rule.reason)


def _verdict(
    standing: Sequence[Standing], made: Sequence[Standing], review: Review | None
) -> Verdict:
    if not standing:
        return Verdict("ready", "NEW", review=review)
    presale = all(one.code == PRESALE for one in standing)
    queue: Literal["HELD_PRESALE", "HELD_RISK"] = "HELD_PRESALE" if presale else "HELD_RISK"
    by_hand = [one for one in standing if one.until == NEVER]
    longest = by_hand[0] if by_hand else max(standing, key=lambda one: one.until)
    kind: Literal["blocked", "waits"] = "blocked" if by_hand else "waits"
    return Verdict(kind, queue, longest.until, longest.code, longest.reason, made, review)


def _stands(standing: Sequence[Standing], code: str) -> bool:
    return any(one.code == code for one in standing)
