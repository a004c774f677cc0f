"""Nodes without numbers of their own: the carrier is asked before the node is, once a parcel."""

from contextlib import asynccontextmanager

import pytest

from engine.carriers.service import desks
from engine.carriers.types.waybills import Reply
from engine.infra import jobs
from engine.shipments import service as shipments
from engine.simulation.carrier import Desk, Rates, Server
from tests.conftest import eventually
from tests.flow.fulfilment import QUICK, SHIP_TO, STILL, brand
from tests.flow.test_modes import profile, until

SECRET = "a secret of the desk"  # noqa: S105 - of a carrier that is played
SERVICE = {
    "carrier": "SF", "tier": "standard", "zones": {"330000": "near", "*": "far"},
    "days": {"near": 1, "far": 3},
}  # fmt: skip
DAY_MS = 86_400_000
BAD = Rates(error=0.3, reply_lost=0.3, busy=0.2)


@asynccontextmanager
async def with_desk(settings, pg, *, rates=None, seed=1, knobs=QUICK, language="plain"):
    async with brand(settings, pg, eventually, knobs=knobs, language=language) as one:
        desk = Desk(seed, rates or Rates())
        carrier = Server(desk, one.api.process.clock, SECRET)
        one.carrier = await one.here.stack.enter_async_context(carrier)
        one.service = SERVICE | {"desk_url": one.carrier.url}
        await one.put("/v1/carriers/sf-std", one.service)
        await one.put("/v1/carriers/sf-std/secret", {"secret": SECRET})
        for node in ("hangzhou", "beijing"):
            kept = await one.get(f"/v1/nodes/{node}/profile")
            await profile(one, node, wms=kept["wms"] | {"own_waybills": False})
        await one.activate()
        yield one


async def rows(one):
    found = await one.pg.fetch("SELECT * FROM waybills ORDER BY asked_at, request_id")
    return [dict(row) for row in found]


def states(one, *wanted):
    async def there():
        await one.pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
        return [row["state"] for row in await rows(one)] == list(wanted)

    return eventually(there, within_s=30)


@pytest.mark.parametrize("language", ["plain", "qimen"])
async def test_a_parcel_leaves_under_the_number_that_was_asked_for(settings, pg, language):
    async with with_desk(settings, pg, language=language) as one:
        order_id = await one.buy("1", ("tea", 2))
        await until(one, order_id, "shipped")
        await states(one, "used")
        (row,) = await rows(one)
        assert one.carrier.desk.given == {row["request_id"]: row["waybill"]}
        (sent,) = await one.shipments(order_id)
        parcel = await pg.fetchrow("SELECT waybill FROM parcels")
        assert parcel["waybill"] == row["waybill"]
        shown = await one.get(f"/v1/shipments/{sent['shipment_id']}/waybill")
        assert (shown["waybill"], shown["state"], shown["data"]["waybill"]) == (
            row["waybill"], "used", row["waybill"]
        )  # fmt: skip
        asked = one.carrier.asked[0]
        assert (asked["ship_to"]["name"], asked["service"]) == ("张三", "sf-std")
        assert "张三" not in str(row), "nothing of a person is kept"
        assert "张三" not in str(await pg.fetch("SELECT * FROM jobs"))


async def test_whatever_the_desk_loses_each_parcel_has_one_number(settings, pg):
    async with with_desk(settings, pg, rates=BAD, seed=7) as one:
        orders = [await one.buy(str(n), ("tea", 1), buyer_id=f"b{n}") for n in range(6)]

        async def all_left():
            await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
            return await pg.fetchval("SELECT count(*) FROM shipments WHERE state = 'shipped'") == 6

        await eventually(all_left, within_s=40)
        assert len(orders) == 6
        await states(one, *["used"] * 6)
        desk = one.carrier.desk
        assert sorted(desk.given.values()) == sorted(row["waybill"] for row in await rows(one))
        left = {row["waybill"] for row in await pg.fetch("SELECT waybill FROM parcels")}
        assert left == desk.out()


