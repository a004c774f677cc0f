"""Goods that are fetched, that are there within the hour, and that share a box: over HTTP."""

import asyncio
import struct
from dataclasses import replace

import pytest

from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.flow.fulfilment import QUICK, SHIP_TO, brand

KEPT = QUICK | {"ship_ms": (600_000, 600_000)}  # a store lays out what is fetched, and keeps it
FLASH = {
    "carrier": "SF", "tier": "instant", "zones": {"330100": "town"}, "minutes": {"town": 60},
}  # fmt: skip
CARD = {
    "service": "flash", "effective_from": "2026-01-01T00:00:00Z",
    "lines": [{"first_grams": 5_000, "first": 1_500}],
}  # fmt: skip
WEST_LAKE = {**SHIP_TO, "city": "杭州市", "region_code": "330106", "latitude": 30.2462,
             "longitude": 120.1497}  # fmt: skip
SHUT = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), ())


async def profile(one, node, **more):
    kept = await one.get(f"/v1/nodes/{node}/profile")
    fields = {name: kept[name] for name in kept if name not in {"node", "version", "updated_at"}}
    await one.put(f"/v1/nodes/{node}/profile", fields | more)


async def state_of(one, order_id):
    found = await one.shipments(order_id)
    return found[-1]["state"] if found else ""


def until(one, order_id, *states):
    async def there():
        return await state_of(one, order_id) in states

    return eventually(there, within_s=30)


async def stock(one, node, sku):
    row = await one.pg.fetchrow(
        "SELECT on_hand, committed, handed_over, sellable FROM stock_keys k"
        " JOIN stock_balances b USING (key_id) WHERE k.sku = $1 AND k.node = $2",
        sku, node,
    )  # fmt: skip
    return tuple(row)


async def test_what_is_bought_online_is_fetched_at_the_counter_once(settings, pg):
    async with brand(settings, pg, eventually, knobs=KEPT) as one:
        await profile(one, "hangzhou", modes=["ship", "pickup"])
        await one.activate()
        order_id = await one.buy(
            "1", ("tea", 2), promise={"tier": "pickup"}, attribution={"store": "hangzhou"}
        )
        await until(one, order_id, "packed")
        (sent,) = await one.shipments(order_id)
        assert (sent["mode"], sent["node"], sent["service"]) == ("pickup", "hangzhou", "")
        path = f"/v1/shipments/{sent['shipment_id']}"
        await one.call("POST", f"{path}/redeem", {"code": "12345678"}, status=404)
        code = (await one.call("POST", f"{path}/code"))["code"]
        wrong = "00000000" if code != "00000000" else "11111111"
        for _ in range(5):
            told = await one.call("POST", f"{path}/redeem", {"code": wrong}, status=422)
            assert told["code"] == "wrong_code"
        await one.call("POST", f"{path}/redeem", {"code": code}, status=422)
        assert await state_of(one, order_id) == "packed"
        code = (await one.call("POST", f"{path}/code"))["code"]
        tries = await asyncio.gather(
            *(one.api.call("POST", f"{path}/redeem", {"code": code}) for _ in range(4))
        )
        assert sorted(answer.status for answer in tries) == [200, 409, 409, 409]
        again = await one.call("POST", f"{path}/redeem", {"code": code}, status=409)
        assert again["code"] == "already_redeemed"
        assert await state_of(one, order_id) == "delivered"
        assert await one.fulfilment(order_id) == "delivered"
        assert await stock(one, "hangzhou", "tea") == (8, 0, 0, 8)
        await one.call("POST", f"{path}/code", status=409)
        await certificate(one.api)


PICKUP = {"promise": {"tier": "pickup"}, "attribution": {"store": "hangzhou"}}


async def test_a_store_without_a_system_hands_out_what_is_fetched(settings, pg):
    async with brand(settings, pg, eventually, knobs=KEPT) as one:
        await profile(one, "hangzhou", modes=["ship", "pickup"], wms={})
        await one.activate()
        fetched = await one.buy("1", ("tea", 2), **PICKUP)
        stopped = await one.buy("2", ("tea", 3), buyer_id="another", **PICKUP)
        for order_id in (fetched, stopped):
            await until(one, order_id, "accepted")
        assert await stock(one, "hangzhou", "tea") == (10, 0, 5, 5)
        assert one.servers["hangzhou"].books.held == {}, "nobody was called"
        (sent,) = await one.shipments(fetched)
        path = f"/v1/shipments/{sent['shipment_id']}"
        code = (await one.call("POST", f"{path}/code"))["code"]
        await one.call("POST", f"{path}/redeem", {"code": code})
        assert await one.fulfilment(fetched) == "delivered"

        (sent,) = await one.shipments(stopped)
        path = f"/v1/shipments/{sent['shipment_id']}"
        code = (await one.call("POST", f"{path}/code"))["code"]
        body = {"cancel_id": "c1"}
        await one.call("POST", f"/v1/orders/{stopped}/cancel", body, status=(200, 202))
        await one.call("POST", f"{path}/redeem", {"code": code}, status=409)
        await until(one, stopped, "cancelled")
        answers = [row["answer"] for row in await pg.fetch("SELECT answer FROM stops")]
        assert answers == ["stopped"]

        async def back():
            return await stock(one, "hangzhou", "tea") == (8, 0, 0, 8)

        await eventually(back, within_s=30)
        assert await pg.fetchval("SELECT count(*) FROM jobs") == 0
        await certificate(one.api)


