"""What comes between a payment and the door: holds, refunds, changes, and goods that lack."""

from contextlib import asynccontextmanager

import pytest

from engine.kernel.ids import line_id
from engine.routing.rules.deciding import decide
from engine.routing.service import router
from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.flow.fulfilment import NEAREST, SHIP_TO, STILL, brand

BEIJING = SHIP_TO | {"province": "北京市", "city": "北京市", "region_code": "110105"}
LOST = {"hangzhou": 2, "beijing": 9}
GIVES_UP = {"plan": "gives-up", "stages": [{"seq": 1, "rules": [
    {"seq": 1, "name": "any", "assignment": "ANY_SPLIT", "scorers": [{"metric": "distance"}],
     "on_unfilled": {"do": "AUTO_CANCEL", "hours": 48}},
]}]}  # fmt: skip
NEXT_DOOR = SHIP_TO | {"address": "中山路 2 号"}


@asynccontextmanager
async def selling(settings, pg, plan=NEAREST, **more):
    async with brand(settings, pg, eventually, **more) as one:
        await one.activate(plan)
        yield one


async def sent(one, order_id, node="hangzhou", state="sent", n=1):
    """Wait until the n-th shipment of an order is with a node; return its id."""

    async def there():
        found = await one.shipments(order_id)
        return len(found) == n and (found[-1]["node"], found[-1]["state"]) == (node, state)

    await eventually(there, within_s=20)
    return f"{order_id}-s{n}"


async def reaches(one, order_id, state):
    async def there():
        return await one.fulfilment(order_id) == state

    await eventually(there, within_s=20)


async def waits(one, order_id, *wanted):
    async def there():
        return await one.queued(order_id) == wanted

    await eventually(there, within_s=20)


def refund(state, **more):
    money = {"amount": 200, "currency": "CNY"}
    return {"refund_id": "r1", "kind": "cancel", "state": state, "amount": money} | more


async def blocks(one, order_id):
    return [each["code"] for each in (await one.get(f"/v1/orders/{order_id}"))["blocks"]]


async def committed(one):
    return await one.pg.fetchval("SELECT coalesce(sum(committed), 0) FROM stock_balances")


async def test_a_refund_in_picking_stops_the_parcel_and_gives_its_units_back(settings, pg):
    async with selling(settings, pg, knobs=STILL) as one:
        order_id = await one.buy("1", ("tea", 2))
        shipment = await sent(one, order_id)
        assert await committed(one) == 2
        lines = [{"line_id": line_id(order_id, 1), "quantity": 2}]
        refunds = f"/v1/orders/{order_id}/refunds"
        await one.call("POST", refunds, refund("requested", lines=lines))
        await sent(one, order_id, state="cancelled")
        assert one.servers["hangzhou"].books.held[shipment].state == "cancelled"
        assert await committed(one) == 0
        await waits(one, order_id, "HELD_RISK", "refund_requested")
        await one.call("POST", refunds, refund("done", lines=lines))

        async def closed():
            found = await one.get(f"/v1/orders/{order_id}")
            axes = found["state"], found["payment_state"], await one.queued(order_id)
            assert axes == ("cancelled", "refunded", None)
            return True

        await eventually(closed, within_s=20)
        assert len(await one.shipments(order_id)) == 1
        await certificate(one.api)


async def test_a_refund_that_is_withdrawn_has_the_order_sent_again(settings, pg):
    async with selling(settings, pg, knobs=STILL) as one:
        order_id = await one.buy("1", ("tea", 2))
        await sent(one, order_id)
        await one.call("POST", f"/v1/orders/{order_id}/refunds", refund("requested"))
        await sent(one, order_id, state="cancelled")
        await one.call("POST", f"/v1/orders/{order_id}/refunds", refund("rejected"))
        await sent(one, order_id, n=2)
        assert await committed(one) == 2
        held = one.servers["hangzhou"].books.held
        assert {code: each.state for code, each in held.items()} == {
            f"{order_id}-s1": "cancelled", f"{order_id}-s2": "open"
        }  # fmt: skip


