"""When parcels leave and arrive: tables of instants, most of them around 国庆 2026."""

from datetime import date, datetime, timedelta, timezone

import pytest

from engine.carriers.types.services import Service
from engine.places.rules import calendars, profiles
from engine.places.service import daysoff
from engine.places.types.calendars import ALWAYS, NEVER, NO_HOLIDAYS, Calendar, Holidays
from engine.places.types.profiles import CampaignDays, DayException, ProfileFields, WorkingWeek

CHINA = timezone(timedelta(hours=8))
CN = daysoff.of("CN", range(2025, 2029))
DAY = ["09:00-18:00"]
OFFICE = ProfileFields(
    week=WorkingWeek(mon=DAY, tue=DAY, wed=DAY, thu=DAY, fri=DAY, sat=[], sun=[]), holidays="CN"
)
SHIFTS = ["08:00-12:00", "13:00-21:00"]
SEVEN_DAYS = ProfileFields(
    week=WorkingWeek(
        mon=SHIFTS, tue=SHIFTS, wed=SHIFTS, thu=SHIFTS, fri=SHIFTS, sat=SHIFTS, sun=SHIFTS
    ),
    holidays="CN",
)


def ms(text: str, zone=CHINA) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def told(at: int) -> str:
    if at >= NEVER:
        return "never"
    return datetime.fromtimestamp(at / 1000, CHINA).strftime("%Y-%m-%d %H:%M")


def of(profile: ProfileFields, holidays: Holidays = CN, zone: str = "Asia/Shanghai") -> Calendar:
    return profiles.calendar(profiles.normal(profile), zone, holidays)


office, shifts = of(OFFICE), of(SEVEN_DAYS)
CUT = 16 * 60

# Wed 30 Sep is the last day before 国庆 (1-7 Oct, Thu to Wed); Sun 20 Sep and Sat 10 Oct are
# worked instead.
LEAVES = [
    # calendar, ordered, minutes, cut-off, leaves
    ("round the clock, at once", ALWAYS, "2026-09-30 10:00", 0, -1, "2026-09-30 10:00"),
    ("round the clock, cut-off ahead", ALWAYS, "2026-09-30 10:00", 0, CUT, "2026-09-30 16:00"),
    ("at the cut-off", ALWAYS, "2026-09-30 16:00", 0, CUT, "2026-09-30 16:00"),
    ("a minute late", ALWAYS, "2026-09-30 16:01", 0, CUT, "2026-10-01 16:00"),
    ("ready at the cut-off", ALWAYS, "2026-09-30 14:00", 120, CUT, "2026-09-30 16:00"),
    ("ready a minute late", ALWAYS, "2026-09-30 14:01", 120, CUT, "2026-10-01 16:00"),
    ("office, before it opens", office, "2026-09-29 03:00", 0, -1, "2026-09-29 09:00"),
    ("office, at its opening", office, "2026-09-29 09:00", 0, -1, "2026-09-29 09:00"),
    ("office, handling until it closes", office, "2026-09-29 17:00", 60, -1, "2026-09-29 18:00"),
    ("office, handling over night", office, "2026-09-29 17:30", 60, -1, "2026-09-30 09:30"),
    ("office, at closing time", office, "2026-09-29 18:00", 0, -1, "2026-09-30 09:00"),
    ("office, before 国庆", office, "2026-09-30 15:00", 60, CUT, "2026-09-30 16:00"),
    ("office, too late before 国庆", office, "2026-09-30 15:01", 60, CUT, "2026-10-08 16:00"),
    ("office, on the first day of 国庆", office, "2026-10-01 09:00", 0, CUT, "2026-10-08 16:00"),
    ("office, on its last day", office, "2026-10-07 23:59", 0, -1, "2026-10-08 09:00"),
    ("office, after 国庆", office, "2026-10-08 10:00", 60, CUT, "2026-10-08 16:00"),
    ("office, Saturday worked instead", office, "2026-10-09 17:00", 0, CUT, "2026-10-10 16:00"),
    ("office, the Sunday after it", office, "2026-10-10 16:30", 0, CUT, "2026-10-12 16:00"),
    ("office, Sunday worked before", office, "2026-09-18 17:00", 0, CUT, "2026-09-20 16:00"),
    ("office, an ordinary Saturday", office, "2026-10-17 10:00", 0, CUT, "2026-10-19 16:00"),
    ("office, 中秋 on Friday", office, "2026-09-24 17:00", 0, CUT, "2026-09-28 16:00"),
    ("office, 春节", office, "2026-02-14 17:00", 0, CUT, "2026-02-24 16:00"),
    ("office, 元旦 with Sunday worked", office, "2025-12-31 17:00", 0, CUT, "2026-01-04 16:00"),
    ("shifts, through lunch", shifts, "2026-09-29 11:30", 60, -1, "2026-09-29 13:30"),
    ("shifts, during lunch", shifts, "2026-09-29 12:30", 0, -1, "2026-09-29 13:00"),
    ("shifts, handling of two days", shifts, "2026-09-28 08:00", 1440, -1, "2026-09-29 21:00"),
    ("shifts, weekends are worked", shifts, "2026-09-19 08:00", 0, CUT, "2026-09-19 16:00"),
    (
        "shifts, a weekend inside 国庆 is not",
        shifts,
        "2026-10-04 08:00",
        0,
        CUT,
        "2026-10-08 16:00",
    ),
    (
        "shifts, cut-off after closing time",
        shifts,
        "2026-09-29 20:00",
        30,
        1380,
        "2026-09-29 23:00",
    ),
    ("cut-off at midnight", ALWAYS, "2026-09-29 20:00", 30, 1440, "2026-09-30 00:00"),
]


