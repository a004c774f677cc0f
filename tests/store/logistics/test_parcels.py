"""Parcels followed in Postgres: news in any order, clocks, acknowledgements, codes; each once."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from engine.infra import outbox
from engine.kernel.clock import to_ms
from engine.kernel.errors import AlreadyRedeemed, InConflict, NotFound, WrongCode
from engine.logistics.service import acking, clocks, collecting, reading, tracking
from engine.logistics.types import AckResultIn, TrackedIn
from engine.shipments import service as shipments
from engine.shipments.types.shipments import Line, Package, Planned, Told
from tests.race.stopping import ORDER
from tests.store.physical import conftest as physical

place = physical.place
T0 = datetime(2026, 11, 11, tzinfo=UTC)
LINES = (Line(1, "A", 3, 0), Line(2, "B", 2, 0))  # of goods that nobody counts
CHANNEL = """
INSERT INTO channels (tenant, channel, version, document, actor)
VALUES ('main', 'mall', 1, '{"authority": "external"}', 'k')
"""


def at(hours):
    return T0 + timedelta(hours=hours)


class At:
    def __init__(self, hours):
        self.hours = hours

    def now_ms(self):
        return to_ms(at(self.hours))

    def monotonic(self):
        return 0.0


def told(milestone, hours, waybill="W1", carrier="sf", source="push"):
    return TrackedIn(waybill, milestone, at(hours), carrier, source)


class Ways:
    """One order of 3 A and 2 B from node N, promised to leave in 10 h and arrive in 72 h."""

    def __init__(self, place):
        self.pool, self.pg, self.said = place.runtime.pool, place.pg, 0
        self.told_by = 1  # the hour by which all that was told had happened

    async def plan(self, *cuts, **more):
        planned = [
            Planned("main", "o", n, "N", n, lines, service="sf-std", region="310115",
                    promised_ship_by=at(10), promised_deliver_by=at(72), **more)
            for n, lines in enumerate(cuts or (LINES,), start=1)
        ]  # fmt: skip
        async with self.pg.transaction():
            await shipments.plan(self.pg, planned, T0)
            await outbox.write(self.pg, "order.routed", "router", [{}])
            await self.pg.execute("UPDATE events SET order_id = 'o'")
        await self.pg.execute("UPDATE shipments SET created_at = $1", T0)
        return [one.shipment_id for one in planned]

    async def say(self, code, kind, *boxes, hours=1, reply=False):
        self.said += 1
        said = Told(kind, f"r{self.said}", at(hours), reply, boxes)
        async with self.pg.transaction():
            await shipments.report_consignment(self.pg, code, said, at(hours))

    async def ship(self, *waybills, hours=1):
        (code,) = await self.plan()
        await self.say(code, "sent", reply=True)
        await self.say(code, "shipped", *(Package("sf", one) for one in waybills), hours=hours)
        return code

    async def track(self, *items, hours=None):
        """Tell what happened, when it has unless `hours` says when."""
        happened = [int((one.at - T0) / timedelta(hours=1)) for one in items]
        if hours is None:
            hours = self.told_by = max(self.told_by, *happened)
        found = await tracking.record(self.pool, "main", items, at(hours))
        return [one.result for one in found]

    async def follow(self, hours=None):
        hours = self.told_by if hours is None else hours
        while await tracking.follow(self.pool, "main", At(hours)):
            pass
        while await tracking.catch_up(self.pool, "main", At(hours)):
            pass

    async def tick(self, hours):
        await clocks.tick(self.pool, At(hours))

    async def legs(self):
        rows = await self.pg.fetch("SELECT leg, state FROM legs ORDER BY due_at, leg")
        return {row["leg"]: row["state"] for row in rows}

    async def events(self, *kinds):
        rows = await self.pg.fetch("SELECT kind, data FROM events ORDER BY id")
        return [row["kind"] for row in rows if not kinds or row["kind"] in kinds]

    async def state(self):
        return await self.pg.fetchval("SELECT state FROM shipments")

    async def card(self):
        return await self.pg.fetch("SELECT * FROM scorecards")

    async def give_out(self, hours):
        return await acking.give_out(self.pool, "main", "mall", 10, at(hours))

    async def answer(self, version=1, *, accepted=True, hours=2, **more):
        one = AckResultIn("o-s1-p1", version, accepted, **more)
        found = await acking.answer(self.pool, "main", "mall", [one], "adapter", at(hours))
        return found[0].result


@pytest.fixture
async def ways(place):
    await place.pg.execute(ORDER, "o")
    await place.pg.execute(CHANNEL)
    return Ways(place)


WAY = [told("collected", 3), told("in_transit", 10), told("arrived", 50), told("delivered", 60)]


async def test_from_leaving_to_delivered(ways):
    await ways.ship("W1")
    await ways.follow()
    assert await ways.legs() == {
        "hand_over": "met", "pickup": "open", "transit": "open", "last_mile": "open"
    }  # fmt: skip
    for one in WAY:
        assert await ways.track(one) == ["recorded"]
        assert await ways.track(one) == ["repeated"]
    assert await ways.legs() == {
        "hand_over": "met", "pickup": "met", "transit": "met", "last_mile": "met"
    }  # fmt: skip
    assert await ways.state() == "delivered"
    assert await ways.pg.fetchval("SELECT fulfilment_state FROM orders") == "delivered"
    assert len(await ways.events("parcel.milestone")) == 4
    (card,) = await ways.card()
    assert (card["service"], card["region2"], card["parcels"], card["on_time"]) == (
        "sf-std", "31", 1, 1,
    )  # fmt: skip
    assert card["minutes_sum"] == 59 * 60
    shown = await reading.parcels(ways.pool, "main", "", "W1")
    assert [one.milestone for one in shown.items[0].tracking] == [one.milestone for one in WAY]


async def test_what_is_dated_ahead_is_not_delivered_in_time_before_its_time(ways):
    await ways.ship("W1")
    assert await ways.track(*WAY, hours=4) == ["recorded"] * 4
    assert await ways.legs() == {
        "hand_over": "met", "pickup": "met", "transit": "open", "last_mile": "open"
    }  # fmt: skip
    assert (await ways.card())[0]["on_time"] == 0
    await ways.track(told("delivered", 60, source="poll"), hours=61)
    assert set((await ways.legs()).values()) == {"met"}
    assert (await ways.card())[0]["on_time"] == 1


@pytest.mark.parametrize("seed", range(8))
async def test_news_in_any_order_before_and_after_the_confirm_come_to_the_same(ways, seed):
    dice, (code,) = random.Random(seed), await ways.plan()
    await ways.say(code, "sent", reply=True)
    steps = [*WAY, *dice.sample(WAY, 2), None]
    dice.shuffle(steps)
    for one in steps:
        if one is None:
            await ways.say(code, "shipped", Package("sf", "W1"))
        else:
            await ways.track(one)
        if dice.random() < 0.5:
            await ways.follow()
    await ways.follow()
    assert await ways.state() == "delivered"
    (card,) = await ways.card()
    assert (card["parcels"], card["on_time"], card["delivered"]) == (1, 1, 1)
    assert not await ways.pg.fetchval("SELECT count(*) FROM milestones WHERE waits")


async def test_what_waits_for_its_parcel_is_said_to_and_forgotten_when_none_comes(ways):
    assert await ways.track(told("collected", 3, "X9")) == ["waits"]
    await ways.follow()
    await tracking.forget(ways.pool, At(24 * 29))
    assert await ways.pg.fetchval("SELECT count(*) FROM milestones") == 1
    await tracking.forget(ways.pool, At(24 * 32))
    assert await ways.pg.fetchval("SELECT count(*) FROM milestones") == 0


async def test_a_shipment_is_delivered_when_all_its_parcels_are(ways):
    await ways.ship("W1", "W2")
    await ways.track(told("delivered", 60))
    assert await ways.state() == "shipped"
    await ways.track(told("refused", 61, "W2"))
    assert await ways.state() == "refused"
    await ways.track(told("returned", 90, "W2"))
    assert await ways.state() == "returned"
    (card,) = await ways.card()
    assert (card["parcels"], card["delivered"], card["refused"]) == (2, 1, 0)


async def test_clocks_come_near_and_run_out_once_and_late_news_puts_it_right(ways):
    (code,) = await ways.plan()
    await ways.follow()
    for hours in (7, 8, 9, 10, 11, 12):
        await ways.tick(hours)
    assert await ways.events("parcel.near_breach", "parcel.breached") == [
        "parcel.near_breach", "parcel.breached"
    ]  # fmt: skip
    await ways.say(code, "sent", reply=True)
    await ways.say(code, "shipped", Package("sf", "W1"), hours=9)
    await ways.follow(12)
    assert (await ways.legs())["hand_over"] == "met", "it had left in time, as we hear now"
    await ways.tick(200)
    assert (await ways.legs())["last_mile"] == "breached"
    await ways.track(told("delivered", 70), hours=201)
    assert (await ways.legs())["last_mile"] == "met"
    (card,) = await ways.card()
    assert (card["on_time"], card["breached"]) == (1, 0)


async def test_a_late_parcel_is_told_once_and_counted(ways):
    await ways.ship("W1")
    await ways.follow()
    await ways.tick(73)
    before = await ways.events("parcel.breached")
    await ways.track(told("delivered", 80), hours=81)
    await ways.tick(90)
    assert await ways.events("parcel.breached") == before == ["parcel.breached"] * 3
    (card,) = await ways.card()
    assert (card["parcels"], card["on_time"], card["breached"]) == (1, 0, 1)


async def test_what_is_cancelled_has_no_clock(ways):
    (code,) = await ways.plan()
    await ways.say(code, "sent", reply=True)
    await ways.follow()
    await ways.say(code, "cancelled", reply=True)
    await ways.follow()
    await ways.tick(99)
    assert await ways.legs() == {"hand_over": "void"}
    assert await ways.events("parcel.breached") == []


async def test_looks_side_by_side_count_a_parcel_once(ways):
    """All at one time: who is told of a delivery earlier than it was does not call it on time."""
    await ways.ship("W1")
    told_anew = [ways.track(one, hours=90) for one in WAY for _ in range(3)]
    await asyncio.gather(*told_anew, ways.follow(hours=90))
    assert await ways.state() == "delivered"
    (card,) = await ways.card()
    assert (card["parcels"], card["on_time"]) == (1, 1)


async def test_a_channel_is_told_until_it_answers(ways):
    await ways.ship("W1")
    await ways.follow()
    (one,) = await ways.give_out(2)
    assert (one.parcel_id, one.waybill, one.attempts, one.version) == ("o-s1-p1", "W1", 1, 1)
    assert await ways.give_out(2) == [], "it is out"
    (one,) = await ways.give_out(2 + 1 / 60)
    assert one.attempts == 2
    assert await ways.answer(accepted=False, reason="busy") == "again"
    assert await ways.give_out(2 + 1.9 / 60) == []
    assert len(await ways.give_out(3)) == 1
    assert await ways.answer(2) == "stale"
    assert await ways.answer() == "acked"
    assert await ways.answer() == "repeated"
    assert await ways.give_out(99) == []
    await ways.follow()
    await ways.tick(99)
    assert await ways.events("ack.overdue") == []


async def test_what_a_channel_refuses_for_good_is_told_and_missed_in_time(ways):
    await ways.ship("W1")
    await ways.follow()
    assert await ways.answer(accepted=False, permanent=True, reason="no such carrier") == "failed"
    assert await ways.events("ack.failed") == ["ack.failed"]
    assert await ways.give_out(99) == []
    await ways.tick(8.9)
    assert await ways.events("ack.overdue") == []
    await ways.tick(9)
    await ways.tick(9.5)
    assert await ways.events("ack.overdue") == ["ack.overdue"]


async def test_only_marketplaces_are_told(ways):
    await ways.pg.execute('UPDATE channels SET document = \'{"authority": "gate"}\'')
    await ways.ship("W1")
    await ways.follow()
    assert await ways.give_out(99) == []


class Counter:
    """A shipment that lies ready in a store."""

    def __init__(self, ways):
        self.ways = ways

    async def make(self, hours=1):
        made = await collecting.make_code(self.ways.pool, "main", "", "o-s1", at(hours))
        return made.code

    async def redeem(self, code, hours=2, channel=""):
        return await collecting.redeem(
            self.ways.pool, "main", channel, "o-s1", code, actor="clerk", now=at(hours)
        )


@pytest.fixture
async def counter(ways):
    (code,) = await ways.plan(mode="pickup")
    await ways.say(code, "sent", reply=True)
    await ways.say(code, "packed")
    return Counter(ways)


async def test_goods_are_handed_out_once_however_many_try(counter):
    code = await counter.make()
    tries = await asyncio.gather(*(counter.redeem(code) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, AlreadyRedeemed) for one in tries) == 4, tries
    assert await counter.ways.state() == "delivered"
    with pytest.raises(AlreadyRedeemed):
        await counter.make()


async def test_five_wrong_codes_and_the_right_one_is_worth_nothing(counter):
    code = await counter.make()
    for _ in range(5):
        with pytest.raises(WrongCode):
            await counter.redeem("x")
    with pytest.raises(WrongCode):
        await counter.redeem(code)
    assert await counter.ways.state() == "packed"
    await counter.redeem(await counter.make())


async def test_a_new_code_ends_the_one_before(counter):
    old, new = await counter.make(), await counter.make()
    if old != new:
        with pytest.raises(WrongCode):
            await counter.redeem(old)
    await counter.redeem(new)


async def test_what_is_being_stopped_or_is_anothers_is_not_handed_out(counter):
    code = await counter.make()
    with pytest.raises(NotFound):
        await counter.redeem(code, channel="other")
    await counter.ways.pg.execute("UPDATE shipments SET cancelling = true")
    with pytest.raises(InConflict):
        await counter.redeem(code)
    await counter.ways.pg.execute("UPDATE shipments SET cancelling = false")
    await counter.ways.pg.execute("UPDATE orders SET state = 'cancelled'")  # by its marketplace
    with pytest.raises(InConflict):
        await counter.redeem(code)
    await counter.ways.pg.execute("UPDATE orders SET state = 'open'")
    await counter.redeem(code)


async def test_what_is_sent_by_a_carrier_has_no_code(ways):
    await ways.plan()
    with pytest.raises(InConflict):
        await collecting.make_code(ways.pool, "main", "", "o-s1", T0)
