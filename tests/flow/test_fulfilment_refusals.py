"""Nodes refuse; the order goes elsewhere, or waits for a person; and none is ever nowhere."""

from contextlib import asynccontextmanager

from engine.assurance.verify import certify
from tests.conftest import eventually
from tests.flow.fulfilment import NEAREST, QUICK, STILL, brand
from tests.flow.test_fulfilment_changes import reaches, sent, waits


@asynccontextmanager
async def selling(settings, pg, plan=NEAREST, **more):
    async with brand(settings, pg, eventually, **more) as one:
        await one.activate(plan)
        yield one


def refuses(one, *nodes):
    for node in nodes:
        books = one.servers[node].books
        books.knobs = books.knobs._replace(reject=1.0)


ALL_READ = """
SELECT NOT EXISTS (
  SELECT FROM events AS e, event_cursors AS c
  WHERE c.reader = 'fulfilment' AND (e.xid, e.id) > (c.xid, c.id)
)
"""


async def nowhere(one):
    """How many orders are nowhere, and what the certificate says of it."""
    api = one.api
    found = await certify(api.cell, api.process.pool, api.process.clock, within_s=30)
    return found.orders_nowhere, [fault for fault in found.faults if "no queue" in fault]


async def test_what_one_node_refuses_another_sends(settings, pg):
    async with selling(settings, pg) as one:
        refuses(one, "hangzhou")
        order_id = await one.buy("1", ("tea", 2))
        await reaches(one, order_id, "shipped")
        states = [(row["node"], row["state"]) for row in await one.shipments(order_id)]
        assert states == [("hangzhou", "rejected"), ("beijing", "shipped")]
        noted = await pg.fetch("SELECT node, line_no, units FROM node_rejections")
        assert [tuple(row) for row in noted] == [("hangzhou", 1, 2)]
        assert await one.queued(order_id) is None
        assert await nowhere(one) == (0, [])


async def settled(one):
    """As if confirms that are late had had their time."""
    await one.pg.execute("UPDATE jobs SET due_at = now() WHERE kind = 'settle'")


async def test_what_lacks_when_the_rest_has_left_is_sent_from_elsewhere(settings, pg):
    async with selling(settings, pg) as one:
        books = one.servers["hangzhou"].books
        books.knobs = books.knobs._replace(lack=1.0)
        order_id = await one.buy("1", ("tea", 2), ("cup", 2))
        await reaches(one, order_id, "partly_shipped")
        await settled(one)
        await reaches(one, order_id, "shipped")
        first, second = await one.shipments(order_id)
        assert (first["node"], first["state"]) == ("hangzhou", "shipped")
        assert (second["node"], second["state"]) == ("beijing", "shipped")
        left = sum(
            item.units
            for server in one.servers.values()
            for held in server.books.held.values()
            for _, item in held.left
        )
        assert left == 4
        assert await one.queued(order_id) is None
        assert await nowhere(one) == (0, [])
        at = await pg.fetchrow("SELECT sum(committed) AS c, sum(shipped) AS s FROM stock_balances")
        assert tuple(at) == (0, 4)


async def test_what_lacks_and_is_nowhere_else_waits(settings, pg):
    """And the order has left in part, not as a whole."""
    async with selling(settings, pg) as one:
        for server in one.servers.values():
            server.books.knobs = server.books.knobs._replace(lack=1.0)
        order_id = await one.buy("1", ("tea", 2), ("cup", 2))

        async def parked():
            await settled(one)
            return (await one.queued(order_id) or ("NEW",))[0] not in {"NEW", "REJECTED"}

        await eventually(parked, within_s=30)
        assert await one.fulfilment(order_id) == "partly_shipped"
        assert await nowhere(one) == (0, [])


async def test_after_as_many_refusals_as_the_plan_allows_a_person_looks(settings, pg):
    async with selling(settings, pg, NEAREST | {"max_hops": 1}) as one:
        refuses(one, "hangzhou", "beijing")
        order_id = await one.buy("1", ("tea", 1))
        await waits(one, order_id, "MANUAL", "too_many_hops")
        assert [row["state"] for row in await one.shipments(order_id)] == ["rejected", "rejected"]
        assert await nowhere(one) == (0, [])


async def test_what_is_deleted_by_hand_is_nowhere(settings, pg):
    """The control: a row of the queue, then a shipment, gone without anybody having been told."""
    async with selling(settings, pg, knobs=STILL) as one:
        rule = {"name": "many", "when": "units > 2", "reason": "looked at"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        held = await one.buy("1", ("tea", 3))
        with_node = await one.buy("2", ("tea", 1))
        await waits(one, held, "HELD_RISK", "review")
        await sent(one, with_node)

        async def certified(wanted):
            async def there():
                return (await nowhere(one))[0] == wanted

            await eventually(there, within_s=20)

        await certified(0)
        await pg.execute("DELETE FROM routing_queue WHERE order_id = $1", held)
        await certified(1)
        await eventually(
            lambda: pg.fetchval(ALL_READ)
        )  # else it is taken up by what was told of it
        await pg.execute("UPDATE shipments SET state = 'cancelled' WHERE order_id = $1", with_node)
        await certified(2)
        assert (await nowhere(one))[1] == ["2 orders to be sent are in no queue and with no node"]
        # what is read again is taken up again
        await pg.execute(
            "INSERT INTO events (at, kind, order_id, data)"
            " SELECT now(), 'order.unblocked', o, '{}' FROM unnest($1::text[]) AS o",
            [held, with_node],
        )
        await waits(one, held, "HELD_RISK", "review")
        await certified(0)


async def test_without_a_plan_nothing_is_expected_anywhere(settings, pg):
    async with brand(settings, pg, eventually, knobs=QUICK) as one:
        await one.buy("1", ("tea", 1))
        assert await nowhere(one) == (0, [])