@pytest.mark.parametrize(("why", "calendar", "now", "minutes", "cutoff", "leaves"), LEAVES)
def test_when_it_leaves(why, calendar, now, minutes, cutoff, leaves):
    assert told(calendars.ship_at(calendar, ((0, minutes),), 0, ms(now), cutoff)) == leaves, why


def test_a_year_that_is_not_published_has_weekends_and_what_the_law_fixes():
    """Control of the next one: the same days of a year that is known."""
    assert {2026} <= CN.known
    assert 2027 not in CN.known
    later = {date.fromordinal(one).year for one in CN.worked}
    assert later == {2025, 2026}
    assert told(calendars.ship_at(office, (), 0, ms("2027-10-08 17:00"), CUT)) == "2027-10-11 16:00"
    assert CN.rests(date(2027, 10, 1).toordinal())
    assert CN.rests(date(2027, 10, 9).toordinal()), "Saturday: nobody knows whether it is worked"
    assert profiles.unknown_years(OFFICE, CN, 2026, 2028) == [2027, 2028]
    assert profiles.unknown_years(ProfileFields(), CN, 2026, 2028) == []


def test_a_country_that_nobody_knows_has_weekends_alone():
    nowhere = daysoff.of("XX", range(2026, 2028))
    assert nowhere == Holidays("XX")
    assert not daysoff.known("XX")
    assert nowhere.rests(date(2026, 9, 20).toordinal())
    assert not nowhere.rests(date(2026, 10, 1).toordinal())
    assert daysoff.of("", range(2026, 2028)) == NO_HOLIDAYS


def test_days_off_of_2026_are_those_that_were_published():
    """国办发明电 of November 2025: which days are off, which weekend days are worked."""
    off = {date.fromordinal(one) for one in CN.off if date.fromordinal(one).year == 2026}
    spans = [("01-01", 3), ("02-15", 9), ("04-04", 3), ("05-01", 5), ("06-19", 3), ("09-25", 3),
             ("10-01", 7)]  # fmt: skip
    wanted = {
        date.fromisoformat(f"2026-{first}") + timedelta(n) for first, days in spans
        for n in range(days)
    }  # fmt: skip
    assert off == wanted
    worked = {f"{date.fromordinal(one)}" for one in CN.worked if date.fromordinal(one).year == 2026}
    assert worked == {
        "2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10"
    }  # fmt: skip


def test_exceptions_count_before_holidays_and_campaigns_before_both():
    profile = ProfileFields(
        week=OFFICE.week, holidays="CN",
        exceptions=[
            DayException("2026-10-02", ["10:00-12:00"]), DayException("2026-11-11", [], "count"),
        ],
        overrides=[CampaignDays("2026-11-10", "2026-11-12", "d11", ["00:00-24:00"])],
    )  # fmt: skip
    mine = of(profile)
    assert told(calendars.ship_at(mine, (), 0, ms("2026-10-01 10:00"), -1)) == "2026-10-02 10:00"
    assert told(calendars.ship_at(mine, (), 0, ms("2026-10-02 12:00"), -1)) == "2026-10-08 09:00"
    assert told(calendars.ship_at(mine, (), 0, ms("2026-11-11 03:00"), -1)) == "2026-11-11 03:00"
    assert told(calendars.ship_at(mine, (), 0, ms("2026-11-13 03:00"), -1)) == "2026-11-13 09:00"


@pytest.mark.parametrize(
    ("load", "minutes"), [(0, 30), (99, 30), (100, 120), (499, 120), (500, 480), (10**9, 480)]
)
def test_handling_goes_by_load(load, minutes):
    bands = ((500, 480), (0, 30), (100, 120))
    assert calendars.handling_minutes(bands, load) == minutes
    assert calendars.handling_minutes((), load) == 0


