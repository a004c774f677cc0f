"""What a profile may say, and the calendar and limits that it comes to; no I/O."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from engine.kernel import codec, urls
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault
from engine.places.rules.calendars import day_of, minute_of
from engine.places.rules.wording import clock_faults, name_faults, text_faults
from engine.places.types.calendars import Calendar, Holidays, Slots
from engine.places.types.profiles import BUILT_IN, Dimension, ProfileFields

ANY_SERVICE: Final = "*"
_DAYS_MAX: Final = 400  # of one override


def normal(profile: ProfileFields, plain_hosts: Collection[str] = ()) -> ProfileFields:
    """Return the profile as all of its authors would spell it.

    `plain_hosts` may be called without TLS.

    Raises:
        ValidationFailed: with everything that is wrong with it.
    """
    if faults := list(_faults(profile, plain_hosts)):
        raise ValidationFailed(faults)
    return msgspec.structs.replace(
        profile,
        holidays=profile.holidays.upper(),
        exceptions=sorted(profile.exceptions, key=lambda one: one.date),
        handling=sorted(profile.handling, key=lambda one: one.load),
        modes=sorted(set(profile.modes)),
        tags=sorted(set(profile.tags)),
    )


def calendar(profile: ProfileFields, timezone: str, holidays: Holidays) -> Calendar:
    """Return when the node of a profile works; `holidays` are those of its country."""
    week = _week(profile)
    days: dict[int, Slots] = dict.fromkeys(holidays.off, ())
    days |= dict.fromkeys(holidays.worked, week[0])
    days |= {day_of(one.date): slots(one.slots) for one in profile.exceptions}
    for one in profile.overrides:
        if one.slots is not None:
            span = range(day_of(one.from_), day_of(one.to) + 1)
            days |= dict.fromkeys(span, slots(one.slots))
    return Calendar(timezone, week, days, holidays)


def handling(profile: ProfileFields) -> tuple[tuple[int, int], ...]:
    """Return (load, minutes), ascending."""
    return tuple(sorted((one.load, one.minutes) for one in profile.handling))


def cutoff(profile: ProfileFields, service: str) -> int | None:
    """Return the minute of the day by which a parcel for a service must be ready, None if any."""
    told = profile.cutoffs.get(service) or profile.cutoffs.get(ANY_SERVICE)
    return minute_of(told) if told else None


def limits(profile: ProfileFields, day: int) -> Mapping[Dimension, int | None]:
    """Return what the node takes on a day, by dimension; None is no limit, 0 nothing.

    Of campaigns that overlap the last one in the profile counts.
    """
    found = profile.capacity
    for one in profile.overrides:
        if one.capacity is not None and day_of(one.from_) <= day <= day_of(one.to):
            found = one.capacity
    return {
        "orders": found.orders, "lines": found.lines, "units": found.units, "grams": found.grams,
    }  # fmt: skip


def slots(texts: Sequence[str]) -> Slots:
    """Return working times of a day, in order."""
    parts = [text.split("-") for text in texts]
    return tuple(sorted((minute_of(begins), minute_of(ends)) for begins, ends in parts))


def unknown_years(profile: ProfileFields, holidays: Holidays, first: int, last: int) -> list[int]:
    """Return the years of a span in which days off are not published, if the node keeps any."""
    if not profile.holidays:
        return []
    return [year for year in range(first, last + 1) if year not in holidays.known]


def _week(
    profile: ProfileFields,
) -> tuple[Slots, Slots, Slots, Slots, Slots, Slots, Slots]:
    one = profile.week
    return (
        slots(one.mon), slots(one.tue), slots(one.wed), slots(one.thu), slots(one.fri),
        slots(one.sat), slots(one.sun),
    )  # fmt: skip


def _faults(profile: ProfileFields, plain_hosts: Collection[str]) -> Iterator[Fault]:
    for name, texts in msgspec.structs.asdict(profile.week).items():
        yield from _slot_faults(texts, f"/week/{name}")
    country = profile.holidays
    if country and not (country.isascii() and country.isalpha() and len(country) == 2):  # noqa: PLR2004 - ISO 3166
        yield Fault("/holidays", "must be two letters, as in ISO 3166: CN")
    yield from _exception_faults(profile)
    yield from _override_faults(profile)
    names = {f"/cutoffs/{codec.escape(name)}": name for name in profile.cutoffs}
    yield from name_faults(names)
    yield from clock_faults({at: profile.cutoffs[name] for at, name in names.items()})
    loads = [one.load for one in profile.handling]
    if len(set(loads)) < len(loads):
        yield Fault("/handling", "must have each load once")
    yield from name_faults({f"/tags/{n}": tag for n, tag in enumerate(profile.tags)})
    yield from name_faults({f"/metrics/{codec.escape(name)}": name for name in profile.metrics})
    for name in sorted(profile.metrics.keys() & BUILT_IN):
        told = "is what a plan calls something of ours: a measure needs a name of its own"
        yield Fault(f"/metrics/{name}", told)
    yield from _wms_faults(profile, plain_hosts)


def _exception_faults(profile: ProfileFields) -> Iterator[Fault]:
    seen = set()
    for n, one in enumerate(profile.exceptions):
        pointer = f"/exceptions/{n}"
        yield from _slot_faults(one.slots, f"{pointer}/slots")
        yield from text_faults({f"{pointer}/reason": one.reason})
        if day_of(one.date) < 0:
            yield Fault(f"{pointer}/date", "must be a day from 2000 to 2199, as 2026-10-01")
        elif one.date in seen:
            yield Fault(f"{pointer}/date", "is there twice")
        seen.add(one.date)


def _override_faults(profile: ProfileFields) -> Iterator[Fault]:
    for n, one in enumerate(profile.overrides):
        pointer = f"/overrides/{n}"
        yield from _slot_faults(one.slots or [], f"{pointer}/slots")
        yield from text_faults({f"{pointer}/campaign": one.campaign})
        begins, ends = day_of(one.from_), day_of(one.to)
        for name, day in (("from", begins), ("to", ends)):
            if day < 0:
                yield Fault(f"{pointer}/{name}", "must be a day from 2000 to 2199, as 2026-10-01")
        if 0 <= ends < begins:
            yield Fault(f"{pointer}/to", "must not be before from")
        elif ends - begins >= _DAYS_MAX:
            yield Fault(f"{pointer}/to", f"must be within {_DAYS_MAX} days")


def _wms_faults(profile: ProfileFields, plain_hosts: Collection[str]) -> Iterator[Fault]:
    one = profile.wms
    named = {"warehouse": one.warehouse, "owner": one.owner, "app_key": one.app_key,
             "customer": one.customer, "sender": one.sender, "phone": one.phone}  # fmt: skip
    yield from text_faults({f"/wms/{name}": text for name, text in named.items()})
    yield from name_faults({f"/wms/codes/{codec.escape(code)}": code for code in one.codes})
    yield from name_faults({f"/wms/reasons/{codec.escape(word)}": word for word in one.reasons})
    if one.language == "none":
        if one.url:
            yield Fault("/wms/url", "is for the languages plain and qimen")
    elif wrong := urls.fault(one.url, plain_hosts):
        yield Fault("/wms/url", wrong)


def _slot_faults(texts: Sequence[str], pointer: str) -> Iterator[Fault]:
    found = []
    for n, text in enumerate(texts):
        begins, dash, ends = text.partition("-")
        slot = minute_of(begins), minute_of(ends)
        if not dash or slot[0] < 0 or slot[1] < 0:
            yield Fault(f"{pointer}/{n}", "must be from one time to another, as 09:00-18:00")
        elif slot[1] <= slot[0]:
            told = "must end after it begins; what goes past midnight is a slot of the next day"
            yield Fault(f"{pointer}/{n}", told)
        else:
            found.append(slot)
    found.sort()
    if any(one[1] > two[0] for one, two in pairwise(found)):
        yield Fault(pointer, "must not overlap")
