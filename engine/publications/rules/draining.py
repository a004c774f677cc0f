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

    act: Literal["wait", "move", "refuse"]
    reason: DrainReason = ""
    told: str = ""


_WAIT: Final = Step("wait")
_MOVE: Final = Step("move")


def step(drain: Drain, listings: Sequence[Confirmed], free: int) -> Step:
    """Decide; `listings` in the order of the drain's own, `free` units of its pool.

    Once the cell may have been asked only it can refuse: the units may be gone already.
    """
    if drain.moving:
        return _MOVE
    if stuck := _stuck(drain, listings):
        return stuck
    if free < drain.units:
        return Step("refuse", "short")
    if drain.state == "draining" and all(
        _is_safe(one, number) for one, (_, _, number) in zip(listings, drain.listings, strict=True)
    ):
        return _MOVE
    return Step("refuse", "timed_out") if drain.overdue else _WAIT


def _stuck(drain: Drain, listings: Sequence[Confirmed]) -> Step | None:
    """Refuse what a shop will not lower, by what people said of it or by its own word."""
    for one, (_, _, number) in zip(listings, drain.listings, strict=True):
        if not one.reducible:
            return Step("refuse", "not_reducible")
        if one.refused_number >= number and one.refused_number > one.acked_number:
            return Step("refuse", "not_reducible", one.refused)
    return None


def _is_safe(one: Confirmed, number: int) -> bool:
    return (
        one.acked_number >= number
        and one.acked_ago_s is not None
        and one.acked_ago_s >= one.lag_s
        and one.acked * one.units_per <= max(0, one.reach)
    )