def test_a_node_that_never_works_sends_never():
    shut = Calendar(week=((),) * 7)
    assert calendars.ship_at(shut, (), 0, ms("2026-09-29 10:00"), -1) == NEVER
    assert calendars.ship_at(shut, (), 0, ms("2026-09-29 10:00"), CUT) == NEVER
    assert calendars.deliver_at(Service("s", days={"a": 1}), "a", NEVER, CN) == NEVER
    assert not calendars.open_at(shut, ms("2026-09-29 10:00"))
    assert calendars.open_at(office, ms("2026-09-29 10:00"))
    assert not calendars.open_at(office, ms("2026-09-29 08:59"))


def test_a_day_has_its_slots_whatever_the_clocks_do():
    """Berlin, 25 Oct 2026: the hour from 2 to 3 comes twice; 29 Mar: it does not come."""
    berlin = Calendar("Europe/Berlin", (((0, 1440),),) * 7)
    noon = calendars.at("Europe/Berlin", date(2026, 10, 25).toordinal(), 720)
    assert noon - calendars.at("Europe/Berlin", date(2026, 10, 25).toordinal(), 0) == 13 * 3_600_000
    night = calendars.at("Europe/Berlin", date(2026, 3, 28).toordinal(), 1440)
    worked = calendars.worked(berlin, night, 180)
    assert worked == calendars.at("Europe/Berlin", date(2026, 3, 29).toordinal(), 240)


PLAIN = Service("plain", days={"near": 1, "far": 3, "here": 0}, by=20 * 60)
WORKDAYS = PLAIN._replace(workdays=True)
SPRING = PLAIN._replace(pauses=frozenset(date(2026, 10, d).toordinal() for d in (1, 2, 3)))
RIDER = Service("rider", minutes={"here": 60})
MORNING = PLAIN._replace(by=12 * 60)

ARRIVES = [
    ("next day", PLAIN, "near", "2026-09-29 16:00", "2026-09-30 20:00"),
    ("three days", PLAIN, "far", "2026-09-29 16:00", "2026-10-02 20:00"),
    ("next morning", MORNING, "near", "2026-09-29 16:00", "2026-09-30 12:00"),
    ("same day", PLAIN, "here", "2026-09-29 10:00", "2026-09-29 20:00"),
    ("same day, at its hour", PLAIN, "here", "2026-09-29 20:00", "2026-09-29 20:00"),
    ("same day, its hour has passed", PLAIN, "here", "2026-09-29 20:01", "2026-09-30 20:00"),
    ("every day of 国庆", PLAIN, "near", "2026-09-30 16:00", "2026-10-01 20:00"),
    ("not in 国庆", WORKDAYS, "near", "2026-09-30 16:00", "2026-10-08 20:00"),
    ("not in 国庆, three days", WORKDAYS, "far", "2026-09-29 16:00", "2026-10-09 20:00"),
    ("a Saturday worked instead counts", WORKDAYS, "far", "2026-10-07 16:00", "2026-10-10 20:00"),
    ("the Sunday after it does not", WORKDAYS, "far", "2026-10-08 16:00", "2026-10-12 20:00"),
    ("a Sunday worked before counts", WORKDAYS, "near", "2026-09-19 16:00", "2026-09-20 20:00"),
    ("same day on a day off", WORKDAYS, "here", "2026-10-01 10:00", "2026-10-08 20:00"),
    ("pause of the carrier", SPRING, "near", "2026-09-30 16:00", "2026-10-04 20:00"),
    ("pause in the middle", SPRING, "far", "2026-09-29 16:00", "2026-10-05 20:00"),
    ("by minutes", RIDER, "here", "2026-10-01 10:00", "2026-10-01 11:00"),
    ("no such zone", PLAIN, "moon", "2026-10-01 10:00", "never"),
    ("no minutes there", RIDER, "far", "2026-10-01 10:00", "never"),
    ("over new year's eve", WORKDAYS, "near", "2025-12-31 16:00", "2026-01-04 20:00"),
    ("2027: 国庆 by the law", WORKDAYS, "near", "2027-09-30 16:00", "2027-10-06 20:00"),
]


@pytest.mark.parametrize(("why", "service", "zone", "left", "arrives"), ARRIVES)
def test_when_it_arrives(why, service, zone, left, arrives):
    assert told(calendars.deliver_at(service, zone, ms(left), CN)) == arrives, why


def test_without_days_off_a_carrier_of_workdays_has_weekends():
    at = calendars.deliver_at(WORKDAYS, "near", ms("2026-10-02 16:00"), NO_HOLIDAYS)
    assert told(at) == "2026-10-05 20:00"


def test_a_carrier_that_pauses_for_ever_never_arrives():
    ever = frozenset(range(date(2026, 9, 1).toordinal(), date(2027, 9, 1).toordinal()))
    late = PLAIN._replace(pauses=ever)
    assert calendars.deliver_at(late, "near", ms("2026-10-02 16:00"), CN) == NEVER