async def test_what_is_cancelled_gives_its_number_back(settings, pg):
    async with with_desk(settings, pg, knobs=STILL) as one:
        order_id = await one.buy("1", ("tea", 1))
        await until(one, order_id, "sent", "accepted")
        await states(one, "got")
        told = await one.call(
            "POST", f"/v1/orders/{order_id}/cancel", {"cancel_id": "c1"}, status=(200, 202)
        )
        assert told
        await until(one, order_id, "cancelled")
        await states(one, "cancelled")
        desk = one.carrier.desk
        assert (desk.out(), len(desk.cancelled)) == (set(), 1)
        (sent,) = await one.shipments(order_id)
        shown = await one.get(f"/v1/shipments/{sent['shipment_id']}/waybill")
        assert (shown["state"], shown["data"]) == ("cancelled", {})


async def test_while_no_number_is_given_its_node_knows_nothing_of_it(settings, pg):
    async with with_desk(settings, pg, rates=Rates(error=1.0)) as one:
        order_id = await one.buy("1", ("tea", 1))
        await states(one, "asked")
        (sent,) = await one.shipments(order_id)
        assert (sent["state"], one.servers["hangzhou"].books.held) == ("planned", {})
        await one.call("POST", f"/v1/orders/{order_id}/cancel", {"cancel_id": "c1"}, status=200)
        assert (await one.shipments(order_id))[0]["state"] == "cancelled"
        one.carrier.desk.mend()
        await pg.execute("UPDATE waybills SET leased_until = NULL")
        await states(one, "cancelled")
        assert one.carrier.desk.out() == set()
        assert one.servers["hangzhou"].books.held == {}


async def test_what_a_carrier_refuses_is_a_persons_who_may_try_again(settings, pg):
    async with with_desk(settings, pg, rates=Rates(refused=1.0)) as one:
        order_id = await one.buy("1", ("tea", 1))
        await states(one, "failed")

        async def dead():
            return await pg.fetchrow("SELECT job_id, last_error FROM jobs WHERE state = 'dead'")

        job = await eventually(dead)
        assert job["last_error"] == "waybill: refused E1001"
        assert (await one.shipments(order_id))[0]["state"] == "planned"

        async def looked_at():
            return await one.queued(order_id)

        assert await eventually(looked_at, within_s=20) == ("MANUAL", "call_dead")
        one.carrier.desk.mend()
        await pg.execute("UPDATE jobs SET state = 'waiting', due_at = now()")
        await until(one, order_id, "shipped")
        await states(one, "failed", "used")


