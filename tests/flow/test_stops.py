"""Cancels, refunds and changes of address of what nodes have: asked, answered once, acted on."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.aftersales import answering
from engine.assurance.verify import certify
from engine.kernel.clock import instant
from engine.kernel.ids import line_id
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import service
from engine.shipments.types.shipments import Line, Package, Planned, Told
from tests.fault import marketplace
from tests.fault.engines import certificate, id_of, open_sale

SKUS = {1: "A", 2: "B"}
SHANGHAI = {"name": "Lin", "region_code": "310115", "address": "1 Century Avenue"}
MOVED = {**SHANGHAI, "address": "2 Century Avenue"}
BEIJING = {"name": "Lin", "region_code": "110105", "address": "3 Chaoyang Road"}


class Shop:
    """An order of 2 A and 1 B, paid with 300, and a node that says what a test has it say."""

    def __init__(self, api):
        self.api, self.order_id, self.said = api, id_of("1"), 0

    @property
    def pool(self):
        return self.api.process.pool

    def now(self):
        return instant(self.api.process.clock.now_ms())

    async def plan(self, *cuts, **more):
        """Bind as a router does; return the ids."""
        more = {"region": SHANGHAI["region_code"], **more}
        planned = [
            Planned(
                "main", self.order_id, n, "N", n,
                tuple(Line(line, SKUS[line], units) for line, units in cut.items()), **more,
            )
            for n, cut in enumerate(cuts or ({1: 2, 2: 1},), start=1)
        ]  # fmt: skip
        async with self.pool.acquire() as tx, tx.transaction():
            await service.plan(tx, planned, self.now())
            wanted = [
                assignments.Wanted(
                    Assignment(self.order_id, line.line_no, "N", one.attempt), "", line.sku,
                    line.units,
                )
                for one in planned
                for line in one.lines
            ]  # fmt: skip
            await assignments.assign(tx, "main", wanted, self.now())
        return [one.shipment_id for one in planned]

    async def begin(self, code):
        async with self.pool.acquire() as tx, tx.transaction():
            begun = await service.begin(tx, code, self.now())
        return begun.call or begun.why

    async def say(self, code, kind, *boxes):
        """What the node says, with what follows from it in the same transaction."""
        self.said += 1
        told = Told(kind, f"r{self.said}", self.now(), reply=kind == "sent", packages=boxes)
        async with self.pool.acquire() as tx, tx.transaction():
            outcome = await service.report_consignment(tx, code, told, self.now())
            await answering.act(tx, outcome.answered, self.api.process.clock.now_ms())
        return outcome

    async def send(self, *codes):
        for code in codes:
            assert await self.begin(code) == "create"
            await self.say(code, "sent")

    async def post(self, path, **body):
        answer = await self.api.call("POST", f"/v1/orders/{self.order_id}/{path}", body)
        return answer.status, answer.document

    async def cancel(self, cancel_id="c1", *lines):
        asked = [{"line_id": line_id(self.order_id, n), "quantity": units} for n, units in lines]
        return await self.post("cancel", cancel_id=cancel_id, lines=asked)

    async def refund(self, state, amount=300, lines=(), refund_id="r1", kind="cancel"):
        asked = [{"line_id": line_id(self.order_id, n), "quantity": units} for n, units in lines]
        money = {"amount": amount, "currency": "CNY"}
        body = {"refund_id": refund_id, "kind": kind, "state": state, "amount": money}
        status, document = await self.post("refunds", **body, lines=asked)
        assert status == 200, document

    async def order(self):
        return (await self.api.order(self.order_id)).document

    async def axes(self):
        found = await self.order()
        return found["state"], found["payment_state"], found["fulfilment_state"]

    async def blocks(self):
        return [one["code"] for one in (await self.order())["blocks"]]

    async def told(self, *kinds):
        return [one for one in (await self.order())["timeline"] if one["kind"] in kinds]

    async def states(self):
        rows = await self.pool.fetch("SELECT state FROM shipments ORDER BY shipment_id")
        return [row["state"] for row in rows]

    async def committed(self):
        return await self.pool.fetchval("SELECT sum(committed) FROM stock_balances")


@pytest.fixture
async def shop(here):
    api = await here.api()
    await open_sale(api, A=10, B=10)
    await api.buy("1", ("A", 2), ("B", 1), ship_to=SHANGHAI)
    assert (await api.pay(id_of("1"), "p", 300)).document["state"] == "applied"
    await certificate(api)
    return Shop(api)


async def test_what_no_node_was_asked_for_is_cancelled_at_once(shop):
    (code,) = await shop.plan()
    assert (await shop.axes())[2] == "routed"
    status, document = await shop.cancel()
    assert (status, document["state"]) == (200, "cancelled")
    assert await shop.states() == ["cancelled"]
    assert await shop.axes() == ("cancelled", "refund_due", "unrouted")
    assert await shop.begin(code) == "gone"
    assert await shop.committed() == 0
    (answered,) = await shop.told("order.stop_answered")
    assert answered["data"]["answer"] == "stopped"
    assert (await shop.cancel())[0] == 200
    await certificate(shop.api)


async def test_what_a_node_has_is_cancelled_when_it_lets_go_of_it(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    status, document = await shop.cancel()
    assert (status, document["state"]) == (202, "requested")
    assert (await shop.cancel()) == (status, document), "the same again is the same"
    assert await shop.axes() == ("open", "paid", "released")
    assert await shop.begin(code) == "cancel"
    outcome = await shop.say(code, "cancelled")
    assert [one.answer for one in outcome.answered] == ["stopped"]
    assert await shop.axes() == ("cancelled", "refund_due", "unrouted")
    assert (await shop.cancel())[0] == 200
    assert len(await shop.told("order.cancelled")) == 1
    await certificate(shop.api)


async def test_a_node_that_does_not_let_go_refuses_the_cancel(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    assert (await shop.cancel())[0] == 202
    await shop.say(code, "cancel_failed")
    assert await shop.axes() == ("open", "paid", "released")
    (refused,) = await shop.told("order.cancel_refused")
    assert refused["data"]["answer"] == "not_stopped"
    status, document = await shop.cancel()
    assert (status, document["code"]) == (409, "not_cancellable")
    await shop.say(code, "shipped")
    assert (await shop.axes())[2] == "shipped"
    await certificate(shop.api)


async def test_what_is_too_far_is_refused_at_once_and_nothing_is_changed(shop):
    first, second = await shop.plan({1: 2}, {2: 1})
    await shop.send(first)
    await shop.say(first, "picked")
    status, document = await shop.cancel()
    assert (status, document["code"]) == (409, "not_cancellable")
    assert await shop.states() == ["picked", "planned"]
    assert await shop.begin(second) == "create"


async def test_a_line_is_cancelled_beside_one_that_leaves(shop):
    first, second = await shop.plan({1: 2}, {2: 1})
    await shop.send(first, second)
    box = Package("sf", "W1", ((1, 2),))
    await shop.say(first, "shipped", box)
    assert (await shop.cancel("c1", (2, 1)))[0] == 202
    await shop.say(second, "cancelled")
    found = await shop.order()
    assert [one["open_quantity"] for one in found["lines"]] == [2, 0]
    assert (await shop.axes())[2] in {"partly_shipped", "shipped"}
    await certificate(shop.api)


async def test_a_refund_that_is_asked_for_stops_it_and_its_units_go_back_when_it_is_done(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    await shop.refund("requested")
    assert await shop.blocks() == ["refund_requested"]
    assert await shop.begin(code) == "cancel"
    await shop.say(code, "cancelled")
    assert await shop.axes() == ("open", "paid", "unrouted")
    await shop.refund("done", lines=())
    assert (await shop.axes())[1] == "refunded"
    await certificate(shop.api)


async def test_money_goes_back_at_once_and_units_when_the_node_says_so(shop):
    first, second = await shop.plan({1: 2}, {2: 1})
    await shop.send(first, second)
    await shop.refund("done", amount=200, lines=((1, 2),))
    assert (await shop.axes())[:2] == ("open", "partly_refunded")
    assert (await shop.order())["lines"][0]["open_quantity"] == 2
    await shop.say(first, "cancelled")
    assert (await shop.order())["lines"][0]["open_quantity"] == 0
    await shop.say(second, "shipped")
    assert (await shop.axes())[:2] == ("open", "partly_refunded")
    await certificate(shop.api)


async def test_of_what_left_only_the_money_goes_back(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    await shop.say(code, "shipped")
    await shop.refund("done", amount=200, lines=((1, 2),))
    assert (await shop.order())["lines"][0]["open_quantity"] == 2
    (answered,) = await shop.told("order.stop_answered")
    assert answered["data"]["answer"] == "not_stopped"
    await certificate(shop.api)


async def test_a_carrier_is_asked_to_turn_back_what_left(shop):
    (code,) = await shop.plan(intercepts=True)
    await shop.send(code)
    await shop.say(code, "shipped", Package("sf", "W1"))
    await shop.refund("requested")
    (answered,) = await shop.told("order.stop_answered")
    assert answered["data"]["answer"] == "intercept_requested"


async def test_a_block_that_came_since_holds_what_was_planned(shop):
    (code,) = await shop.plan()
    await shop.post("blocks", code="manual", reason="look at it")
    assert await shop.begin(code) == "blocked"
    path = f"/v1/orders/{shop.order_id}/blocks/manual?reason=seen"
    assert (await shop.api.call("DELETE", path)).status == 200
    assert await shop.begin(code) == "create"


async def change(shop, ship_to, change_id="a1"):
    return await shop.post("address", change_id=change_id, ship_to=ship_to)


async def test_an_address_without_a_shipment_is_changed_at_once(shop):
    status, document = await change(shop, BEIJING)
    assert (status, document["state"], document["revision"]) == (200, "changed", 1)
    assert await change(shop, BEIJING) == (status, document)
    status, document = await change(shop, MOVED)
    assert (status, document["code"]) == (422, "idempotency_conflict")
    assert (await change(shop, MOVED, "a2"))[1]["revision"] == 2


@pytest.mark.parametrize(("ship_to", "again"), [(MOVED, True), (BEIJING, False)])
async def test_another_region_is_routed_anew_and_the_same_is_not(shop, ship_to, again):
    (code,) = await shop.plan()
    await shop.send(code)
    status, document = await change(shop, ship_to)
    assert (status, document["state"]) == (202, "requested")
    assert await shop.blocks() == ["address_change"]
    await shop.say(code, "cancelled")
    assert await shop.blocks() == []
    assert await shop.states() == (["cancelled", "planned"] if again else ["cancelled"])
    assert (await shop.axes())[2] == ("routed" if again else "unrouted")
    assert await shop.committed() == (3 if again else 0)
    (changed,) = await shop.told("order.address_changed")
    assert changed["data"]["rerouted"] is not again
    assert (await change(shop, ship_to))[1]["state"] == "changed"
    if again:
        assert await shop.begin(f"{shop.order_id}-s2") == "create"


async def test_two_changes_that_are_answered_at_once_are_planned_once(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    assert (await change(shop, MOVED))[0] == 202
    assert (await change(shop, {**MOVED, "name": "Wu"}, "a2"))[0] == 202
    await shop.say(code, "cancelled")
    assert await shop.states() == ["cancelled", "planned"]
    assert (await shop.committed(), await shop.blocks()) == (3, [])
    assert await shop.begin(f"{shop.order_id}-s2") == "create"
    await certificate(shop.api)


async def test_a_change_plans_nothing_again_that_was_cancelled_beside_it(shop):
    """The rest is to be routed: a shipment of more units than are wanted is never sent."""
    (code,) = await shop.plan()
    await shop.send(code)
    assert (await change(shop, MOVED))[0] == 202
    assert (await shop.cancel("c1", (1, 1)))[0] == 202
    await shop.say(code, "cancelled")
    assert [one["open_quantity"] for one in (await shop.order())["lines"]] == [1, 1]
    assert await shop.states() == ["cancelled"]
    assert (await shop.committed(), await shop.blocks()) == (0, [])
    await certificate(shop.api)


async def test_an_address_is_not_changed_of_what_leaves(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    assert (await change(shop, BEIJING))[0] == 202
    await shop.say(code, "picked")
    assert await shop.blocks() == []
    assert len(await shop.told("order.address_refused")) == 1
    for change_id in ("a1", "a2"):
        status, document = await change(shop, BEIJING, change_id)
        assert (status, document["code"]) == (409, "not_changeable")
    assert await shop.states() == ["picked"]


async def test_what_leaves_after_it_was_stopped_breaks_the_certificate(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    await shop.refund("requested")
    await shop.say(code, "cancelled")
    await certificate(shop.api)
    outcome = await shop.say(code, "shipped")
    assert outcome.after_stop == (code,)
    found = await certify(shop.api.cell, shop.pool, shop.api.process.clock)
    assert (found.shipped_after_stop, found.holds) == (1, False)
    assert "left after a stop was granted" in found.faults[-1]


async def test_a_node_that_says_nothing_is_given_up(shop):
    (code,) = await shop.plan()
    await shop.send(code)
    assert (await shop.cancel())[0] == 202
    later = shop.now() + timedelta(hours=7)
    async with shop.pool.acquire() as tx, tx.transaction():
        answered = await service.give_up(tx, later, timedelta(hours=6))
        await answering.act(tx, answered, shop.api.process.clock.now_ms())
    assert [one.answer for one in answered] == ["not_stopped"]
    assert await shop.states() == ["sent"]
    assert (await shop.cancel())[0] == 409
    await shop.say(code, "cancelled")
    assert await shop.axes() == ("open", "paid", "unrouted"), "it is free, and to be looked at"


async def test_shipments_are_shown_with_parcels_and_stops(shop):
    (code,) = await shop.plan(
        service="standard", promised_ship_by=datetime(2026, 12, 1, tzinfo=UTC)
    )
    await shop.send(code)
    await shop.say(code, "partly_shipped", Package("sf", "W1", ((1, 1),), 500, serials=("S1",)))
    await shop.refund("requested")
    shown = (await shop.api.call("GET", f"/v1/shipments/{code}")).document
    assert (shown["state"], shown["node"], shown["service"]) == ("partly_shipped", "N", "standard")
    assert [one["quantity"] for one in shown["lines"]] == [2, 1]
    (parcel,) = shown["parcels"]
    assert (parcel["carrier"], parcel["waybill"], parcel["grams"]) == ("sf", "W1", 500)
    assert parcel["items"] == [{"line_id": line_id(shop.order_id, 1), "quantity": 1}]
    assert [one["answer"] for one in shown["stops"]] == ["not_stopped"]
    order = await shop.order()
    assert order["fulfilments"] == [shown]
    (stop,) = order["stops"]
    assert (stop["cause"], stop["answer"], stop["shipments"]) == ("refund", "not_stopped", [code])
    assert order["queue"] is None
    for query, found in (
        ("node=N", 1), ("node=M", 0), ("state=partly_shipped", 1), ("state=shipped", 0),
        ("carrier=sf", 1), ("carrier=zto", 0), (f"order_id={shop.order_id}", 1),
        ("ship_by_before=2026-12-02T00:00:00Z", 1), ("ship_by_before=2026-11-30T00:00:00Z", 0),
    ):  # fmt: skip
        page = (await shop.api.call("GET", f"/v1/shipments?{query}")).document
        assert len(page["items"]) == found, query
    assert (await shop.api.call("GET", "/v1/shipments/none-s1")).status == 404
    assert (await shop.api.call("GET", "/v1/shipments?state=gone")).status == 400


@pytest.fixture
async def sold(here):
    """The same of an order that a marketplace sold: 3 A."""
    api = await here.api()
    await marketplace.open_shops(api, A=10)
    assert await marketplace.synced(api, told(1)) == ["created"]
    await marketplace.recorded(api)
    one = Shop(api)
    one.order_id = marketplace.id_of("t")
    return one


def told(version, **more):
    return marketplace.snapshot("t", version, "paid", marketplace.line("A", 3), **more)


async def test_a_snapshot_does_not_take_back_what_our_shipments_say(sold):
    """A marketplace hears of a parcel later than we do."""
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    await sold.say(code, "shipped")
    assert (await sold.axes())[2] == "shipped"
    assert await marketplace.synced(sold.api, told(2, seller_note="a memo")) == ["updated"]
    await marketplace.recorded(sold.api)
    assert (await sold.axes())[2] == "shipped"


@pytest.mark.parametrize("sent", [True, False])
async def test_an_order_that_its_marketplace_cancelled_is_stopped_by_the_settler(sold, sent):
    (code,) = await sold.plan({1: 3})
    if sent:
        await sold.send(code)
    closed = told(2) | {"source_status": "closed"}
    closed["lines"] = [marketplace.line("A", 3, refunded_quantity=3)]
    assert await marketplace.synced(sold.api, closed) == ["updated"]
    await marketplace.recorded(sold.api)
    assert (await sold.axes())[0] == "cancelled"
    await answering.settle_stops(sold.pool, sold.api.process.clock, 60)
    await answering.settle_stops(sold.pool, sold.api.process.clock, 60)
    assert await sold.begin(code) == ("cancel" if sent else "gone")
    assert await sold.states() == ["stopping" if sent else "cancelled"]


async def test_a_refund_that_a_marketplace_tells_of_is_stopped(sold):
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    await sold.refund("requested", lines=((1, 3),))
    assert await sold.begin(code) == "cancel"
    await sold.say(code, "cancelled")
    (answered,) = await sold.told("order.stop_answered")
    assert answered["data"]["answer"] == "stopped"
    assert await sold.blocks() == ["refund_requested"]
    found = await change(sold, BEIJING)
    assert (found[0], found[1]["code"]) == (422, "wrong_call")
    await certificate(sold.api)
