"""What a node refuses: its stock, who is not asked again, and where the order waits."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.kernel.clock import to_ms
from engine.routing.rules import facts
from engine.routing.rules.rejections import HANDLING
from engine.routing.service import queue, rejecting
from engine.routing.service.rejecting import FOR_GOOD_MS
from engine.routing.store import hands
from engine.routing.types.core import Line as Wanted
from engine.routing.types.core import Order
from engine.routing.types.queue import Row
from engine.shipments import service
from engine.shipments.types.shipments import Line, Package, Told
from engine.shipments.types.stops import Ask
from tests.store.physical.conftest import at
from tests.store.shipments import test_reporting

place, shipping = test_reporting.place, test_reporting.shipping
WHOLE = (Line(1, "A", 3), Line(2, "B", 2))
NOW = datetime.now(UTC).replace(microsecond=0)
ORDER = Order(
    "o", "main", "mall", (), "310104", None, None,
    (Wanted(1, "A", "cn", 3), Wanted(2, "B", "cn", 2)),
)  # fmt: skip


class Refusing:
    """Reports of nodes, taken in as wms does."""

    def __init__(self, shipping):
        self.shipping, self.db, self.minute = shipping, shipping.db, 20

    async def sent(self, *lines, **more):
        code = await self.shipping.plan(*(lines or WHOLE), **more)
        await self.shipping.begin(code)
        await self.say(code, "sent", reply=True)
        return code

    async def say(self, code, kind, *boxes, reply=False, **more):
        self.minute += 1
        said = Told(kind, f"r{self.minute}", at(self.minute), reply, boxes, **more)
        async with self.db.transaction():
            outcome = await service.report_consignment(self.db, code, said, at(60))
            await rejecting.take(self.db, "main", outcome, NOW)
        return outcome

    async def settle(self, code):
        """As the shipper does once confirms that are late had their time."""
        async with self.db.transaction():
            outcome = await service.settle(self.db, code, at(70))
            await rejecting.take(self.db, "main", outcome, NOW)
        return outcome.outcome

    async def stop(self, cause="cancel"):
        async with self.db.transaction():
            wanted = Ask("main", "o", cause, "c1", (), "k", {})
            return (await service.ask(self.db, wanted, at(30))).stop

    async def rejections(self):
        rows = await self.db.fetch("SELECT * FROM node_rejections ORDER BY shipment_id, line_no")
        return [
            (row["line_no"], row["units"], row["reason"], row["stock_effect"], row["exclude_until"])
            for row in rows
        ]

    async def put(self, order=ORDER):
        """The row that intake writes of the order as it stands."""
        async with self.db.transaction():
            version = await self.db.fetchval("SELECT xmin::text FROM orders WHERE order_id = 'o'")
            await queue.put(self.db, "main", [Row("NEW", order, version, due_at=NOW)])
        return await self.db.fetchrow("SELECT * FROM routing_queue")

    async def movements(self):
        rows = await self.db.fetch(
            "SELECT kind, quantity, reason, reference FROM stock_movements"
            " WHERE reference LIKE 'refused%' ORDER BY movement_id"
        )
        return [tuple(row) for row in rows]


@pytest.fixture
def refusing(shipping):
    return Refusing(shipping)


async def test_what_is_not_there_is_taken_off_and_the_node_is_not_asked_again(refusing):
    code = await refusing.sent()
    outcome = await refusing.say(code, "rejected", reason="out_of_stock", lacks=((1, 3),))
    assert [one.shipment_id for one in outcome.refused] == [code]
    assert await refusing.rejections() == [(1, 3, "out_of_stock", "adjustment", None)]
    assert await refusing.movements() == [("adjustment", -3, "out_of_stock", f"refused:{code}")]
    # 3 of A are gone; of B nothing was said, and it is free
    assert await refusing.shipping.sums() == [(7, 0, 0, 0, 7), (10, 0, 0, 0, 10)]
    row = await refusing.put()
    assert (row["queue"], row["reason"], row["hops"]) == ("REJECTED", "node_refused", 1)
    assert row["due_at"] <= datetime.now(UTC)
    assert facts.unpack(row["facts"]).excluded == ((1, "N", FOR_GOOD_MS),)


async def test_a_later_count_says_again_what_is_there(refusing):
    code = await refusing.sent(Line(1, "A", 3))
    await refusing.say(code, "rejected", reason="lost")
    assert (await refusing.shipping.sums())[0] == (7, 0, 0, 0, 7)
    await refusing.shipping.place.count(40, ("A", 10))
    assert (await refusing.shipping.sums())[0] == (10, 0, 0, 0, 10)


async def test_a_count_that_saw_it_already_is_not_corrected_once_more(refusing):
    code = await refusing.sent(Line(1, "A", 3))
    await refusing.shipping.place.count(50, ("A", 7))
    await refusing.say(code, "rejected", reason="damaged")
    assert await refusing.movements() == [("damage", -3, "damaged", f"refused:{code}")]
    assert (await refusing.shipping.sums())[0] == (7, 0, 0, 0, 7)


@pytest.mark.parametrize("reason", sorted(HANDLING))
async def test_every_reason_says_what_happens(refusing, reason):
    code = await refusing.sent(Line(1, "A", 3))
    await refusing.say(code, "rejected", reason=reason)
    handling = HANDLING[reason]
    left = 7 if handling.effect else 10
    assert (await refusing.shipping.sums())[0] == (left, 0, 0, 0, left)
    hours = handling.hours
    until = None if hours is None else NOW + timedelta(hours=hours)
    assert await refusing.rejections() == [(1, 3, reason, handling.effect, until)]


async def test_the_same_report_again_changes_nothing(refusing):
    code = await refusing.sent()
    await refusing.say(code, "rejected", reason="lost")
    for _ in range(2):
        refusing.minute -= 1
        assert (await refusing.say(code, "rejected", reason="lost")).outcome == "repeated"
    assert (await refusing.say(code, "rejected", reason="damaged")).refused == ()
    assert len(await refusing.rejections()) == 2
    assert len(await refusing.movements()) == 2
    assert await refusing.shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]


async def test_units_that_a_final_confirm_lacks_are_refused(refusing):
    code = await refusing.sent()
    box = Package("sf", "W1", ((1, 1), (2, 2)))
    await refusing.say(code, "shipped", box)
    assert await refusing.rejections() == [], "a confirm of a part may be late"
    assert [await refusing.settle(code) for _ in range(2)] == ["recorded", "repeated"]
    assert await refusing.rejections() == [(1, 2, "out_of_stock", "adjustment", None)]
    assert await refusing.shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]
    rest = ORDER._replace(lines=(Wanted(1, "A", "cn", 2),))
    assert (await refusing.put(rest))["queue"] == "REJECTED"


async def test_a_part_that_is_confirmed_after_the_final_one_does_not_lack(refusing):
    code = await refusing.sent()
    await refusing.say(code, "shipped", Package("sf", "W2", ((1, 1), (2, 2))))
    due = "SELECT due_at > now() FROM jobs WHERE kind = 'settle' AND key = $1"
    assert await refusing.db.fetchval(due, f"{code}:settle") is not None
    await refusing.say(code, "partly_shipped", Package("sf", "W1", ((1, 2),)))
    assert await refusing.settle(code) == "repeated"
    assert await refusing.rejections() == []
    assert await refusing.shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]


async def test_a_confirm_of_all_refuses_nothing(refusing):
    code = await refusing.sent()
    assert (await refusing.say(code, "shipped")).refused == ()
    assert await refusing.rejections() == []


async def test_a_reason_that_was_told_before_is_that_of_the_lack(refusing):
    code = await refusing.sent()
    await refusing.say(code, "lacking", reason="damaged", lacks=((1, 1),))
    assert await refusing.rejections() == []
    await refusing.say(code, "shipped", Package("sf", "W1", ((1, 2), (2, 2))))
    await refusing.settle(code)
    assert await refusing.rejections() == [(1, 1, "damaged", "damage", None)]


async def test_a_create_that_is_refused_for_good_is_a_refusal(refusing):
    code = await refusing.shipping.plan(*WHOLE)
    await refusing.shipping.begin(code)
    await refusing.say(code, "rejected", reply=True, reason="cannot_ship")
    assert [one[:3] for one in await refusing.rejections()] == [
        (1, 3, "cannot_ship"), (2, 2, "cannot_ship"),
    ]  # fmt: skip
    assert await refusing.shipping.sums() == [(10, 0, 0, 0, 10), (10, 0, 0, 0, 10)]


async def test_what_somebody_had_stopped_is_no_refusal(refusing):
    code = await refusing.sent()
    assert (await refusing.stop()).answer == ""
    outcome = await refusing.say(code, "cancelled", reply=True)
    assert [one.answer for one in outcome.answered] == ["stopped"]
    assert (outcome.refused, outcome.late) == ((), ())
    assert await refusing.rejections() == []


async def test_what_a_node_cancels_by_itself_is_one(refusing):
    code = await refusing.sent()
    await refusing.say(code, "cancelled")
    assert {one[2] for one in await refusing.rejections()} == {"cancelled"}


async def test_goods_that_nobody_counts_have_no_stock_to_correct(refusing):
    code = await refusing.sent(Line(1, "A", 3, bound=0))
    await refusing.say(code, "rejected", reason="lost")
    assert await refusing.movements() == []
    assert len(await refusing.rejections()) == 1


async def test_each_refused_shipment_is_a_hop_and_a_hand_begins_anew(refusing):
    for _ in range(3):
        await refusing.say(await refusing.sent(), "rejected", reason="busy")
    row = await refusing.put()
    assert row["hops"] == 3
    assert facts.unpack(row["facts"]).excluded == (
        (1, "N", to_ms(NOW + timedelta(hours=4))), (2, "N", to_ms(NOW + timedelta(hours=4))),
    )  # fmt: skip
    async with refusing.db.transaction():
        await hands.take(refusing.db, "main", "o", "N", "k")
        assert (await rejecting.in_hand(refusing.db, ["o"]))["o"] == hands.Hand("", "N", 0)
    await refusing.db.execute("DELETE FROM routing_queue")
    row = await refusing.put()
    order = facts.unpack(row["facts"])
    assert (row["queue"], order.excluded) == ("NEW", ())
    assert {line.node for line in order.lines} == {"N"}


@pytest.mark.parametrize("queued", [False, True])
async def test_a_cancel_that_comes_after_its_answer_waits_for_a_person(refusing, queued):
    code = await refusing.sent()
    if queued:
        await refusing.put()
    await refusing.stop()
    async with refusing.db.transaction():
        late = await service.give_up(refusing.db, at(60), timedelta(minutes=1))
    assert [one.answer for one in late] == ["not_stopped"]
    outcome = await refusing.say(code, "cancelled", reply=True)
    assert [one.shipment_id for one in outcome.late] == [code]
    assert outcome.refused == ()
    assert await refusing.shipping.sums() == [(10, 0, 0, 0, 10), (10, 0, 0, 0, 10)]
    if queued:  # at once
        row = await refusing.db.fetchrow("SELECT * FROM routing_queue")
        assert (row["queue"], row["reason"], row["due_at"]) == ("MANUAL", "cancelled_late", None)
    row = await refusing.put()
    assert (row["queue"], row["reason"], row["due_at"]) == ("MANUAL", "cancelled_late", None)


async def test_what_is_the_same_stays_where_a_router_put_it(refusing):
    """Its own events are hints, too: a row that came back for each would never rest."""
    await refusing.say(await refusing.sent(), "rejected", reason="lost")
    await refusing.put()
    await refusing.db.execute("UPDATE routing_queue SET queue = 'UNFILLABLE', due_at = NULL")
    assert (await refusing.put())["queue"] == "UNFILLABLE"
    await refusing.say(await refusing.sent(), "rejected", reason="lost")
    assert (await refusing.put())["queue"] == "REJECTED"
