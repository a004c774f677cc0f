"""What a report does to stock, parcels, capacity and the order; each once."""

import pytest

from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import service
from engine.shipments.types.shipments import Line, Package, Planned, Slot, Told
from tests.race.stopping import ORDER
from tests.store.physical import conftest as physical
from tests.store.physical.conftest import at

place = physical.place
SLOT = Slot("node", "N", "2026-11-11", "orders", 1)


class Shipping:
    """One order of 3 A and 2 B at a node that has 10 of each."""

    def __init__(self, place):
        self.place, self.db, self.minute = place, place.pg, 10

    async def plan(self, *lines, **more):
        n = (await service.next_numbers(self.db, ["o"]))["o"]
        attempt = (await service.next_attempts(self.db, "o")).get("N", 1)
        one = Planned("main", "o", n, "N", attempt, lines, **more)
        wanted = [
            assignments.Wanted(
                Assignment("o", line.line_no, "N", attempt), "", line.sku, line.units
            )
            for line in lines
            if line.bound
        ]
        async with self.db.transaction():
            await service.plan(self.db, [one], at(5))
            await assignments.assign(self.db, "main", wanted, at(5))
        return one.shipment_id

    async def begin(self, code):
        async with self.db.transaction():
            begun = await service.begin(self.db, code, at(9))
        return begun.call or begun.why

    async def say(self, code, kind, *boxes, name="", reply=False, take=None):
        self.minute += 1
        told = Told(kind, name or f"r{self.minute}", at(self.minute), reply, boxes)
        async with self.db.transaction():
            outcome = await service.report_consignment(self.db, code, told, at(60))
            if take is not None:
                await take(self.db, "main", outcome, at(60))
        return outcome

    async def sums(self):
        return [await self.place.sums(sku) for sku in "AB"]

    async def state(self, code):
        return await self.db.fetchval("SELECT state FROM shipments WHERE shipment_id = $1", code)

    async def progress(self):
        return await self.db.fetchval("SELECT fulfilment_state FROM orders")

    async def events(self):
        rows = await self.db.fetch("SELECT kind FROM events WHERE order_id = 'o' ORDER BY id")
        return [row["kind"] for row in rows]


@pytest.fixture
async def shipping(place):
    await place.pg.execute(ORDER, "o")
    for sku in "AB":
        await place.move("receipt", 10, 1, sku=sku)
    return Shipping(place)


WHOLE = (Line(1, "A", 3), Line(2, "B", 2))


async def test_from_planned_to_shipped(shipping):
    code = await shipping.plan(*WHOLE)
    assert await shipping.sums() == [(10, 0, 3, 0, 7), (10, 0, 2, 0, 8)]
    assert await shipping.begin(code) == "create"
    await shipping.say(code, "sent", reply=True)
    await shipping.say(code, "accepted")
    assert await shipping.sums() == [(10, 0, 0, 3, 7), (10, 0, 0, 2, 8)]
    outcome = await shipping.say(code, "shipped")
    assert (outcome.free, outcome.parcels) == ((), (f"{code}-p1",))
    assert await shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]
    assert await shipping.progress() == "shipped"
    assert await shipping.events() == [
        "order.released", "shipment.sent", "shipment.accepted", "shipment.shipped",
    ]  # fmt: skip


async def test_parcels_leave_one_by_one_and_what_is_lacking_is_free(shipping):
    code = await shipping.plan(*WHOLE)
    await shipping.begin(code)
    await shipping.say(code, "sent", reply=True)
    first, second = Package("sf", "W1", ((1, 1),)), Package("sf", "W2", ((1, 1), (2, 2)))
    await shipping.say(code, "partly_shipped", first, name="c1")
    assert await shipping.progress() == "partly_shipped"
    assert (await shipping.say(code, "partly_shipped", first, name="c1")).outcome == "repeated"
    outcome = await shipping.say(code, "shipped", first, second, name="c2")
    assert (outcome.free, outcome.parcels) == ((code,), (f"{code}-p2",))
    assert await shipping.sums() == [(8, 0, 0, 0, 8), (8, 0, 0, 0, 8)]
    assert await shipping.state(code) == "shipped"
    assert await shipping.progress() == "partly_shipped", "one of A is to be sent still"
    rest = await shipping.plan(Line(1, "A", 1))
    assert await shipping.begin(rest) == "create", "no more of it is planned than was ordered"
    await shipping.say(rest, "sent", reply=True)
    await shipping.say(rest, "shipped")
    assert await shipping.progress() == "shipped"


