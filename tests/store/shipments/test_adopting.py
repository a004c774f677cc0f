"""Goods that are counted after they were sent: as if they had been counted before."""

import pytest

from engine.shipments.service import adopt
from engine.shipments.types.shipments import Line, Package
from tests.store.physical.conftest import at
from tests.store.shipments import test_reporting
from tests.store.shipments.test_reporting import Shipping

place = test_reporting.place
DECLARED = (Line(1, "A", 3, bound=0), Line(2, "B", 2))
SENT = (("sent", (), True), ("accepted", (), False))
WAYS = {
    "planned": (),
    "taken over": SENT,
    "shipped": (*SENT, ("shipped", (), False)),
    "in two parcels": (
        *SENT,
        ("partly_shipped", (Package("sf", "W1", ((1, 1),)),), False),
        ("shipped", (Package("sf", "W2", ((1, 2), (2, 2))),), False),
    ),
    "fewer than planned": (*SENT, ("shipped", (Package("sf", "W1", ((1, 1), (2, 2))),), False)),
    "rejected": (*SENT, ("rejected", (), False)),
    "cancelled": (*SENT, ("cancelled", (), True)),
}


@pytest.fixture
async def shipping(place):
    """Of A nobody ever counted anything; of B there are 10."""
    await place.pg.execute(test_reporting.ORDER, "o")
    await place.move("receipt", 10, 1, sku="B")
    return Shipping(place)


async def send(shipping, told):
    code = await shipping.plan(*DECLARED)
    if told:
        await shipping.begin(code)
    for kind, boxes, reply in told:
        await shipping.say(code, kind, *boxes, reply=reply)
    return code


async def adopted(shipping):
    return await adopt(shipping.place.runtime.pool, "main", at(60))


async def lines(shipping):
    rows = await shipping.db.fetch("SELECT lines FROM shipments ORDER BY shipment_id")
    return [row["lines"].replace(" ", "") for row in rows]


async def given(shipping, sku="A"):
    """What was ever given to the node and not cancelled, which pools count as sold."""
    row = await shipping.place.row(sku)
    return row["committed"] + row["handed_over"] + row["shipped"]


@pytest.mark.parametrize("way", WAYS)
async def test_it_comes_to_what_it_would_be_had_it_been_counted_before(shipping, place, way):
    code = await send(shipping, WAYS[way])
    assert await adopted(shipping) == 0, "nobody counts it yet"
    assert await place.row("A") is None
    await place.count(40, ("A", 7))
    assert await adopted(shipping) == 1
    late = await shipping.sums(), await given(shipping)
    assert await lines(shipping) == ['[[1,"A",3,1],[2,"B",2,1]]']
    assert await adopted(shipping) == 0
    # the same, of goods that were counted all along
    await shipping.db.execute("DELETE FROM shipment_reports")
    await shipping.db.execute("DELETE FROM shipments")
    for table in ("stock_parts", "stock_assignments", "stock_movements", "stock_balances",
                  "stock_keys"):  # fmt: skip
        await shipping.db.execute(f"DELETE FROM {table}")  # noqa: S608 - of these
    await place.move("receipt", 10, 1, sku="B")
    await place.move("receipt", 9, 1, sku="A")
    shipping.minute = 10
    code = await shipping.plan(Line(1, "A", 3), Line(2, "B", 2))
    if WAYS[way]:
        await shipping.begin(code)
    for kind, boxes, reply in WAYS[way]:
        await shipping.say(code, kind, *boxes, reply=reply)
    await place.count(40, ("A", 7))
    assert (await shipping.sums(), await given(shipping)) == late


@pytest.mark.parametrize("when", range(4))
async def test_reports_go_on_as_if_nothing_had_been_late(shipping, place, when):
    """However far it was when it was counted, the next report books what it should."""
    told = WAYS["in two parcels"]
    code = await shipping.plan(*DECLARED)
    await shipping.begin(code)
    for n, (kind, boxes, reply) in enumerate(told):
        if n == when:
            await place.count(40, ("A", 7))
            assert await adopted(shipping) == 1
        await shipping.say(code, kind, *boxes, reply=reply)
    assert (await given(shipping), (await place.row("A"))["committed"]) == (3, 0)
    assert (await place.row("A"))["shipped"] == 3


async def test_what_was_withdrawn_gives_nothing(shipping, place):
    code = await shipping.plan(*DECLARED)
    await shipping.db.execute(
        "UPDATE shipments SET state = 'cancelled' WHERE shipment_id = $1", code
    )
    await place.count(40, ("A", 7))
    assert await adopted(shipping) == 1
    assert await given(shipping) == 0
    assert (await shipping.sums())[0] == (7, 0, 0, 0, 7)


async def test_what_is_planned_again_is_adopted_too(shipping, place):
    code = await shipping.plan(*DECLARED)
    await shipping.begin(code)
    await shipping.say(code, "sent", reply=True)
    await shipping.say(code, "cancelled", reply=True)
    async with shipping.db.transaction():
        await test_reporting.service.plan_again(shipping.db, "o", [code], at(30))
    await place.count(40, ("A", 7))
    assert await adopted(shipping) == 2
    assert await given(shipping) == 3
    assert await shipping.db.fetchval("SELECT count(*) FROM declared_lines") == 0


async def test_of_another_owner_it_stays_declared(shipping, place):
    await shipping.plan(*DECLARED)
    await place.move("receipt", 5, 1, sku="A", owner="acme")
    assert await adopted(shipping) == 0
    assert await lines(shipping) == ['[[1,"A",3,0],[2,"B",2,1]]']