async def test_a_node_with_numbers_of_its_own_asks_nobody(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.activate()
        order_id = await one.buy("1", ("tea", 1))
        await until(one, order_id, "shipped")
        assert await rows(one) == []
        (sent,) = await one.shipments(order_id)
        await one.call("GET", f"/v1/shipments/{sent['shipment_id']}/waybill", status=404)


async def test_what_may_be_sent_only_after_it_was_looked_at_still_has_its_number(
    settings, pg, monkeypatch
):
    """A block that is lifted between both looks must not let it leave without a number."""
    look, seen = shipments.to_send, []

    async def blocked_when_looked_at(tx, name, now):
        seen.append(name)
        return () if len(seen) == 1 else await look(tx, name, now)

    monkeypatch.setattr(shipments, "to_send", blocked_when_looked_at)
    async with with_desk(settings, pg) as one:
        order_id = await one.buy("1", ("tea", 1))
        await until(one, order_id, "shipped")
        await states(one, "used")
        assert len(seen) >= 2


async def test_a_desk_that_does_not_answer_is_left_alone_and_probed(settings, pg):
    async with with_desk(settings, pg, rates=Rates(error=1.0)) as one:
        orders = [await one.buy(str(n), ("tea", 1), buyer_id=f"b{n}") for n in range(3)]

        async def shut():
            await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
            return await pg.fetchval(
                "SELECT failures >= 5 FROM job_breakers WHERE queue = 'desk:sf-std'"
            )

        await eventually(shut, within_s=30)
        asked = len(one.carrier.asked)
        await tried_again(pg, 20)
        assert len(one.carrier.asked) - asked <= 3, "no more than were out when it was shut"
        one.carrier.desk.mend()
        await pg.execute("UPDATE job_breakers SET probe_at = now()")

        async def all_left():
            await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
            return await pg.fetchval("SELECT count(*) FROM shipments WHERE state = 'shipped'") == 3

        await eventually(all_left, within_s=40)
        assert len(orders) == 3
        assert await pg.fetchval("SELECT count(*) FROM job_breakers") == 0


async def tried_again(pg, times):
    """Wait until jobs were tried so often, whatever they came to."""
    tries = "SELECT coalesce(sum(attempts), 0) FROM jobs"
    before = await pg.fetchval(tries)

    async def done():
        await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
        return await pg.fetchval(tries) >= before + times

    await eventually(done, within_s=30)


async def test_each_parcels_number_is_for_its_own_weight_and_its_own_sums(settings, pg):
    async with with_desk(settings, pg) as one:
        await one.put("/v1/carriers/sf-std", one.service | {"insured_max": 1_000, "cod": True})
        await one.receive("hangzhou", tea=10)  # and only Beijing has so many cups
        bought = await one.api.buy(
            "1", ("tea", 15), ("cup", 8), campaign="", ship_to=SHIP_TO,
            extensions={"insured": 600}, payment={"status": "on_delivery"},
        )  # fmt: skip
        order_id = bought.document["order_id"]
        for _ in range(2):
            await until(one, order_id, "shipped")
        await states(one, "used", "used")
        asked = {sent["shipment_id"]: sent for sent in one.carrier.asked}
        planned = {sent["shipment_id"]: sent for sent in await one.shipments(order_id)}
        assert {n: sent["grams"] for n, sent in asked.items()} == {
            n: sent["quoted_grams"] for n, sent in planned.items()
        }
        assert sum(sent["grams"] for sent in asked.values()) == 23 * 300
        assert 600 <= sum(sent["insured"] for sent in asked.values()) <= 601
        dues = await pg.fetch("SELECT shipment_id, due FROM shipment_dues")
        assert {n: sent["cod"] for n, sent in asked.items()} == dict(dues), "as the nodes collect"
        assert sum(sent["cod"] for sent in asked.values()) == 23 * 100


async def test_where_parcels_are_is_asked_until_they_are_there(settings, pg):
    async with with_desk(settings, pg) as one:
        order_id = await one.buy("1", ("tea", 1))
        await until(one, order_id, "shipped")
        parcel = await pg.fetchrow("SELECT parcel_id, waybill FROM parcels")
        polled = "SELECT count(*) FROM tracking_polls WHERE due_at > now() + interval '50 minutes'"

        async def waits():
            return await pg.fetchval(polled) == 1

        await eventually(waits)
        now_ms = one.api.process.clock.now_ms()
        one.carrier.hand_over(parcel["waybill"], now_ms - DAY_MS)
        await pg.execute("UPDATE tracking_polls SET due_at = now()")

        async def heard():
            shown = await one.get(f"/v1/parcels/{parcel['waybill']}")
            return shown["items"][0]["tracking"]

        found = await eventually(heard, within_s=20)
        assert [(seen["milestone"], seen["source"]) for seen in found] == [
            ("collected", "poll"), ("in_transit", "poll"),
        ]  # fmt: skip
        await eventually(waits)
        one.carrier.hand_over(parcel["waybill"], now_ms - 3 * DAY_MS)
        await pg.execute("UPDATE tracking_polls SET due_at = now()")
        await until(one, order_id, "delivered")
        assert await pg.fetchval("SELECT count(*) FROM tracking_polls") == 0


async def test_parcels_of_one_order_collect_together_what_is_due(settings, pg):
    async with with_desk(settings, pg) as one:
        told = SERVICE | {"desk_url": one.carrier.url, "cod": True}
        await one.put("/v1/carriers/sf-std", told)
        rule = {"name": "all", "when": "true", "reason": "looked at"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        order_id = await one.buy("1", ("tea", 6), ("tea", 6))  # a node has 10

        async def held():
            return await one.queued(order_id) == ("HELD_RISK", "review")

        await eventually(held, within_s=20)
        # as of a marketplace: nothing is paid, all of it at the door
        await pg.execute("DELETE FROM payments")
        await pg.execute("UPDATE orders SET payment_state = 'on_delivery'")
        await one.call("DELETE", f"/v1/orders/{order_id}/blocks/review?reason=looked+at")
        await until(one, order_id, "shipped", "shipped")
        assert [asked["cod"] for asked in one.carrier.asked] == [600, 600]
        assert await pg.fetchval("SELECT array_agg(due) FROM shipment_dues") == [600, 600]


async def test_what_left_is_turned_round_by_a_carrier_that_can(settings, pg):
    async with with_desk(settings, pg) as one:
        told = SERVICE | {"desk_url": one.carrier.url, "intercept": True}
        await one.put("/v1/carriers/sf-std", told)
        order_id = await one.buy("1", ("tea", 2))
        await until(one, order_id, "shipped")
        await states(one, "used")
        (row,) = await rows(one)
        assert one.carrier.desk.turned == set()
        one.carrier.hand_over(row["waybill"], one.api.process.clock.now_ms() - DAY_MS // 5)
        body = {"refund_id": "r1", "kind": "cancel", "state": "requested",
                "amount": {"amount": 200, "currency": "CNY"}}  # fmt: skip
        await one.call("POST", f"/v1/orders/{order_id}/refunds", body)

        async def turned():
            await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
            return one.carrier.desk.turned == {row["waybill"]}

        await eventually(turned, within_s=20)

        async def noted():
            timeline = (await one.get(f"/v1/orders/{order_id}"))["timeline"]
            return [each["data"] for each in timeline if each["kind"] == "shipment.intercept_asked"]

        (data,) = await eventually(noted, within_s=20)
        assert data["waybills"] == {row["waybill"]: "asked"}
        assert await pg.fetchval("SELECT answer FROM stops") == "intercept_requested"

        async def comes_back():
            await pg.execute("UPDATE tracking_polls SET due_at = now()")
            return [each["state"] for each in await one.shipments(order_id)] == ["returning"]

        await eventually(comes_back, within_s=20)
        (shown,) = (await one.get(f"/v1/parcels/{row['waybill']}"))["items"]
        assert [seen["milestone"] for seen in shown["tracking"]] == ["collected", "returning"]


async def test_what_no_carrier_is_asked_to_turn_round_is_a_persons(settings, pg, monkeypatch):
    """Its buyer was told that it is."""
    monkeypatch.setattr(jobs, "TRIES_MAX", 2)
    intercept = desks.Guarded.intercept

    async def away(*_):
        return Reply("UNKNOWN", code="timeout")

    monkeypatch.setattr(desks.Guarded, "intercept", away)
    async with with_desk(settings, pg) as one:
        told = SERVICE | {"desk_url": one.carrier.url, "intercept": True}
        await one.put("/v1/carriers/sf-std", told)
        order_id = await one.buy("1", ("tea", 2))
        await until(one, order_id, "shipped")
        body = {"refund_id": "r1", "kind": "cancel", "state": "requested",
                "amount": {"amount": 200, "currency": "CNY"}}  # fmt: skip
        await one.call("POST", f"/v1/orders/{order_id}/refunds", body)

        async def looked_at():
            await pg.execute("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")
            return await one.queued(order_id)

        assert await eventually(looked_at, within_s=20) == ("MANUAL", "call_dead")
        monkeypatch.setattr(desks.Guarded, "intercept", intercept)
        (letter,) = (await one.get("/v1/dead-letters"))["items"]
        await one.call("POST", f"/v1/dead-letters/{letter['id']}/retry", {})

        async def turned():
            return one.carrier.desk.turned and await one.queued(order_id) is None

        await eventually(turned, within_s=20)