@pytest.mark.parametrize(("to", "node"), [(BEIJING, "beijing"), (NEXT_DOOR, "hangzhou")])
async def test_a_new_address_is_routed_anew_only_in_another_region(settings, pg, to, node):
    async with selling(settings, pg, knobs=STILL) as one:
        order_id = await one.buy("1", ("tea", 1))
        await sent(one, order_id)
        decided = await one.pg.fetchval("SELECT count(*) FROM routing_decisions")
        body = {"change_id": "a1", "ship_to": to}
        await one.call("POST", f"/v1/orders/{order_id}/address", body, status=202)
        await sent(one, order_id, node, n=2)
        again = await one.pg.fetchval("SELECT count(*) FROM routing_decisions") - decided
        assert again == (node == "beijing")
        assert await committed(one) == 1
        await certificate(one.api)


async def test_a_rule_holds_an_order_until_a_person_lets_it_pass(settings, pg):
    async with selling(settings, pg) as one:
        rule = {"name": "note", "when": 'buyer_note.contains("勿发")', "reason": "buyer waits"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        held = await one.buy("1", ("tea", 1), buyer_note="先勿发货")
        free = await one.buy("2", ("tea", 1))
        await reaches(one, free, "shipped")
        await waits(one, held, "HELD_RISK", "review")
        assert await blocks(one, held) == ["review"]
        assert await one.shipments(held) == []
        await one.call("DELETE", f"/v1/orders/{held}/blocks/review?reason=looked+at")
        await reaches(one, held, "shipped")


async def test_an_order_cools_off_before_it_is_routed(settings, pg):
    async with selling(settings, pg) as one:
        await one.put("/v1/channels/mall", {"name": "mall", "cool_off_seconds": 2})
        order_id = await one.buy("1", ("tea", 1))
        await waits(one, order_id, "HELD_RISK", "cool_off")
        await reaches(one, order_id, "shipped")
        paid, routed = await one.pg.fetchrow(
            "SELECT (SELECT min(recorded_at) FROM payments WHERE order_id = $1),"
            " (SELECT min(at) FROM routing_decisions WHERE order_id = $1)", order_id,
        )  # fmt: skip
        assert (routed - paid).total_seconds() >= 1.5


async def test_what_no_node_has_waits_and_leaves_when_stock_comes(settings, pg):
    async with selling(settings, pg) as one:
        rule = {"name": "all", "when": "true", "reason": "looked at"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        order_id = await one.buy("1", ("cup", 3))
        await waits(one, order_id, "HELD_RISK", "review")
        lines = [{"node": n, "sku": "cup", "quantity": k} for n, k in LOST.items()]
        lost = {"reference": "lost", "kind": "damage", "lines": lines}
        await one.call("POST", "/v1/inventory/movements", lost)
        await one.call("DELETE", f"/v1/orders/{order_id}/blocks/review?reason=looked+at")

        async def unfillable():
            return (await one.queued(order_id) or ("",))[0] == "UNFILLABLE"

        await eventually(unfillable, within_s=20)
        open_ = "SELECT sum(units) FROM broken_promises WHERE until IS NULL"
        assert await pg.fetchval(open_) == 3
        await one.receive("beijing", cup=5)
        await reaches(one, order_id, "shipped")
        assert await pg.fetchval(open_) is None
        kinds = [row[0] for row in await pg.fetch(
            "SELECT kind FROM events WHERE kind LIKE 'order.promise%' ORDER BY xid, id"
        )]  # fmt: skip
        assert kinds == ["order.promise_broken", "order.promise_kept"]


@pytest.mark.parametrize("lines", [[("cup", 3)], [("cup", 3), ("tea", 1)]])
async def test_what_nothing_came_of_is_cancelled_when_its_plan_says_so(settings, pg, lines):
    """All of an order, or what is left of one of which the rest has gone."""
    async with selling(settings, pg, plan=GIVES_UP) as one:
        rule = {"name": "all", "when": "true", "reason": "looked at"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        order_id = await one.buy("1", *lines)
        await waits(one, order_id, "HELD_RISK", "review")
        gone = [
            {"node": n, "sku": "cup", "quantity": k} for n, k in (LOST | {"beijing": 10}).items()
        ]
        body = {"reference": "lost", "kind": "damage", "lines": gone}
        await one.call("POST", "/v1/inventory/movements", body)
        await one.call("DELETE", f"/v1/orders/{order_id}/blocks/review?reason=looked+at")

        async def unfillable():
            return (await one.queued(order_id) or ("",))[0] == "UNFILLABLE"

        await eventually(unfillable, within_s=20)
        left = "SELECT extract(EPOCH FROM cancel_at - now()) FROM routing_queue"
        assert 47 * 3_600 < await pg.fetchval(left) <= 48 * 3_600
        await pg.execute("UPDATE routing_queue SET cancel_at = now()")

        async def cancelled():
            found = await one.get(f"/v1/orders/{order_id}")
            assert await one.queued(order_id) is None
            return [each["open_quantity"] for each in found["lines"]] == [0, 1][: len(lines)]

        await eventually(cancelled, within_s=20)
        found = await one.get(f"/v1/orders/{order_id}")
        assert found["state"] == ("open" if len(lines) > 1 else "cancelled")
        await certificate(one.api)


async def test_a_line_that_is_cancelled_before_it_is_sent_is_not_sent(settings, pg):
    async with selling(settings, pg) as one:
        rule = {"name": "all", "when": "units > 2", "reason": "looked at"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        order_id = await one.buy("1", ("tea", 2), ("cup", 2))
        await waits(one, order_id, "HELD_RISK", "review")
        lines = [{"line_id": line_id(order_id, 2), "quantity": 2}]
        await one.call("POST", f"/v1/orders/{order_id}/cancel", {"cancel_id": "c", "lines": lines})
        await one.call("DELETE", f"/v1/orders/{order_id}/blocks/review?reason=looked+at")
        await reaches(one, order_id, "shipped")
        (only,) = await one.shipments(order_id)
        assert only["lines"].replace(" ", "") == '[[1,"tea",2,1]]'
        await certificate(one.api)


async def test_an_order_that_nobody_can_decide_keeps_none_back(settings, pg, monkeypatch):
    def fails(plan, snap, orders, *more):
        assert all(line.sku != "cup" for one in orders for line in one.lines), "a bug"
        return decide(plan, snap, orders, *more)

    async with brand(settings, pg, eventually) as one:
        odd = await one.buy("1", ("cup", 1))
        good = [await one.buy(f"{n}", ("tea", 1)) for n in range(2, 5)]
        await eventually(
            lambda: pg.fetchval("SELECT count(*) = 4 FROM orders WHERE payment_state = 'paid'")
        )
        with monkeypatch.context() as patched:
            patched.setattr(router, "decide", fails)
            await one.activate()
            for order_id in good:
                await reaches(one, order_id, "shipped")
            await waits(one, odd, "MANUAL", "undecided")
        await one.call("POST", f"/v1/routing-queue/{odd}/retry", {})
        await reaches(one, odd, "shipped")


async def test_an_instant_that_is_spelled_oddly_stops_nobody(settings, pg):
    """What was taken in as an instant is one for whoever judges, routes and sends."""
    async with selling(settings, pg) as one:
        odd = await one.buy("1", ("tea", 1), promise={"ship_by": "2026-12-11T00:00:00z"})
        plain = await one.buy("2", ("tea", 1))
        for order_id in (plain, odd):
            await reaches(one, order_id, "shipped")
        promise = {"deliver_by": "9999-12-31T23:59:59-12:00"}
        refused = await one.api.buy("3", ("tea", 1), campaign="", promise=promise)
        assert refused.document["errors"][0]["pointer"] == "/promise/deliver_by"


async def test_what_a_refund_leaves_of_an_order_is_sent(settings, pg):
    async with selling(settings, pg, knobs=STILL) as one:
        order_id = await one.buy("1", ("tea", 2))
        await sent(one, order_id)
        part = {"lines": [{"line_id": line_id(order_id, 1), "quantity": 1}]}
        part["amount"] = {"amount": 100, "currency": "CNY"}
        refunds = f"/v1/orders/{order_id}/refunds"
        await one.call("POST", refunds, refund("requested", **part))
        await sent(one, order_id, state="cancelled")
        await one.call("POST", refunds, refund("done", **part))
        await sent(one, order_id, n=2)
        assert (await one.get(f"/v1/orders/{order_id}"))["payment_state"] == "partly_refunded"
        assert await committed(one) == 1
        await certificate(one.api)
