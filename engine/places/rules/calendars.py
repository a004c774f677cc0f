"""When a parcel leaves and when it arrives; no I/O.

The local day of a node and the minutes of it are what its people go by: a day has the slots that
are written down for it, whatever the clocks do that night.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from engine.places.types.calendars import DAY_MINUTES, NEVER, SATURDAY, Calendar, Holidays, Slots

HORIZON_DAYS: Final = 120  # what leaves later than this leaves never
_MINUTE_MS: Final = 60_000
_SECOND_MS: Final = 1_000
_YEARS: Final = range(2000, 2200)


class Service(Protocol):
    """What of a service says when it delivers; `carriers.types.services.Service` is one."""

    @property
    def days(self) -> Mapping[str, int]: ...  # noqa: D102 - days on the way by zone
    @property
    def minutes(self) -> Mapping[str, int]: ...  # noqa: D102 - minutes, where they count
    @property
    def workdays(self) -> bool: ...  # noqa: D102 - whether days off do not count
    @property
    def by(self) -> int: ...  # noqa: D102 - the minute of the day
    @property
    def pauses(self) -> frozenset[int]: ...  # noqa: D102 - ordinals of days that do not count
    @property
    def timezone(self) -> str: ...  # noqa: D102 - of that minute and those days


def ship_at(
    calendar: Calendar, handling: Sequence[tuple[int, int]], load: int, now_ms: int, cutoff: int
) -> int:
    """Return when what is ordered now leaves the node, NEVER if not within `HORIZON_DAYS`.

    It is ready after the minutes of handling that the load asks for, of which only working time
    counts. It leaves at the first cut-off (a minute of the local day) not before that, on a day on
    which the node works at all; with a cut-off of -1 as soon as it is ready.
    """
    ready = worked(calendar, now_ms, handling_minutes(handling, load))
    if cutoff < 0 or ready >= NEVER:
        return ready
    first = _day(calendar.timezone, ready)
    for day in range(first, first + HORIZON_DAYS):
        leaves = at(calendar.timezone, day, cutoff)
        if leaves >= ready and slots(calendar, day):
            return leaves
    return NEVER


def deliver_at(service: Service, zone: str, ship_at: int, holidays: Holidays) -> int:
    """Return when a parcel that leaves then is delivered at the latest, NEVER if not at all.

    Minutes on the way are added as they are. Days on the way are days after the one on which it
    leaves that count for the service, and it arrives by the minute of the day that the service
    promises: with 0 days on the same day, or on the next one if that minute has passed.
    """
    if ship_at >= NEVER:
        return NEVER
    if zone in service.minutes:
        return ship_at + service.minutes[zone] * _MINUTE_MS
    left = service.days.get(zone, -1)
    if left < 0:
        return NEVER
    day = _day(service.timezone, ship_at)
    if left == 0 and at(service.timezone, day, service.by) < ship_at:
        left = 1
    last = day + HORIZON_DAYS
    while left or not counts(service, day, holidays):
        day += 1
        left -= left > 0 and counts(service, day, holidays)
        if day > last:
            return NEVER
    return at(service.timezone, day, service.by)


def counts(service: Service, day: int, holidays: Holidays) -> bool:
    """Return whether a service brings parcels on a day."""
    return day not in service.pauses and not (service.workdays and holidays.rests(day))


def handling_minutes(handling: Sequence[tuple[int, int]], load: int) -> int:
    """Return the minutes of the highest band (load, minutes) that a load has reached, else 0."""
    return max(((least, minutes) for least, minutes in handling if least <= load), default=(0, 0))[
        1
    ]


def worked(calendar: Calendar, now_ms: int, minutes: int) -> int:
    """Return the instant at which so many minutes of working time have passed.

    With 0 minutes the first instant, from now on, at which the node works.
    """
    left = minutes * _MINUTE_MS
    for begins, ends in _open(calendar, now_ms):
        if begins + left <= ends - (left == 0):
            return begins + left
        left -= ends - begins
    return NEVER


def open_at(calendar: Calendar, now_ms: int) -> bool:
    """Return whether a node works at an instant."""
    return next(_open(calendar, now_ms), (NEVER, NEVER))[0] == now_ms


def with_weekends(off: frozenset[int], worked: frozenset[int]) -> frozenset[int]:
    """Return days off with the weekend days beside them, which are published as one holiday.

    Who works at weekends all year has these off.
    """
    found, todo = set(off), list(off)
    while todo:
        day = todo.pop()
        for beside in (day - 1, day + 1):
            weekend = (beside - 1) % 7 >= SATURDAY and beside not in worked
            if weekend and beside not in found:
                found.add(beside)
                todo.append(beside)
    return frozenset(found)


def slots(calendar: Calendar, day: int) -> Slots:
    """Return the working times of a day."""
    found = calendar.days.get(day)
    return calendar.week[(day - 1) % 7] if found is None else found


def at(timezone: str, day: int, minute: int) -> int:
    """Return the instant of a minute of a local day, 1440 being the end of it."""
    later, minute = divmod(minute, DAY_MINUTES)
    return _midnight(timezone, day + later) + _shift(timezone, day + later, minute)


def local_day(timezone: str, at_ms: int) -> int:
    """Return the ordinal of the local day of an instant."""
    return _day(timezone, at_ms)


def minute_of(text: str) -> int:
    """Return the minute of a time of the day as 16:30, 1440 of 24:00, -1 if it is none."""
    hours, colon, minutes = text.partition(":")
    if not colon or not all(_two_digits(one) for one in (hours, minutes)):
        return -1
    minute = int(hours) * 60 + int(minutes)
    return minute if int(minutes) < 60 and minute <= DAY_MINUTES else -1  # noqa: PLR2004 - minutes


def day_of(text: str) -> int:
    """Return the ordinal of a day as 2026-10-01, -1 if it is none that we keep."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return -1
    return found.toordinal() if found.year in _YEARS and found.isoformat() == text else -1


def is_zone(name: str) -> bool:
    """Return whether a name is one of the IANA database."""
    try:
        _zone(name)
    except (ValueError, OSError, KeyError):  # a path, a folder, no such zone
        return False
    return True


def _two_digits(text: str) -> bool:
    return len(text) == len("00") and text.isascii() and text.isdecimal()


def _open(calendar: Calendar, now_ms: int) -> Iterator[tuple[int, int]]:
    """Yield working times from now on as instants."""
    zone, first = calendar.timezone, _day(calendar.timezone, now_ms)
    for day in range(first, first + HORIZON_DAYS):
        for begins, ends in slots(calendar, day):
            until = at(zone, day, ends)
            if until > now_ms:
                yield max(now_ms, at(zone, day, begins)), until


def _day(timezone: str, at_ms: int) -> int:
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(_zone(timezone)).toordinal()


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=4_096)
def _midnight(timezone: str, day: int) -> int:
    when = datetime.combine(date.fromordinal(day), time(), _zone(timezone))
    return round(when.timestamp()) * _SECOND_MS


@lru_cache(maxsize=16_384)
def _shift(timezone: str, day: int, minute: int) -> int:
    """Return ms from midnight to a minute by the clock: not the same on two days of some years."""
    clock = time(minute // 60, minute % 60)
    when = datetime.combine(date.fromordinal(day), clock, _zone(timezone))
    return round(when.timestamp()) * _SECOND_MS - _midnight(timezone, day)
