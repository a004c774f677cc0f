"""How long a parcel waits for others: the window, or what of it its promise bears."""

from datetime import UTC, datetime

import pytest

from engine.carriers.types.services import Service
from engine.places.rules import calendars
from engine.places.types.calendars import Calendar
from engine.routing.rules.waiting import release
from engine.routing.types.binding import Made
from engine.routing.types.core import Part
from tests.unit.routing.world import line, node, order, snapshot

MINUTE = 60_000
NOW = round(datetime(2026, 11, 16, 2, tzinfo=UTC).timestamp() * 1_000)  # a Monday, 10:00 in China
OFFICE = Calendar(week=(((540, 1_080),),) * 5 + ((), ()))
SLOW = Service("s", days={"all": 1}, zones={"": "all"}, by=1_200)
QUICK = Service("s", minutes={"all": 60}, zones={"": "all"})


def made(service=SLOW, window_s=600, handling=((0, 30),), calendar=OFFICE):
    snap = snapshot(
        [node("N", calendar=calendar, handling=handling)], {"a": [9]}, services=(service,)
    )
    return Made(snap, NOW, "plan", 1, {}, {}, {}, {}, merge_s=window_s)


def part_of(world):
    snap = world.snap
    service, one = snap.services[0], snap.nodes[0]
    cutoff = service.cutoffs.get("", -1)
    leaves = calendars.ship_at(one.calendar, one.handling, 0, NOW, cutoff)
    arrives = calendars.deliver_at(service, "all", leaves, one.calendar.holidays)
    return Part(0, ((0, 1),), 0, "card", 1, 500, 500, leaves, arrives, ())


def waits(world, **more):
    one = order([line(1, "a")], **({"merge_hash": "h"} | more))
    until, leaves = release(one, part_of(world), world)
    return (until - NOW) // MINUTE if until else 0, (leaves - NOW) // MINUTE


def test_it_waits_the_whole_window_where_it_arrives_no_later():
    assert waits(made()) == (10, 40)


@pytest.mark.parametrize(
    "more",
    [{"merge_hash": ""}, {"mode": "pickup"}, {"mode": "instant"}],
    ids=["nobody's door", "pickup", "instant"],
)
def test_what_is_sent_alone_does_not_wait(more):
    assert waits(made(), **more) == (0, 30)


def test_without_a_window_nothing_waits():
    assert waits(made(window_s=0)) == (0, 30)


@pytest.mark.parametrize(
    ("minutes", "waited"), [(500, 10), (40, 10), (39, 5), (36, 5), (33, 2), (32, 1), (31, 0)]
)
def test_it_leaves_by_what_was_promised(minutes, waited):
    assert waits(made(), ship_by=NOW + minutes * MINUTE)[0] == waited


def test_what_is_counted_by_the_minute_never_waits():
    assert waits(made(QUICK)) == (0, 30)


def test_a_cut_off_is_not_missed():
    cutoff = 10 * 60 + 36  # 10:36 there; it is ready at 10:30
    assert waits(made(SLOW._replace(cutoffs={"": cutoff}))) == (5, 36)
    assert waits(made(SLOW._replace(cutoffs={"": 10 * 60 + 30}))) == (0, 30)


def test_nor_the_end_of_the_day():
    late = ((0, 475),)  # done at 17:55
    assert waits(made(handling=late, window_s=7_200)) == (0, 475)
