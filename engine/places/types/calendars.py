"""When a node works, compiled: minutes of its local days, days as proleptic ordinals."""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

NEVER: Final = 1 << 60  # an instant, ms, that never comes
DAY_MINUTES: Final = 1_440
SATURDAY: Final = 5  # weekdays count from Monday, 0

# Working times of one day: from and before which minute; in order, without overlap.
Slots: TypeAlias = "tuple[tuple[int, int], ...]"


class Holidays(NamedTuple):
    """Days off of a country, by ordinal of `date.toordinal`.

    `off` are days off on weekdays as well as at weekends, `worked` weekend days that are worked
    instead (调休). `known` are the years of which both are published; of any other year the days
    off are those that the law fixes, as far as somebody can compute them, and weekends.
    """

    country: str = ""
    off: frozenset[int] = frozenset()
    worked: frozenset[int] = frozenset()
    known: frozenset[int] = frozenset()

    def rests(self, day: int) -> bool:
        """Return whether hardly anybody works on a day."""
        if day in self.off:
            return True
        return (day - 1) % 7 >= SATURDAY and day not in self.worked


NO_HOLIDAYS: Final = Holidays()
ALL_DAY: Final[Slots] = ((0, DAY_MINUTES),)


class Calendar(NamedTuple):
    """Working times of a node: `days` for those that are not as their weekday in `week`.

    Holidays, exceptions and campaigns are in `days` already; `holidays` are for whoever brings
    what leaves here.
    """

    timezone: str = "Asia/Shanghai"
    week: tuple[Slots, Slots, Slots, Slots, Slots, Slots, Slots] = (ALL_DAY,) * 7
    days: Mapping[int, Slots] = {}
    holidays: Holidays = NO_HOLIDAYS


ALWAYS: Final = Calendar()
