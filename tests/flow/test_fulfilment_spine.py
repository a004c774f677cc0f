"""One order from its payment to the buyer's door, on real servers and processes."""

import pytest

from engine.kernel.clock import rfc3339
from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.flow.fulfilment import brand


@pytest.mark.parametrize("language", ["plain", "qimen"])
async def test_an_order_goes_from_its_payment_to_the_door(settings, pg, language):
    async with brand(settings, pg, eventually, language=language) as one:
        await one.activate()
        order_id = await one.buy("1", ("tea", 2), ("cup", 1))

        async def shipped():
            return await one.fulfilment(order_id) == "shipped"

        await eventually(shipped, within_s=30)
        (sent,) = await one.shipments(order_id)
        assert (sent["node"], sent["service"], sent["quote"]) == ("hangzhou", "sf-std", 800)
        held = one.servers["hangzhou"].books.held
        assert [(code, each.made) for code, each in held.items()] == [(sent["consignment_id"], 1)]
        assert one.servers["beijing"].books.held == {}

        parcel = await one.pg.fetchrow("SELECT * FROM parcels WHERE order_id = $1", order_id)
        now = one.api.process.clock.now_ms()
        items = [
            {"waybill": parcel["waybill"], "carrier": parcel["carrier"], "milestone": said,
             "at": rfc3339(now + n)}
            for n, said in enumerate(("collected", "delivered"))
        ]  # fmt: skip
        await one.call("POST", "/v1/tracking", {"items": items})
        assert await one.fulfilment(order_id) == "delivered"
        at = {row["node"]: (row["sellable"], row["committed"]) for row in await one.pg.fetch(
            "SELECT k.node, b.sellable, b.committed FROM stock_keys k JOIN stock_balances b"
            " USING (key_id) WHERE k.sku = 'tea'"
        )}  # fmt: skip
        assert at == {"hangzhou": (8, 0), "beijing": (10, 0)}
        await certificate(one.api)


async def test_without_a_plan_nothing_is_routed_and_the_first_one_takes_what_waits(settings, pg):
    async with brand(settings, pg, eventually) as one:
        order_id = await one.buy("1", ("tea", 1))
        await eventually(lambda: pg.fetchval("SELECT 1 FROM orders WHERE payment_state = 'paid'"))
        assert await one.queued(order_id) is None
        await one.activate()

        async def shipped():
            return await one.fulfilment(order_id) == "shipped"

        await eventually(shipped, within_s=30)
