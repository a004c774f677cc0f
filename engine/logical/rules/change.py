"""When what may be sold changes by time alone: a rule begins or ends, a batch passes its window."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from engine.logical.rules.base import days_left, window
from engine.logical.rules.matching import in_force
from engine.logical.types.bases import Held, Place, Rule

_FAR_DAYS: Final = 50_000  # nobody waits for that, and a date has an end


def next_change(
    place: Place, held: Sequence[Held], rules: Sequence[Rule], at: datetime
) -> datetime | None:
    """Return the first instant after `at` at which the chain of a SKU at a node may be another.

    None: never, unless something is told. `rules` are those that fit it, whenever in force.
    """
    days, _ = window([rule for rule in rules if in_force(rule, at)])
    found = [*_bounds(rules, at)]
    for one in held:
        if one.expires_on is not None and one.sellable > 0:
            good = days_left(one.expires_on, place, at) - days
            if 0 <= good < _FAR_DAYS:
                found.append(_day(at, place.zone, good + 1))
    return min(found, default=None)


def next_day(at: datetime, zones: Iterable[tzinfo]) -> datetime | None:
    """Return when the next day begins in the first of these zones; None without any."""
    return min((_day(at, zone, 1) for zone in zones), default=None)


def _bounds(rules: Iterable[Rule], at: datetime) -> list[datetime]:
    told = [moment for rule in rules for moment in (rule.starts_at, rule.ends_at)]
    return [moment for moment in told if moment is not None and moment > at]


def _day(at: datetime, zone: tzinfo, ahead: int) -> datetime:
    """Return when the day begins that is so many days after today."""
    day = at.astimezone(zone).date() + timedelta(days=ahead)
    return datetime.combine(day, time(), zone).astimezone(UTC)
