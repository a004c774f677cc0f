"""What a marketplace's snapshots change of orders that warehouses have, to the end."""

from contextlib import asynccontextmanager

import pytest

from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.fault.marketplace import TMALL, id_of, line, put, recorded, snapshot, sync, synced
from tests.flow.fulfilment import SHIP_TO, STILL
from tests.flow.test_fulfilment_changes import BEIJING, NEXT_DOOR, committed, selling, sent

MOST = (
    "recorder", "sweeper", "keeper", "publisher", "reviewer", "router", "shipper", "reconciler",
)  # fmt: skip


@asynccontextmanager
async def shop(settings, pg, *roles):
    """A marketplace's order of 2 pots to Ningbo, which a warehouse in Hangzhou has."""
    async with selling(settings, pg, knobs=STILL) as one:
        if roles:
            await one.here.stop("worker")
            await one.here.worker(*roles)
        await put(one.api, f"/v1/channels/{TMALL}", {"name": TMALL, "authority": "external"})
        await eventually(lambda: one.api.registry.authority("main", TMALL))
        await one.put("/v1/skus/pot", {"name": "pot", "grams": 300, "cm3": 900})
        await one.put("/v1/supply-policies/pot", {"sku": "pot", "channels": [{"channel": TMALL}]})
        await one.receive("hangzhou", pot=10)
        await one.receive("beijing", pot=10)

        async def on_sale():
            units = "SELECT count(*) FROM grants WHERE applied IS NULL"
            rules = "SELECT count(*) FROM pools WHERE sku = 'pot' AND granted > 0"
            return not await pg.fetchval(units) and await pg.fetchval(rules)

        await eventually(on_sale, within_s=20)
        await tell(one, 1, SHIP_TO)
        await sent(one, id_of("t"))
        yield one


async def tell(one, version, ship_to, status="paid", refunded=0):
    pots = line("pot", 2, refunded_quantity=refunded)
    body = snapshot("t", version, status, pots, ship_to=ship_to)
    assert await synced(one.api, body) == ["created" if version == 1 else "updated"]


async def answers(one):
    rows = await one.pg.fetch("SELECT cause_id, answer FROM stops WHERE cause = 'address'")
    return sorted(tuple(row) for row in rows)


async def ends(one, node, n):
    """Wait until the n-th shipment is with a node, and all before it are nowhere."""
    await sent(one, id_of("t"), node, n=n)
    states = {
        code: each.state
        for each_node in one.servers.values()
        for code, each in each_node.books.held.items()
    }
    assert states.pop(f"{id_of('t')}-s{n}") == "open"
    assert set(states.values()) <= {"cancelled"}


@pytest.mark.parametrize(("to", "node"), [(BEIJING, "beijing"), (NEXT_DOOR, "hangzhou")])
async def test_another_address_is_sent_to_from_where_it_is_near(settings, pg, to, node):
    async with shop(settings, pg) as one:
        decided = await pg.fetchval("SELECT count(*) FROM routing_decisions")
        await tell(one, 2, to)
        await ends(one, node, 2)
        again = await pg.fetchval("SELECT count(*) FROM routing_decisions") - decided
        assert again == (node == "beijing")
        assert await answers(one) == [("told:2", "stopped")]
        assert await committed(one) == 2
        assert (await one.get(f"/v1/orders/{id_of('t')}"))["blocks"] == []
        await certificate(one.api)


@pytest.mark.parametrize("to", [BEIJING, NEXT_DOOR])
async def test_units_and_an_address_that_change_at_once_are_sent_as_they_are(settings, pg, to):
    async with shop(settings, pg) as one:
        await tell(one, 2, to, refunded=1)
        await ends(one, "beijing" if to == BEIJING else "hangzhou", 2)
        *_, last = await one.shipments(id_of("t"))
        assert last["lines"].replace(" ", "") == '[[1,"pot",1,1]]'
        assert await answers(one) == [("told:2", "stopped")]
        assert await committed(one) == 1
        await certificate(one.api)


async def test_address_after_address_ends_at_the_last_one(settings, pg):
    async with shop(settings, pg) as one:
        for version, to in enumerate((NEXT_DOOR, BEIJING, SHIP_TO, BEIJING), start=2):
            await tell(one, version, to)

        async def there():
            found = [each for each in await one.shipments(id_of("t")) if each["state"] == "sent"]
            return [each["node"] for each in found] == ["beijing"] and not (
                await one.get(f"/v1/orders/{id_of('t')}")
            )["blocks"]

        await eventually(there, within_s=30)
        states = "SELECT state FROM order_addresses ORDER BY revision"
        told = [row[0] for row in await pg.fetch(states)]
        assert told[-1] == "applied"
        assert "requested" not in told
        assert all(answer for _, answer in await answers(one))
        assert await committed(one) == 2
        await certificate(one.api)


async def test_who_dies_before_anybody_asked_leaves_it_to_the_next(settings, pg):
    """What was told is a row: two settlers that come later ask once."""
    async with shop(settings, pg, *MOST) as one:
        (result,) = await sync(one.api, snapshot("t", 2, "paid", line("pot", 2), ship_to=BEIJING))
        assert result["result"] == "updated"
        await recorded(one.api)
        await one.here.stop("worker")
        assert await answers(one) == []
        (block,) = (await one.get(f"/v1/orders/{id_of('t')}"))["blocks"]
        assert block["code"] == "address_change"
        for name in ("first", "second"):
            await one.here.worker(name=name)
        await ends(one, "beijing", 2)
        assert await answers(one) == [("told:2", "stopped")]
        asked = "SELECT count(*) FROM events WHERE kind = 'order.stop_requested'"
        assert await pg.fetchval(asked) == 1
        await certificate(one.api)