async def test_a_confirm_before_the_answer_to_the_create_is_a_confirm(shipping):
    code = await shipping.plan(*WHOLE)
    await shipping.begin(code)
    await shipping.say(code, "shipped")
    await shipping.say(code, "sent", reply=True)
    assert await shipping.state(code) == "shipped"
    assert await shipping.begin(code) == "nothing_due"
    assert await shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]


async def test_a_cancel_of_the_house_counts_once_no_create_is_out(shipping):
    code = await shipping.plan(*WHOLE)
    await shipping.begin(code)
    await shipping.say(code, "accepted")
    assert (await shipping.say(code, "cancelled")).free == ()
    assert await shipping.state(code) == "accepted", "our create may yet arrive"
    assert await shipping.begin(code) == "gone", "whoever has the lease knows that none is out"
    assert await shipping.state(code) == "cancelled"
    assert await shipping.sums() == [(10, 0, 0, 0, 10), (10, 0, 0, 0, 10)]
    assert await shipping.progress() == "unrouted"


async def test_what_was_cancelled_and_is_taken_over_again_is_told(shipping):
    code = await shipping.plan(*WHOLE)
    await shipping.begin(code)
    await shipping.say(code, "sent", reply=True)
    await shipping.say(code, "cancelled")
    assert (await shipping.say(code, "picked")).again == (code,)
    assert await shipping.state(code) == "cancelled"
    await shipping.say(code, "shipped")
    assert await shipping.state(code) == "shipped", "the parcel is gone"
    assert await shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]


async def test_a_create_that_is_refused_frees_it(shipping):
    code = await shipping.plan(*WHOLE)
    await shipping.begin(code)
    outcome = await shipping.say(code, "rejected", reply=True)
    assert outcome.free == (code,)
    assert await shipping.sums() == [(10, 0, 0, 0, 10), (10, 0, 0, 0, 10)]
    assert await shipping.plan(*WHOLE) == "o-s2"


async def test_goods_that_nobody_counts_book_nothing(shipping):
    code = await shipping.plan(Line(1, "A", 3, bound=0), Line(2, "B", 2))
    await shipping.begin(code)
    await shipping.say(code, "shipped")
    assert await shipping.sums() == [(10, 0, 0, 0, 10), (8, 0, 0, 0, 8)]


async def test_of_a_consignment_that_nobody_knows_nothing_is_kept(shipping):
    assert (await shipping.say("nobody's", "shipped")).outcome == "ignored"
    assert await shipping.db.fetchval("SELECT count(*) FROM shipment_reports") == 0


async def given_back(shipping):
    async with shipping.db.transaction():
        return await service.capacity_to_give_back(shipping.db, 10)


async def test_capacity_is_given_back_once_and_not_of_what_is_planned_again(shipping):
    code = await shipping.plan(*WHOLE, capacity=(SLOT,))
    await shipping.begin(code)
    assert await given_back(shipping) == []
    await shipping.say(code, "rejected", reply=True)
    assert await given_back(shipping) == [("main", SLOT)]
    assert await given_back(shipping) == []
    code = await shipping.plan(*WHOLE, capacity=(SLOT,))
    await shipping.begin(code)
    await shipping.say(code, "sent", reply=True)
    async with shipping.db.transaction():
        told = Told("cancelled", "c", at(40))
        await service.report_consignment(shipping.db, code, told, at(60))
        await service.plan_again(shipping.db, "o", [code], at(60))
    assert await given_back(shipping) == []
    assert await shipping.state("o-s3") == "planned"
    assert await shipping.sums() == [(10, 0, 3, 0, 7), (10, 0, 2, 0, 8)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE orders SET state = 'cancelled'", "order_cancelled"),
        ("INSERT INTO blocks (order_id, code) VALUES ('o', 'manual')", "blocked"),
        ("UPDATE orders SET draws = '[[1, \"p\", 2]]'", "lines_changed"),
        ("UPDATE shipments SET release_at = '2030-01-01Z'", "not_due"),
    ],
)
async def test_what_holds_a_shipment_is_looked_at_when_it_is_sent(shipping, change, why):
    code = await shipping.plan(*WHOLE)
    await shipping.db.execute(change)
    assert await shipping.begin(code) == why
    assert await shipping.state(code) == "planned"


async def test_a_create_of_which_nothing_is_known_is_sent_again_whatever_holds(shipping):
    code = await shipping.plan(*WHOLE)
    assert await shipping.begin(code) == "create"
    async with shipping.db.transaction():
        await service.outcome_unknown(shipping.db, code, at(9))
    await shipping.db.execute("INSERT INTO blocks (order_id, code) VALUES ('o', 'manual')")
    assert await shipping.state(code) == "unknown"
    assert await shipping.begin(code) == "create"
