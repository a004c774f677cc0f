"""Orders of which nothing is to be routed, and that a person has to look at: none is silent."""

from datetime import timedelta

from engine.assurance.verify import certify
from engine.infra import jobs
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.routing.service import rejecting
from engine.shipments import service
from engine.shipments.types.shipments import Package, Told
from engine.shipments.types.stops import Ask
from tests.conftest import eventually
from tests.flow.fulfilment import SECRET, STILL, brand
from tests.flow.test_fulfilment_changes import reaches, sent, waits
from tests.flow.test_fulfilment_refusals import selling, settled

WITHOUT_SHIPPERS = (
    "recorder", "sweeper", "keeper", "publisher", "settler", "shelver", "rebalancer", "reviewer",
    "router",
)  # fmt: skip
WRONG = "a wrong one of sixteen"


async def short(one):
    """An order of which hangzhou left some out, which is sent from beijing; its id."""
    books = one.servers["hangzhou"].books
    books.knobs = books.knobs._replace(lack=1.0)
    order_id = await one.buy("1", ("tea", 2), ("cup", 2))
    await reaches(one, order_id, "partly_shipped")
    await settled(one)
    return order_id


async def late(one, order_id):
    """What hangzhou left out it tells of after all; return its (line, units)."""
    row = await one.pg.fetchrow(
        "SELECT short, lines FROM shipments WHERE shipment_id = $1", f"{order_id}-s1"
    )
    units = tuple((n, units) for n, units in codec.decode_json(row["short"]))
    process = one.api.process
    now_ms = process.clock.now_ms()
    told = Told("partly_shipped", "late", instant(now_ms), packages=(Package("SF", "LATE", units),))
    async with process.pool.acquire() as tx, tx.transaction():
        outcome = await service.report_consignment(tx, f"{order_id}-s1", told, instant(now_ms))
        await rejecting.take(tx, "main", outcome, instant(now_ms))
    return units


async def certificate(one):
    api = one.api
    return await certify(api.cell, api.process.pool, api.process.clock, within_s=30)


async def test_what_was_sent_instead_is_stopped_where_it_can_be(settings, pg):
    async with selling(settings, pg) as one:
        beijing = one.servers["beijing"].books
        beijing.knobs = beijing.knobs._replace(**STILL)
        order_id = await short(one)
        await sent(one, order_id, "beijing", n=2)
        await late(one, order_id)
        await reaches(one, order_id, "shipped")
        states = [row["state"] for row in await one.shipments(order_id)]
        assert states == ["shipped", "cancelled"]
        assert [held.state for held in beijing.held.values()] == ["cancelled"]
        assert await one.queued(order_id) is None
        found = await certificate(one)
        assert (found.shipped_twice, found.orders_nowhere, found.faults) == (0, 0, [])


async def test_what_left_twice_is_named_counted_and_a_persons(settings, pg):
    async with selling(settings, pg) as one:
        order_id = await short(one)
        await reaches(one, order_id, "shipped")
        units = await late(one, order_id)
        await waits(one, order_id, "MANUAL", "shipped_twice")
        order = await one.get(f"/v1/orders/{order_id}")
        assert (order["queue"]["queue"], order["queue"]["reason"]) == ("MANUAL", "shipped_twice")
        told = [each for each in order["timeline"] if each["kind"] == "order.shipped_twice"]
        assert len(told) == 1
        assert told[0]["data"]["shipments"] == [f"{order_id}-s2"]
        assert told[0]["data"]["lines"] == [list(each) for each in units]
        listed = await one.get("/v1/routing-queue?queue=MANUAL")
        assert [each["order_id"] for each in listed["items"]] == [order_id]
        found = await certificate(one)
        assert found.shipped_twice == 1
        assert found.faults == ["1 shipments left with units that another one had sent"]
        await one.call("POST", f"/v1/routing-queue/{order_id}/retry", {})

        async def looked_at():
            return await one.queued(order_id) is None

        await eventually(looked_at, within_s=20)
        assert (await certificate(one)).shipped_twice == 1, "it did, whoever has looked at it"


async def test_a_node_that_does_not_say_whether_it_stopped_it_makes_it_a_persons(settings, pg):
    async with brand(settings, pg, eventually, *WITHOUT_SHIPPERS) as one:
        await one.activate()
        order_id = await one.buy("1", ("tea", 2), ("cup", 2))
        await reaches(one, order_id, "routed")
        process = one.api.process
        asked = Ask("main", order_id, "manual", f"confirmed_late:{order_id}-s1", (), "engine", {})
        async with process.pool.acquire() as tx, tx.transaction():
            await tx.execute("UPDATE shipments SET state = 'sent' WHERE order_id = $1", order_id)
            await service.ask(tx, asked, instant(process.clock.now_ms()))
        await pg.execute("UPDATE stops SET asked_at = asked_at - $1::interval", timedelta(hours=7))
        await waits(one, order_id, "MANUAL", "shipped_twice")


async def test_a_call_that_was_given_up_is_a_persons_until_it_is_answered(
    settings, pg, monkeypatch
):
    monkeypatch.setattr(jobs, "TRIES_MAX", 2)
    async with selling(settings, pg) as one:
        await one.call("PUT", "/v1/nodes/hangzhou/secret", {"secret": WRONG})
        order_id = await one.buy("1", ("tea", 2))

        async def given_up():
            await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
            return await one.queued(order_id) == ("MANUAL", "call_dead")

        await eventually(given_up, within_s=20)
        order = await one.get(f"/v1/orders/{order_id}")
        assert (order["queue"]["queue"], order["queue"]["reason"]) == ("MANUAL", "call_dead")
        assert order["fulfilment_state"] == "released"
        assert await one.queued(order_id) == ("MANUAL", "call_dead")
        await one.call("POST", f"/v1/routing-queue/{order_id}/retry", {})
        await waits(one, order_id, "MANUAL", "call_dead")
        await one.call("PUT", "/v1/nodes/hangzhou/secret", {"secret": SECRET})
        (letter,) = (await one.get("/v1/dead-letters"))["items"]
        path = f"/v1/dead-letters/{letter['id']}/retry"
        assert (await one.call("POST", path, {}))["retried"] == 1
        await one.call("POST", path, {}, status=404)
        await reaches(one, order_id, "shipped")
        assert [held.made for held in one.servers["hangzhou"].books.held.values()] == [1]

        async def nowhere():
            return await one.queued(order_id) is None

        await eventually(nowhere, within_s=20)
        assert (await certificate(one)).faults == []


async def test_a_node_whose_secret_nobody_gave_is_a_persons(settings, pg, monkeypatch):
    monkeypatch.setattr(jobs, "TRIES_MAX", 2)
    async with selling(settings, pg) as one:
        await pg.execute("DELETE FROM node_secrets")
        order_id = await one.buy("1", ("tea", 1))

        async def given_up():
            await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
            return await one.queued(order_id) == ("MANUAL", "call_dead")

        await eventually(given_up, within_s=20)
        (letter,) = (await one.get("/v1/dead-letters"))["items"]
        assert letter["last_error"] == "node: no_secret"
