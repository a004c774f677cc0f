"""Shipments of two orders that leave as one, and what is left of them when one is stopped."""

import pytest

from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import service
from engine.shipments.service import merging
from engine.shipments.types.shipments import Line, Planned, Told
from engine.shipments.types.stops import Ask
from tests.race.stopping import ORDER
from tests.store.physical import conftest as physical
from tests.store.physical.conftest import at

place = physical.place
LINES = (Line(1, "A", 3), Line(2, "B", 2))


class Merging:
    """Orders a, b and c, a shipment each at a node that has 10 of each; told to wait until 20."""

    def __init__(self, place):
        self.place, self.db, self.pool = place, place.pg, place.runtime.pool

    async def plan(self, order_id, merge_hash="h", release=20):
        one = Planned(
            "main", order_id, 1, "N", 1, LINES, service="sf", quoted_grams=1_000,
            merge_hash=merge_hash, release_at=at(release),
        )  # fmt: skip
        wanted = [
            assignments.Wanted(Assignment(order_id, n, "N", 1), "", sku, units)
            for n, sku, units, _ in LINES
        ]
        async with self.db.transaction():
            await service.plan(self.db, [one], at(5))
            await assignments.assign(self.db, "main", wanted, at(5))

    async def begin(self, code, minute=30):
        async with self.db.transaction():
            begun = await service.begin(self.db, code, at(minute))
        return begun.call or begun.why

    async def say(self, code, kind, *, minute=31):
        told = Told(kind, f"r-{kind}", at(minute), reply=True)
        async with self.db.transaction():
            outcome = await service.report_consignment(self.db, code, told, at(minute))
        again = await self.db.fetch(
            "SELECT order_id || '-s1' AS name FROM events WHERE kind = 'shipment.unmerged'"
        )
        return outcome, [row["name"] for row in again]

    async def ask(self, order_id):
        wanted = Ask("main", order_id, "cancel", "c1", (), "buyer", {})
        async with self.db.transaction():
            return await service.ask(self.db, wanted, at(32))

    async def merge(self):
        return await merging.merge(self.pool, at(10))

    async def codes(self):
        rows = await self.db.fetch("SELECT shipment_id, consignment_id FROM shipments")
        return dict(map(tuple, rows))

    async def states(self):
        rows = await self.db.fetch("SELECT shipment_id, state FROM shipments")
        return dict(map(tuple, rows))


@pytest.fixture
async def orders(place):
    for name in "abc":
        await place.pg.execute(ORDER, name)
    for sku in "AB":
        await place.move("receipt", 10, 1, sku=sku)
    return Merging(place)


async def test_two_orders_leave_as_one_when_the_first_is_due(orders):
    await orders.plan("a", release=25)
    await orders.plan("b", release=20)
    await orders.plan("c", merge_hash="other")
    assert await orders.merge() == 1
    assert await orders.merge() == 0, "what is merged is not merged again"
    assert await orders.codes() == {"a-s1": "b-s1", "b-s1": "b-s1", "c-s1": "c-s1"}
    assert await orders.begin("a-s1") == "gone", "its own call is made by the other's"
    assert await orders.begin("b-s1", 19) == "not_due"
    assert await orders.begin("b-s1", 20) == "create"
    assert await orders.states() == {"a-s1": "sending", "b-s1": "sending", "c-s1": "planned"}
    await orders.say("b-s1", "sent")
    await orders.say("b-s1", "shipped")
    assert await orders.states() == {"a-s1": "shipped", "b-s1": "shipped", "c-s1": "planned"}


@pytest.mark.parametrize("stopped", ["a", "b"])
async def test_a_stop_takes_it_apart_and_the_other_is_sent_alone(orders, stopped):
    other = "ab".replace(stopped, "")
    await orders.plan("a")
    await orders.plan("b")
    assert await orders.merge() == 1
    assert await orders.begin("a-s1") == "create"
    await orders.say("a-s1", "sent")
    assert (await orders.ask(stopped)).calls == ("a-s1",)
    assert await orders.begin("a-s1") == "cancel"
    outcome, again = await orders.say("a-s1", "cancelled", minute=33)
    assert [one.answer for one in outcome.answered] == ["stopped"]
    assert again == [f"{other}-s1"]
    assert await orders.states() == {
        "a-s1": "cancelled", "b-s1": "cancelled", f"{other}-s2": "planned"
    }  # fmt: skip
    committed = await orders.db.fetchval("SELECT sum(committed) FROM stock_balances")
    assert committed == 5, "the units of the other are its own still, nobody else's are"
    assert await orders.begin(f"{other}-s2", 40) == "create"


async def test_what_no_node_was_asked_for_leaves_the_other_where_it_is(orders):
    await orders.plan("a")
    await orders.plan("b")
    await orders.merge()
    await orders.ask("a")
    assert await orders.states() == {"a-s1": "cancelled", "b-s1": "planned"}
    assert await orders.begin("a-s1") == "create", "the consignment's name is of the first"
    assert await orders.states() == {"a-s1": "cancelled", "b-s1": "sending"}
    for kind in ("sent", "accepted", "shipped"):
        outcome, again = await orders.say("a-s1", kind)
        assert (outcome.after_stop, outcome.again, again) == ((), (), [])
        assert await orders.states() == {"a-s1": "cancelled", "b-s1": kind}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET state = 'cancelled' WHERE order_id = 'a'",
        "UPDATE shipments SET state = 'sending' WHERE order_id = 'a'",
        "INSERT INTO blocks (order_id, code, reason) VALUES ('a', 'manual', 'x')",
        "UPDATE shipments SET merge_hash = ''",
        "UPDATE shipments SET service = 'zto' WHERE order_id = 'a'",
    ],
)
async def test_what_may_not_go_with_others_goes_alone(orders, change):
    await orders.plan("a")
    await orders.plan("b")
    await orders.db.execute(change)
    assert await orders.merge() == 0
    assert await orders.codes() == {"a-s1": "a-s1", "b-s1": "b-s1"}


async def test_one_that_was_cancelled_alone_is_not_planned_again(orders):
    await orders.plan("a", merge_hash="")
    await orders.begin("a-s1")
    await orders.say("a-s1", "sent")
    await orders.ask("a")
    _, again = await orders.say("a-s1", "cancelled", minute=33)
    assert again == []


async def test_what_a_person_rejects_of_it_is_all_of_it_as_when_its_node_does(orders):
    async def reject(minute):
        said = service.ByHand("b-s1", "a-s1", "damaged", "", "k")
        async with orders.db.transaction():
            return await service.reject(orders.db, said, at(minute), has_system=True)

    await orders.plan("a")
    await orders.plan("b")
    assert await orders.merge() == 1
    assert await orders.begin("a-s1") == "create"
    assert (await reject(31)).state == "asked"
    assert await orders.begin("a-s1") == "create", "whether its node has it is not known yet"
    await orders.say("a-s1", "sent", minute=32)
    assert await orders.begin("a-s1") == "cancel"
    assert (await reject(33))[:2] == ("asked", ("a-s1", "b-s1"))
    outcome, again = await orders.say("a-s1", "cancelled", minute=34)
    assert again == []
    assert [(one.order_id, one.reason) for one in outcome.refused] == [
        ("a", "damaged"), ("b", "damaged"),
    ]  # fmt: skip
    assert set((await orders.states()).values()) == {"cancelled"}
    assert await orders.db.fetchval("SELECT sum(committed) FROM stock_balances") == 0
    assert (await reject(35)).state == "rejected"
