"""Recorded orders, decided again by a plan: what it is compared with, and of which world."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.infra.versioned import Match
from engine.routing.rules import compiling, recorded
from engine.routing.service import plans, replaying
from engine.routing.service.current import CurrentPlans
from engine.routing.service.replaying import Terms
from engine.routing.service.router import Router
from tests.store.physical import conftest as physical
from tests.store.routing.planning import fields_of
from tests.store.routing.test_carriers import HANGZHOU, PUDONG, Town

place = physical.place
FAR = {"filters": [{"field": "node", "op": "eq", "value": "far"}], "name": "only"}


class Kept(Town):
    """A town whose plan is kept, so that its decisions can be decided again."""

    def __init__(self, place):
        super().__init__(place)
        self.runtime, self.current = place.runtime, CurrentPlans()
        self.router = Router(self.pool, "main", self.runtime.clock, self.current.active, batch=4)

    async def activate(self, name="near", **rule):
        fields = fields_of(name, rule)
        kept, _ = await plans.put(self.runtime, "main", name, fields, Match(), "test")
        await plans.move(self.runtime, "main", name, kept.version, "ACTIVE", "test")

    async def furnish(self):
        await self.node("far", HANGZHOU, kind="DC", units=9)
        await self.node("near", PUDONG, kind="DC", units=6)
        await self.service("sf")
        await self.activate()

    async def replay(self, rule=None, **terms):
        now = datetime.now(UTC)
        asked = {"since": now - timedelta(hours=1), "until": now + timedelta(minutes=1),
                 "limit": 1_000} | terms  # fmt: skip
        plan = compiling.compile_plan(fields_of("tried", rule)).plan
        self.told = []
        async with self.pool.acquire() as db:
            return await replaying.replay(
                db, "main", plan, Terms(**asked), self.runtime.clock, self.told.append
            )


@pytest.fixture
async def town(place):
    await place.pg.execute("DELETE FROM nodes")
    one = Kept(place)
    await one.furnish()
    return one


async def decided(town, orders=8):
    """Have orders decided of which the later ones find nothing left near by."""
    for _ in range(orders):
        await town.order()
    return await town.route()


async def test_the_plan_that_decided_comes_to_the_same(town):
    sent, _ = await decided(town)
    assert {row["node"] for row in sent.values()} == {"near", "far"}
    found = await town.replay()
    assert (found.total.orders, found.total.same, found.as_recorded) == (8, 8, 8)
    assert found.total.freight["CNY"].decided == sum(row["quote"] for row in sent.values())
    assert (found.largest, found.more) == ([], False)
    assert (found.unreadable, found.plan_not_kept, found.failed) == (0, 0, 0)
    (against,) = found.against
    assert (against.plan, against.version, against.comparison) == ("near", 1, found.total)
    assert town.told == [8]


async def test_another_plan_is_compared_by_what_each_order_saw(town):
    sent, _ = await decided(town)
    near = {name for name, row in sent.items() if row["node"] == "near"}
    found = await town.replay(rule=FAR)
    assert (found.total.orders, found.total.same, found.as_recorded) == (8, 8 - len(near), 8)
    assert {one.order_id for one in found.largest} == near
    for one in found.largest:
        assert [parcel.node for parcel in one.decided.parcels] == ["near"]
        assert [parcel.node for parcel in one.tried.parcels] == ["far"]
    before = await town.pg.fetch("SELECT * FROM shipments ORDER BY shipment_id")
    assert {row["order_id"]: row["node"] for row in before} == {
        name: row["node"] for name, row in sent.items()
    }, "nothing is bound by it"


async def test_services_share_a_day_as_they_did(town):
    await town.service("a", price=100, ratio=60)
    await town.service("b", price=100, ratio=40)
    sent, _ = await decided(town, 10)
    assert {row["service"] for row in sent.values()} == {"a", "b"}
    found = await town.replay()
    assert (found.total.orders, found.as_recorded) == (10, 10)


async def test_the_last_decision_of_a_time_counts(town):
    name = await town.order(units=20)
    await town.route()
    parked = datetime.now(UTC)
    found = await town.replay()
    assert (found.total.orders, found.total.placed.decided, found.as_recorded) == (1, 0, 1)
    await town.place.count(2, ("A", 30), node="far")
    await town.pg.execute("UPDATE routing_queue SET due_at = now()")
    town.router.view.forget()
    await town.pg.execute("UPDATE routing_queue SET leased_until = NULL")
    town.router = Router(town.pool, "main", town.runtime.clock, town.current.active)
    sent, _ = await town.route()
    assert sent[name]["node"] == "far"
    found = await town.replay()
    assert (found.total.orders, found.total.placed.decided) == (1, 1)
    found = await town.replay(until=parked)
    assert (found.total.orders, found.total.placed.decided) == (1, 0)
    since = await town.pg.fetchval("SELECT max(at) FROM routing_decisions")
    assert (await town.replay(since=since)).total.orders == 1, "from this instant on"
    assert (await town.replay(until=since)).total.placed.decided == 0, "and before that one"
    assert (await town.replay(since=since + timedelta(microseconds=1))).total.orders == 0


async def test_of_many_the_latest(town, monkeypatch):
    monkeypatch.setattr(replaying, "_ROWS_PER_CALL_MAX", 3)
    await decided(town, 8)
    found = await town.replay()
    assert (found.total.orders, found.more, town.told) == (8, False, [3, 6, 8])
    found = await town.replay(limit=8)
    assert (found.total.orders, found.more) == (8, False)
    found = await town.replay(rule=FAR, limit=4)
    assert (found.total.orders, found.more, town.told) == (4, True, [3, 4])
    last = await town.pg.fetch(
        "SELECT order_id FROM routing_decisions ORDER BY at DESC, order_id DESC LIMIT 4"
    )
    assert {one.order_id for one in found.largest} <= {row["order_id"] for row in last}


async def test_rates_are_of_then_and_nodes_of_now(town):
    sent, _ = await decided(town)
    for row in await town.pg.fetch("SELECT order_id, inputs FROM routing_decisions"):
        seen = recorded.unpacked(row["inputs"])
        earlier = seen._replace(at_ms=seen.at_ms - 2 * 86_400_000)
        await town.pg.execute(
            "UPDATE routing_decisions SET at = at - interval '2 days', inputs = $2"
            " WHERE order_id = $1",
            row["order_id"], row["inputs"][:1] + msgspec.msgpack.encode(earlier),
        )  # fmt: skip
    dearer = datetime.now(UTC) - timedelta(days=1)
    await town.pg.execute(
        "INSERT INTO rate_cards SELECT tenant, card, 2, service, $1, until,"
        " jsonb_set(jsonb_set(document, '{lines,0,first}', '9900'), '{effective_from}', $2),"
        " actor FROM rate_cards",
        dearer, f'"{dearer.isoformat()}"',
    )  # fmt: skip
    assert (await town.replay()).total.orders == 0
    since = datetime.now(UTC) - timedelta(days=3)
    found = await town.replay(since=since)
    assert found.as_recorded == 8
    assert found.total.freight["CNY"].decided == sum(row["quote"] for row in sent.values())
    await town.pg.execute("DELETE FROM nodes WHERE node = 'near'")
    far = sum(row["node"] == "far" for row in sent.values())
    found = await town.replay(since=since)
    assert (found.total.orders, found.total.same, found.as_recorded) == (8, 8, far)
    assert any("nodes" in one for one in found.of_now)
    assert any("rate" in one for one in found.of_then)


async def test_where_a_service_is_switched_off_by_now_it_is_not_chosen(town):
    sent, _ = await decided(town)
    await town.switch_off("sf", "310000")
    found = await town.replay()
    assert (found.total.orders, found.as_recorded) == (len(sent), 0)


async def test_what_cannot_be_compared_is_counted(town, monkeypatch):
    await decided(town, 6)
    await town.pg.execute("UPDATE routing_decisions SET inputs = 'x' WHERE order_id = 'o1'")
    await town.pg.execute("UPDATE routing_decisions SET trace = 'x' WHERE order_id = 'o2'")
    await town.pg.execute("UPDATE routing_decisions SET version = 7 WHERE order_id = 'o3'")
    found = await town.replay()
    assert (found.unreadable, found.plan_not_kept, found.total.orders) == (2, 1, 3)
    compile_plan = replaying.compile_plan

    def broken(_facts):
        raise ZeroDivisionError("what a buyer wrote")

    def compiled(fields, version):
        made = compile_plan(fields, version=version)
        return made._replace(plan=made.plan._replace(judge=broken))

    monkeypatch.setattr(replaying, "compile_plan", compiled)
    found = await town.replay()
    assert (found.failed, found.last_failure, found.total.orders) == (3, "ZeroDivisionError", 0)
    assert found.unreadable + found.plan_not_kept == 3
    await town.pg.execute("DELETE FROM routing_names")
    assert (await town.replay()).unreadable == 6


async def test_another_tenants_orders_are_not_read(town):
    await decided(town, 2)
    async with town.pool.acquire() as db:
        plan = compiling.compile_plan(fields_of("tried")).plan
        now = datetime.now(UTC)
        terms = Terms(now - timedelta(hours=1), now + timedelta(hours=1), 9)
        found = await replaying.replay(
            db, "other", plan, terms, town.runtime.clock, lambda _orders: None
        )
    assert found.total.orders == found.unreadable == 0
