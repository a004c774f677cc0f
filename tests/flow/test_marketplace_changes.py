"""What a marketplace's snapshots take from an order that a node has already."""

from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.fault.marketplace import TMALL, id_of, line, snapshot, sync
from tests.flow.fulfilment import SHIP_TO, STILL
from tests.flow.test_fulfilment_changes import committed, selling, sent


async def told(one, version, refunded=0):
    """Tell of an order of 2 pots, once they are known here."""

    async def taken():
        wanted = line("pot", 2, refunded_quantity=refunded)
        (found,) = await sync(one.api, snapshot("t", version, "paid", wanted, ship_to=SHIP_TO))
        return found.get("result") in {"created", "updated"} and not found.get("short")

    await eventually(taken, within_s=20)
    return id_of("t")


async def test_units_that_are_refunded_by_a_snapshot_are_not_sent(settings, pg):
    async with selling(settings, pg, knobs=STILL) as one:
        await one.put(f"/v1/channels/{TMALL}", {"name": TMALL, "authority": "external"})
        await eventually(lambda: one.api.registry.authority("main", TMALL))
        await one.put("/v1/skus/pot", {"name": "pot", "grams": 300, "cm3": 900})
        supply = {"sku": "pot", "channels": [{"channel": TMALL}]}
        await one.put("/v1/supply-policies/pot", supply)
        await one.receive("hangzhou", pot=10)

        async def counted():
            return await pg.fetchval("SELECT sum(granted) FROM pools WHERE sku = 'pot'")

        await eventually(counted, within_s=20)
        order_id = await told(one, 1)
        await sent(one, order_id)
        await told(one, 2, refunded=1)
        await sent(one, order_id, n=2)
        first, second = await one.shipments(order_id)
        assert (first["state"], second["lines"]) == ("cancelled", '[[1,"pot",1,1]]')
        assert await committed(one) == 1
        await certificate(one.api)
