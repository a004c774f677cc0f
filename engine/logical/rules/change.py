"""When what may be sold changes by time alone: a rule begins or ends, a batch passes its window."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

from engine.logical.rules.base import days_left, window
from engine.logical.rules.matching import in_force
from engine.logical.types.bases import Held, Place, Rule

_FAR_DAYS: Final = 50_000  # nobody waits for that, and dates have an end


def next_change(
    place: Place, held: Sequence[Held], rules: Sequence[Rule], at: datetime
) -> datetime | None:
    """Return the first instant after `at` at which the chain of a SKU at a node may be another.

    None: never, unless something is told. `rules` are those that fit it, whenever in force.
    """
    told = [moment for rule in rules for moment in (rule.starts_at, rule.ends_at)]
    found = [moment for moment in told if moment is not None and moment > at]
    days, _ = window([rule for rule in rules if in_force(rule, at)])
    for one in held:
        if one.expires_on is not None and one.sellable > 0:
            more = days_left(one.expires_on, place, at) - days
            if 0 <= more < _FAR_DAYS:
                found.append(_day(place, at, more + 1))
    return min(found, default=None)


def _day(place: Place, at: datetime, ahead: int) -> datetime:
    """Return when the day begins, at a node, that is so many days after today."""
    day = at.astimezone(place.zone).date() + timedelta(days=ahead)
    return datetime.combine(day, time(), place.zone).astimezone(UTC)
