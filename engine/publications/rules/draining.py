"""When units may leave a marketplace's pool.

All of them or none: who asked counts on them, and may ask for less. They leave once every listing
confirmed a number that does not count them, orders that were placed before had the time of its lag
to come in, and what the shops still show is covered by what stays.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from engine.publications.types import Confirmed, Drain, DrainReason


class Step(NamedTuple):
    """What to do with a drain now, and why if that is to refuse it; `told` are others' words."""

    act: Literal["wait", "confirm", "move", "refuse"]
    reason: DrainReason = ""
    told: str = ""


_WAIT: Final = Step("wait")
_CONFIRM: Final = Step("confirm")
_MOVE: Final = Step("move")


def step(drain: Drain, listings: Sequence[Confirmed], free: int) -> Step:
    """Decide; `listings` in the order of the drain's own, `free` units of its pool.

    Once the cell may have been asked only it can refuse: the units may be gone already.
    """
    if drain.moving:
        return _MOVE
    refusal = _stuck(drain, listings)
    if refusal or free < drain.units:
        return refusal or Step("refuse", "short")
    confirmed = drain.state == "draining" and all(
        one.acked_number >= number
        for one, (_, _, number) in zip(listings, drain.listings, strict=True)
    )
    first = drain.confirmed_ago_s is None
    if confirmed and (first or _is_safe(drain, listings)):
        return _CONFIRM if first else _MOVE
    return Step("refuse", "timed_out") if drain.overdue else _WAIT


def _stuck(drain: Drain, listings: Sequence[Confirmed]) -> Step | None:
    """Refuse what a shop will not lower, by what people said of it or by its own word."""
    for one, (_, _, number) in zip(listings, drain.listings, strict=True):
        if not one.reducible:
            return Step("refuse", "not_reducible")
        if one.refused_number >= number and one.refused_number > one.acked_number:
            return Step("refuse", "not_reducible", one.refused)
    return None


def _is_safe(drain: Drain, listings: Sequence[Confirmed]) -> bool:
    """Tell whether what was sold before has come in, and what is shown stays covered."""
    lag_s = max((one.lag_s for one in listings), default=0.0)
    covered = all(one.acked * one.units_per <= max(0, one.reach) for one in listings)
    return covered and (drain.confirmed_ago_s or 0.0) >= lag_s
