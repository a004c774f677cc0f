"""A played fulfilment: what is bought, and that what a warehouse did otherwise is found."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from engine.kernel.errors import EngineError
from engine.routing.types.plans import PlanFields
from engine.simulation.calls import CallFailed
from engine.simulation.fulfilment import opening, reading, story, wishes, world
from engine.simulation.fulfilment.types import MALL, MARKET, Stopped
from engine.simulation.warehouse import Held
from engine.wms.types import Item

NODE = world.EAST.node


def test_orders_are_those_of_the_seed_and_some_need_both_warehouses():
    found = wishes.seeded(7)
    assert found == wishes.seeded(7) != wishes.seeded(8)
    assert len({one.number for one in found}) == len(found) == wishes.ORDERS
    assert {one.channel for one in found} == {MALL, MARKET}
    apart = [
        one for one in found
        if not set.intersection(*(set(good.nodes) for good, _ in one.lines))
    ]  # fmt: skip
    assert 0 < len(apart) < len(found) / 4
    assert next(one.number for one in found if one.risk >= world.RISK_MIN) == wishes.FOLLOWED
    units = dict.fromkeys(world.GOODS, 0)
    for one in found:
        for good, n in one.lines:
            units[good] += n
    assert all(n <= world.UNITS_EACH for n in units.values())


def shipment(units=2, **more):
    """A shipment of one line as the API shows it, in a box."""
    items = [{"line_id": "o-1", "quantity": units}]
    return {
        "order_id": "o", "consignment_id": "o-s1", "shipment_id": "o-s1", "node": NODE,
        "state": "delivered", "parcels": [{"items": items}],
    } | more  # fmt: skip


def held(*left, **more):
    """A consignment of two units as its warehouse has it."""
    one = Held("o-s1", "W", (Item("A", 2, "1"),), "SF", "1", left=list(left), **more)
    return {NODE: {"o-s1": one}}


GONE = (1_000, Item("A", 2, "1"))


def test_books_that_say_the_same_have_no_fault():
    assert [*reading.book_faults(held(GONE), [shipment()])] == []


@pytest.mark.parametrize(
    ("books", "sent", "said"),
    [
        (held(GONE), [], "nobody sent"),
        (held(GONE), [shipment(node=world.NORTH.node)], "nobody sent"),
        (held(GONE, made=2), [shipment()], "2 times"),
        (held(GONE), [shipment(3)], "3 were told"),
        (held(), [shipment()], "0 units"),
        (held(GONE, said_cancelled_at=999), [shipment()], "after it had stopped"),
    ],
)
def test_what_a_warehouse_did_otherwise_is_a_fault(books, sent, said):
    (fault,) = reading.book_faults(books, sent)
    assert said in fault


def stop(answer):
    return Stopped("o", "o-s1", NODE, "accepted", answer, 0.1)


@pytest.mark.parametrize(
    ("answers", "faults"),
    [
        (("stopped", "not_stopped"), 0),
        (("not_stopped", "stopped", "not_stopped"), 0),
        (("stopped",), 1),
        (("not_stopped", "not_stopped"), 1),
        ((), 2),
        (("", "stopped", "not_stopped"), 1),
    ],
)
def test_one_refund_has_to_come_in_time_and_one_too_late(answers, faults):
    assert len([*reading.stop_faults([stop(one) for one in answers])]) == faults


@pytest.mark.parametrize(
    ("entries", "took"),
    [
        ([("order.paid", 1), ("order.routed", 3)], [2.0]),
        ([("order.synced", 1), ("order.reviewed", 2), ("order.routed", 2)], [1.0]),
        ([("order.paid", 1), ("order.unblocked", 5), ("order.routed", 6)], [1.0]),
        ([("order.paid", 1), ("order.routed", 2), ("order.routed", 9)], [1.0]),
        ([("order.paid", 1), ("order.parked", 2)], []),
    ],
)
def test_an_order_is_routed_from_when_nothing_held_it(entries, took):
    timeline = [
        {"kind": kind, "at": f"2026-11-11T00:00:{at:02}.000Z"} for kind, at in entries
    ]  # fmt: skip
    assert [*reading.routed({"timeline": timeline})] == took


class Said:
    """Calls that are answered so."""

    def __init__(self, orders=(), plans=(), rules=404):
        self.lists = {"/v1/orders?limit=1": orders, "/v1/routing-plans": plans}
        self.rules = rules

    async def get(self, path):
        return {"items": list(self.lists[path])} if path in self.lists else await self.put(path)

    async def put(self, path, _document=None):
        if self.rules >= 400:
            raise CallFailed(f"{path}: {self.rules}", self.rules)
        return {}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Said(), ""),
        (Said(plans=[{"status": "DRAFT"}]), ""),
        (Said(orders=[{}]), "orders"),
        (Said(plans=[{"status": "ARCHIVED"}, {"status": "ACTIVE"}]), "plan"),
        (Said(rules=200), "review"),
    ],
)
async def test_it_is_played_only_where_it_decides_of_nobody_elses_orders(said, why):
    found = await opening.taken(said)
    assert why in found
    assert bool(found) == bool(why)


async def test_without_the_library_of_conditions_nothing_is_held_and_all_else_is_played():
    assert await opening.review(Said(rules=201)) == []
    (note,) = await opening.review(Said(rules=501))
    assert "not installed" in note
    with pytest.raises(CallFailed, match="403"):
        await opening.review(Said(rules=403))
    plan = msgspec.convert(world.plan_of("m"), PlanFields)
    assert not any(stage.match or rule.when for stage in plan.stages for rule in stage.rules)


async def test_the_first_refusal_is_raised_by_itself_and_ends_what_runs_beside():
    ended = SimpleNamespace(beside=False)

    async def fails():
        raise CallFailed("no")

    async def beside():
        try:
            await asyncio.Event().wait()
        finally:
            ended.beside = True

    with pytest.raises(EngineError, match="no"):
        await story.together(fails(), beside=[beside()])
    assert ended.beside
