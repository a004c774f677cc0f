"""What the buyer pays at the door is asked for once, however many parcels his order leaves in."""

import asyncio
from datetime import UTC, datetime

import pytest

from engine.infra import jobs
from engine.kernel.types import MAIN
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import service as shipments
from engine.shipments.service.queueing import QUEUES
from engine.shipments.types.shipments import Line, Planned
from engine.wms.service import sending
from engine.wms.service.sending import Ports
from engine.wms.types import Reply
from tests.flow.shipping import ORDER, world

DONE = Reply("DONE", wms_ref="W")
NO_ANSWER = Reply("UNKNOWN", text="TimeoutError")
REFUSED = Reply("REFUSED", code="invalid", permanent=True)


class Asked(Ports):
    """A port that keeps what it was asked for, and answers as it is told to."""

    def __init__(self, **answers):
        self.answers, self.creates = answers, []

    def of(self, _reached):
        return self

    async def create(self, one):
        self.creates.append(one)
        name = one.consignment_id.rpartition("-")[2]
        said = self.answers.get(name, [DONE])
        return said.pop(0) if len(said) > 1 else said[0]

    async def cancel(self, _one, _reason):
        return DONE

    def dues(self):
        """What was asked for last, by the end of the consignment's name."""
        return {one.consignment_id.rpartition("-")[2]: one.due for one in self.creates}


class Door:
    """An order of lines (units, payable), to be paid at the door, in parcels of some lines."""

    def __init__(self, here):
        self.here, self.runtime, self.pg = here, here.runtime, here.pg

    async def order(self, *lines, payment="on_delivery", freight=0):
        await self.pg.execute(ORDER, "o", '{"ship_to": {"name": "张三"}}')
        draws = "[" + ", ".join(f'[{n}, "p", {units}]' for n, (units, _) in enumerate(lines, 1))
        await self.pg.execute(
            "UPDATE orders SET payment_state = $1, payable = $2, draws = $3",
            payment, sum(payable for _, payable in lines) + freight, draws + "]",
        )  # fmt: skip
        await self.pg.executemany(
            "INSERT INTO order_lines (order_id, line_no, sku, quantity, open_quantity, payable)"
            " VALUES ('o', $1, $2, $3, $3, $4)",
            [(n, f"S{n}", units, payable) for n, (units, payable) in enumerate(lines, 1)],
        )

    async def parcel(self, n, **units):
        """Plan the n-th shipment, of units by line: `l1=2` is two of line 1."""
        now = datetime.now(UTC)
        held = {int(name[1:]): count for name, count in units.items()}
        lines = tuple(Line(line, f"S{line}", count) for line, count in held.items())
        one = Planned("main", "o", n, "N", n, lines, no_return="shipped")
        wanted = [
            assignments.Wanted(Assignment("o", line, "N", n), "", f"S{line}", count)
            for line, count in held.items()
        ]
        async with self.runtime.pool.acquire() as tx, tx.transaction():
            await shipments.plan(tx, [one], now)
            await assignments.assign(tx, MAIN, wanted, now)

    async def send(self, port):
        """Make each call that waits, once."""
        await self.pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
        clock = self.runtime.clock
        for job in await jobs.claim(self.runtime.pool, MAIN, clock, QUEUES, 16):
            await sending.do(self.runtime, port, job)


@pytest.fixture
async def door(settings, database_url, pg):
    async with world(settings, database_url, pg, "plain") as here:
        yield Door(here)


async def test_two_parcels_collect_together_what_is_due(door):
    port = Asked()
    await door.order((3, 601), (2, 400), freight=10)
    await door.parcel(1, l1=3)
    await door.parcel(2, l2=2)
    await door.send(port)
    assert port.dues() == {"s1": 607, "s2": 404}  # 1011 by 601 : 400, and what is left over
    assert {one.flags for one in port.creates} == {("COD",)}


async def test_the_same_call_again_asks_for_the_same(door):
    port = Asked(s1=[NO_ANSWER, NO_ANSWER, DONE])
    await door.order((3, 601), (2, 400))
    await door.parcel(1, l1=3)
    await door.send(port)
    await door.parcel(2, l2=2)
    await door.send(port)
    # a line of it is worth less by now: what a node may have been told stays
    await door.pg.execute("UPDATE order_lines SET payable = 301 WHERE line_no = 1")
    await door.pg.execute("UPDATE orders SET payable = 701")
    await door.send(port)
    asked = [(one.consignment_id[2:], one.due) for one in port.creates]
    assert sorted(asked) == [("s1", 601), ("s1", 601), ("s1", 601), ("s2", 400)]


async def test_a_parcel_that_is_planned_anew_carries_its_own_share(door):
    port = Asked(s1=[REFUSED])
    await door.order((3, 601), (2, 400))
    await door.parcel(1, l1=3)
    await door.parcel(2, l2=2)
    await door.send(port)
    assert await door.here.states() == {"o-s1": "rejected", "o-s2": "sent"}
    await door.parcel(3, l1=1)
    await door.parcel(4, l1=2)
    await door.send(port)
    assert port.dues() == {"s1": 601, "s2": 400, "s3": 200, "s4": 401}


async def test_shippers_side_by_side_do_not_ask_twice(door):
    await door.order((8, 1_000))
    for n in range(1, 9):
        await door.parcel(n, l1=1)
    port = Asked()
    clock, pool = door.runtime.clock, door.runtime.pool
    found = await jobs.claim(pool, MAIN, clock, QUEUES, 16)
    await asyncio.gather(*(sending.do(door.runtime, port, job) for job in found))
    assert len(found) == 8
    assert sum(port.dues().values()) == 1_000


async def test_what_is_paid_is_not_collected(door):
    port = Asked()
    await door.order((3, 601), payment="paid")
    await door.parcel(1, l1=3)
    await door.send(port)
    assert [(one.due, one.flags) for one in port.creates] == [(0, ())]
    assert await door.pg.fetchval("SELECT count(*) FROM shipment_dues") == 0


async def test_a_unit_is_worth_what_is_left_to_pay_for_those_that_are_left(door):
    port = Asked()
    await door.order((3, 300))
    await door.pg.execute("UPDATE order_lines SET open_quantity = 2, payable = 200")
    await door.pg.execute("UPDATE orders SET payable = 200, draws = '[[1, \"p\", 2]]'")
    await door.parcel(1, l1=2)
    await door.send(port)
    (one,) = port.creates
    assert ([line.price for line in one.lines], one.due) == ([100], 200)