async def test_what_no_system_would_send_is_shown_and_sent_once_there_is_one(settings, pg):
    async with brand(settings, pg, eventually) as one:
        kept = await one.get("/v1/nodes/hangzhou/profile")
        await profile(one, "hangzhou", wms={})
        await one.activate()
        order_id = await one.buy("1", ("tea", 1))

        async def given_up():
            return (await one.get("/v1/dead-letters"))["items"]

        (letter,) = await eventually(given_up, within_s=30)
        (sent,) = await one.shipments(order_id)
        assert (letter["subject"], letter["node"]) == (sent["shipment_id"], "hangzhou")
        assert (letter["last_error"], letter["retryable"]) == ("node: no_system", True)
        assert sent["state"] == "planned", "it can be stopped at once"

        async def looked_at():
            return await one.queued(order_id)

        assert await eventually(looked_at, within_s=20) == ("MANUAL", "call_dead")
        await profile(one, "hangzhou", wms=kept["wms"])
        await one.call("POST", f"/v1/dead-letters/{letter['id']}/retry")
        await until(one, order_id, "shipped")

        async def left():
            return await one.queued(order_id) is None

        await eventually(left, within_s=20)


async def test_what_is_fetched_waits_for_a_person_where_no_store_does_it(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.activate()
        where = {"promise": {"tier": "pickup"}}
        named = await one.buy("1", ("tea", 1), **where, attribution={"store": "hangzhou"})
        nowhere = await one.buy("2", ("tea", 1), **where)

        async def both():
            found = [await one.queued(order_id) for order_id in (named, nowhere)]
            return found == [("MANUAL", "designated_node"), ("MANUAL", "no_store")]

        await eventually(both, within_s=30)


async def test_within_the_hour_from_a_store_that_is_open_and_near(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.put("/v1/carriers/flash", FLASH)
        await one.put("/v1/rate-cards/flash", CARD)
        at = {"country": "CN", "province": "浙江省", "city": "杭州市", "region_code": "330102"}
        for node, north, east, week in (
            ("shut", 30.2462, 120.1497, SHUT), ("near", 30.2500, 120.1600, {}),
            ("far", 30.1600, 120.2600, {}),
        ):  # fmt: skip
            place = at | {"latitude": north, "longitude": east}
            await one.put(f"/v1/nodes/{node}", {"name": node, "kind": "STORE", "address": place})
            about = {"modes": ["instant"], "radius_metres": 5_000, "week": week}
            await one.put(f"/v1/nodes/{node}/profile", about)
            await one.receive(node, tea=5)
        await one.activate()
        promise = {"tier": "instant"}
        order_id = await one.buy("1", ("tea", 1), ship_to=WEST_LAKE, promise=promise)

        async def planned():
            return await one.shipments(order_id)

        (sent,) = await eventually(planned, within_s=30)
        assert (sent["node"], sent["service"], sent["mode"]) == ("near", "flash", "instant")
        assert (sent["card"], sent["card_version"], sent["quote"]) == ("flash", 1, 1_500)
        elsewhere = WEST_LAKE | {"latitude": 30.4, "longitude": 120.3}
        away = await one.buy("2", ("tea", 1), ship_to=elsewhere, promise=promise)

        async def parked():
            return await one.queued(away) == ("MANUAL", "no_instant")

        await eventually(parked, within_s=30)
        kept = await pg.fetch("SELECT inputs, trace FROM routing_decisions")
        for exact in (30.2462, 120.1497):  # what is kept of a decision shows nobody's door
            door = struct.pack(">d", exact)
            assert all(door not in bytes(row["inputs"]) + bytes(row["trace"]) for row in kept)


@pytest.mark.parametrize("by", ["merge_key", "buyer"])
async def test_two_orders_to_one_door_leave_in_one_box(settings, pg, by):
    settings = replace(settings, merge_seconds=3)
    async with brand(settings, pg, eventually) as one:
        await one.activate()
        door = SHIP_TO | ({"merge_key": "oaid-1"} if by == "merge_key" else {})
        buyers = ("b1", "b2") if by == "merge_key" else ("b", "b")
        orders = [
            await one.buy(str(n), ("tea", 1), ship_to=door, buyer_id=buyer)
            for n, buyer in enumerate(buyers, start=1)
        ]
        alone = await one.buy("3", ("tea", 1), ship_to=SHIP_TO, buyer_id="another")
        for order_id in (*orders, alone):
            await until(one, order_id, "shipped")
        found = [(await one.shipments(order_id))[0] for order_id in orders]
        assert len({sent["consignment_id"] for sent in found}) == 1
        held = one.servers["hangzhou"].books.held
        (other,) = await one.shipments(alone)
        assert set(held) == {found[0]["consignment_id"], other["consignment_id"]}
        assert {each.made for each in held.values()} == {1}
        boxes = [
            (await one.get(f"/v1/shipments?order_id={order_id}"))["items"][0]["parcels"]
            for order_id in orders
        ]
        assert [len(of_one) for of_one in boxes] == [1, 1]
        assert len({of_one[0]["waybill"] for of_one in boxes}) == 1
        assert boxes[0][0]["mm"] == [300, 200, 100]
        assert boxes[0][0]["grams"] > 0
        assert await stock(one, "hangzhou", "tea") == (7, 0, 0, 7)
        await certificate(one.api)


async def test_without_a_window_each_order_has_its_own_box(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.activate()
        orders = [await one.buy(str(n), ("tea", 1), buyer_id="b") for n in (1, 2)]
        for order_id in orders:
            await until(one, order_id, "shipped")
        assert len(one.servers["hangzhou"].books.held) == 2
