"""Days off of countries, by the library `holidays`; the only place that knows it.

What China's State Council publishes each November for the next year (days off, and weekend days
worked instead) is in the library once somebody released it with that year. Of later years it has
the days that the law fixes, as far as calendars can be computed, and no day that is worked instead.
"""

from collections.abc import Iterable
from functools import lru_cache

import holidays
import structlog

from engine.places.rules import calendars as rules
from engine.places.types.calendars import NO_HOLIDAYS, Holidays

_logger = structlog.get_logger()
# Countries that move weekend days every year: a year without any has not been published.
_SWAPPING = frozenset({"CN"})


@lru_cache(maxsize=64)
def of(country: str, years: range) -> Holidays:
    """Return the days off of some years; of a country that nobody knows, none.

    A year that is not known is told in the log once a process, because promises of it are made
    without the days that will be worked or off instead.
    """
    if not country:
        return NO_HOLIDAYS
    supported = country in holidays.list_supported_countries(include_aliases=False)
    kept = [_year(country, year) for year in years] if supported else []
    found = Holidays(
        country,
        frozenset().union(*(one.off for one in kept)),
        frozenset().union(*(one.worked for one in kept)),
        frozenset().union(*(one.known for one in kept)),
    )
    if unknown := [year for year in years if year not in found.known]:
        _logger.warning("days_off_unknown", country=country, years=unknown)
    return found


def known(country: str) -> bool:
    """Return whether there is such a country."""
    return country in holidays.list_supported_countries(include_aliases=False)


def _year(country: str, year: int) -> Holidays:
    try:
        table = holidays.country_holidays(country, years=year)
    except NotImplementedError:
        return NO_HOLIDAYS
    worked = _ordinals(day for day in table.weekend_workdays if day.year == year)
    first, last = table.start_year, table.end_year
    published = first <= year <= last and (bool(worked) or country not in _SWAPPING)
    off = _ordinals(table.keys())
    if country in _SWAPPING:
        off = rules.with_weekends(off, worked)
    return Holidays(country, off, worked, frozenset({year} if published else ()))


def _ordinals(days: Iterable[object]) -> frozenset[int]:
    return frozenset(day.toordinal() for day in days)  # type: ignore[attr-defined]  # dates
