"""A person says that a node will not send a shipment: what follows is as when the node says so."""

from dataclasses import replace

import pytest

from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.flow.fulfilment import STILL
from tests.flow.test_fulfilment_changes import selling, sent, waits
from tests.flow.test_modes import KEPT, PICKUP, profile, stock, until


async def noted(one):
    rows = await one.pg.fetch(
        "SELECT node, line_no, units, reason, stock_effect, actor FROM node_rejections"
    )
    return [tuple(row) for row in rows]


async def reject(one, shipment_id, reason="damaged", *, status=200, **more):
    path = f"/v1/shipments/{shipment_id}/reject"
    return await one.call("POST", path, {"reason": reason} | more, status=status)


async def test_what_a_nodes_system_has_is_rejected_once_that_let_go_of_it(settings, pg):
    async with selling(settings, pg, knobs=STILL) as one:
        order_id = await one.buy("1", ("tea", 2))
        first = await sent(one, order_id)
        told = await reject(one, first, status=202)
        assert told == {"shipments": [first], "state": "asked", "reason": "damaged"}
        await sent(one, order_id, "beijing", n=2)
        assert (await noted(one))[0][:5] == ("hangzhou", 1, 2, "damaged", "damage")
        assert await stock(one, "hangzhou", "tea") == (8, 0, 0, 8), "two are damaged"
        assert [held.state for held in one.servers["hangzhou"].books.held.values()] == ["cancelled"]
        told = await reject(one, first)
        assert told == {"shipments": [first], "state": "rejected", "reason": "damaged"}
        told = await reject(one, first, "busy", status=409)
        assert told["detail"] == "it was rejected already: damaged"
        await certificate(one.api)


async def test_a_node_that_does_not_let_go_keeps_it(settings, pg):
    async with selling(settings, pg, knobs=KEPT | {"cancel_until": "picked"}) as one:
        order_id = await one.buy("1", ("tea", 1))
        first = await sent(one, order_id, state="packed")
        await reject(one, first, status=202)
        refused = "SELECT 1 FROM events WHERE kind = 'shipment.reject_refused' AND order_id = $1"
        await eventually(lambda: pg.fetchval(refused, order_id), within_s=20)
        (only,) = await one.shipments(order_id)
        assert (only["shipment_id"], only["state"]) == (first, "packed")
        assert await noted(one) == []
        await reject(one, first, status=202), "it may be asked again"
        books = one.servers["hangzhou"].books
        assert [held.state for held in books.held.values()] == ["open"]


async def test_what_no_system_has_is_rejected_at_once(settings, pg):
    async with selling(settings, pg, knobs=KEPT) as one:
        await profile(one, "hangzhou", modes=["ship", "pickup"], wms={})
        order_id = await one.buy("1", ("tea", 2), **PICKUP)
        await until(one, order_id, "accepted")
        told = await reject(one, f"{order_id}-s1", "out_of_stock", note="the shelf is bare")
        assert told["state"] == "rejected"
        (first,) = await noted(one)
        assert first[:5] == ("hangzhou", 1, 2, "out_of_stock", "adjustment")
        assert first[5] not in {"", "node"}, "who said so"
        assert await stock(one, "hangzhou", "tea") == (8, 0, 0, 8)
        assert await reject(one, f"{order_id}-s1", "out_of_stock") == told
        assert len(await noted(one)) == 1

        async def queued():
            return await one.queued(order_id)

        await eventually(queued, within_s=20)
        await certificate(one.api)


async def test_what_waits_to_be_sent_is_rejected_at_once_and_never_sent(settings, pg):
    async with selling(replace(settings, merge_seconds=600), pg) as one:
        order_id = await one.buy("1", ("tea", 1))
        await sent(one, order_id, state="planned")
        assert (await reject(one, f"{order_id}-s1", "closed"))["state"] == "rejected"
        await sent(one, order_id, "beijing", "planned", 2)
        await reject(one, f"{order_id}-s2", "closed")
        await waits(one, order_id, "REJECTED", "node_refused")
        await pg.execute("UPDATE jobs SET due_at = now()")
        await eventually(lambda: pg.fetchval("SELECT count(*) = 0 FROM jobs"), within_s=20)
        assert all(server.books.held == {} for server in one.servers.values())
        assert await stock(one, "hangzhou", "tea") == (10, 0, 0, 10)


async def test_what_cannot_be_rejected_says_why(settings, pg):
    async with selling(settings, pg, knobs=STILL) as one:
        await reject(one, "nobody-s1", status=404)
        order_id = await one.buy("1", ("tea", 1))
        first = await sent(one, order_id)
        told = await reject(one, first, "no_time", status=400)
        (fault,) = told["errors"]
        assert fault["pointer"] == "/reason"
        assert "out_of_stock, lost, damaged" in fault["detail"]
        await one.call("POST", f"/v1/shipments/{first}/reject", {}, status=400)
        told = await reject(one, first, note="a\x00b", status=400)
        assert told["errors"][0]["pointer"] == "/note"
        books = one.servers["hangzhou"].books
        books.knobs = books.knobs._replace(late_cancel=1.0)  # busy, whenever it is asked
        await one.call(
            "POST", f"/v1/orders/{order_id}/cancel", {"cancel_id": "c1"}, status=(200, 202)
        )
        told = await reject(one, first, status=409)
        assert told["detail"].startswith("somebody asked to stop it")
        assert await noted(one) == []


@pytest.mark.parametrize("reason", ["busy", "other"])
async def test_a_node_is_asked_again_for_the_line_after_its_time(settings, pg, reason):
    async with selling(settings, pg, knobs=STILL) as one:
        order_id = await one.buy("1", ("tea", 1))
        first = await sent(one, order_id)
        await reject(one, first, reason, status=202)
        await sent(one, order_id, "beijing", n=2)
        until_ = await pg.fetchval(
            "SELECT extract(epoch FROM exclude_until - at) FROM node_rejections"
        )
        assert until_ == {"busy": 4, "other": 24}[reason] * 3600
