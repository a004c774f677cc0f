"""Carriers asked where parcels are: what is due, what is new in what they say, and when again."""

import asyncio
from datetime import UTC, datetime

import pytest

from engine.carriers.service import desks, services
from engine.carriers.types.desks import News, Tracked
from engine.carriers.types.documents import ServiceFields
from engine.infra.versioned import Match
from engine.logistics.service import polling, reading
from tests.store.logistics import test_parcels
from tests.store.logistics.test_parcels import at, told
from tests.store.physical import conftest as physical

place, ways = physical.place, test_parcels.ways
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FIELDS = ServiceFields(
    "SF", "standard", {"*": "far"}, days={"far": 3}, desk_url="http://127.0.0.1:9/desk"
)


class Carrier:
    """A desk that says what it is told to, and keeps what it was asked."""

    def __init__(self, *news, outcome="DONE"):
        self.answer, self.asked = Tracked(outcome, news), []

    async def track(self, waybills):
        self.asked.append(waybills)
        return self.answer


@pytest.fixture
async def asking(ways, place):
    """Ask a carrier for what is due, after all of it is due; returns whether there may be more."""
    await services.put(place.runtime, "main", "sf-std", FIELDS, Match(), "k")
    await desks.put_secret(place.runtime, "main", "sf-std", "s" * 16, "k")

    async def ask(carrier, *, due=True):
        if due:
            await ways.pg.execute("UPDATE tracking_polls SET due_at = $1", LONG_AGO)
        return await polling.poll(place.runtime, "main", lambda _access: carrier)

    return ask


def said(one, waybill="W1"):
    return News(waybill, one.milestone, one.at)


async def polls(ways):
    rows = await ways.pg.fetch("SELECT parcel_id, due_at FROM tracking_polls ORDER BY parcel_id")
    return {row["parcel_id"]: row["due_at"] for row in rows}


async def test_what_a_carrier_says_is_kept_until_the_parcel_has_its_end(ways, asking):
    await ways.ship("W1")
    await ways.follow()
    assert await polls(ways) == {"o-s1-p1": at(2)}, "an hour after it was looked at"
    way = [told("collected", 3), told("delivered", 60)]
    await asking(Carrier(said(way[0])))
    shown = await reading.parcels(ways.pool, "main", "", "W1")
    assert [(one.milestone, one.source) for one in shown.items[0].tracking] == [
        ("collected", "poll")
    ]
    await asking(Carrier(*map(said, way)))
    assert await ways.state() == "delivered"
    assert await polls(ways) == {}
    carrier = Carrier()
    await asking(carrier)
    assert carrier.asked == []
    assert len(await ways.events("parcel.milestone")) == 2


async def test_what_was_told_before_is_not_told_again_and_of_others_nothing(ways, asking):
    await ways.ship("W1")
    await ways.follow()
    await ways.track(told("collected", 3), hours=3)
    assert await polls(ways) == {"o-s1-p1": at(4)}, "heard of: asked an hour later"
    again = said(told("collected", 3))
    await asking(Carrier(again, again, said(told("in_transit", 9)), said(told("lost", 9), "X")))
    rows = await ways.pg.fetch("SELECT waybill, milestone, source FROM milestones ORDER BY at")
    assert [tuple(row) for row in rows] == [
        ("W1", "collected", "push"), ("W1", "in_transit", "poll"),
    ]  # fmt: skip


@pytest.mark.parametrize("outcome", ["UNKNOWN", "REFUSED"])
async def test_a_desk_that_does_not_say_is_asked_again_soon(ways, asking, place, outcome):
    await ways.ship("W1")
    await ways.follow()
    carrier = Carrier(said(told("collected", 3)), outcome=outcome)
    now = datetime.fromtimestamp(place.runtime.clock.now_ms() / 1_000, UTC)
    await asking(carrier)
    (due,) = (await polls(ways)).values()
    assert now <= due - polling.AGAIN < now + polling.AGAIN
    assert await ways.pg.fetchval("SELECT count(*) FROM milestones") == 0
    await asking(carrier, due=False)
    assert len(carrier.asked) == 1, "not before it is due"


async def test_of_many_at_once_each_parcel_is_asked_for_by_one(ways, asking):
    await ways.ship(*(f"W{n}" for n in range(1, 6)))
    await ways.follow()
    carrier = Carrier()
    await ways.pg.execute("UPDATE tracking_polls SET due_at = $1", LONG_AGO)
    await asyncio.gather(*(asking(carrier, due=False) for _ in range(4)))
    asked = sorted(waybill for waybills in carrier.asked for waybill in waybills)
    assert asked == [f"W{n}" for n in range(1, 6)]


async def test_without_a_desk_nobody_is_asked(ways):
    await ways.ship("W1")
    await ways.follow()
    assert await polls(ways) == {}
