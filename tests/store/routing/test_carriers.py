"""What a router makes of profiles and of what carriers offer: modes, scores, limits, regions."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.carriers.store import documents as carriers
from engine.carriers.types.documents import CardFields, CardLine, DayLimits, ServiceFields
from engine.kernel import codec
from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.physical.store.nodes import NODES
from engine.physical.types.nodes import Address, NodeFields
from engine.places.store.profiles import PROFILES
from engine.places.types.profiles import (
    CampaignDays,
    HandlingBand,
    NodeLimits,
    ProfileFields,
    WorkingWeek,
)
from engine.routing.service import capacity, queue
from engine.routing.service.router import Router
from engine.routing.types.core import Line, Order, Scorer, Unfilled
from engine.routing.types.queue import Row
from engine.shipments import service as shipments
from engine.shipments.types.shipments import Told
from tests.race.routing import ORDERS
from tests.store.physical import conftest as physical
from tests.unit.routing.world import plan, rule

place = physical.place
PUDONG, XUHUI, HANGZHOU = "310115", "310104", "330106"
SHANGHAI = ZoneInfo("Asia/Shanghai")
CLOSED = WorkingWeek([], [], [], [], [], [], [])


class Town:
    """Nodes with goods, services between them, and orders that one router routes."""

    def __init__(self, place):
        self.place, self.pg, self.pool = place, place.pg, place.runtime.pool
        one = rule("SINGLE_NODE", Scorer("distance"), Scorer("total_cost"),
                   on_unfilled=Unfilled("PARK", "UNFILLABLE", "no_node"))  # fmt: skip
        self.plan = plan(one)
        self.router = self.new_router()
        self.orders = 0

    def new_router(self):
        async def plans(_db, _tenant):
            return self.plan

        return Router(self.pool, "main", self.place.runtime.clock, plans)

    async def node(self, name, region=PUDONG, units=100, kind="STORE", **profile):
        address = Address("CN", region_code=region)
        fields = NodeFields(name, kind=kind, group="cn", address=address)
        await NODES.insert(self.pg, "main", name, fields, "test")
        await PROFILES.insert(self.pg, "main", name, ProfileFields(**profile), "test")
        await self.place.count(1, ("A", units), node=name)

    async def service(self, name, tier="standard", price=500, **more):
        told = {"carrier": "sf", "tier": tier, "zones": {"*": "all"}, "days": {"all": 1}} | more
        await carriers.SERVICES.insert(self.pg, "main", name, ServiceFields(**told), "test")
        card = CardFields(name, datetime(2026, 1, 1, tzinfo=UTC), [CardLine(1_000, price)])
        await carriers.CARDS.insert(self.pg, "main", f"card-{name}", card, "test")

    async def order(self, units=1, region=XUHUI, node="", **more):
        self.orders += 1
        name = f"o{self.orders}"
        draws = codec.encode([[1, "p", units]]).decode()
        version = await self.pg.fetchval(ORDERS, [name], [draws])
        line = Line(1, "A", "cn", units, 500 * units, value=100 * units, node=node)
        facts = ORDER_SCHEMA.facts({"units": units})
        one = Order(name, "main", "mall", facts, region, None, None, (line,), **more)
        async with self.pool.acquire() as tx, tx.transaction():
            row = Row("NEW", one, version, due_at=datetime.now(UTC) - timedelta(seconds=1))
            await queue.put(tx, "main", [row])
        return name

    async def route(self):
        """Route until nothing is due; return what was sent, and what waits."""
        while (await self.router.turn()).any:
            pass
        rows = await self.pg.fetch("SELECT * FROM shipments ORDER BY created_at, shipment_id")
        waits = await self.pg.fetch("SELECT order_id, queue, reason FROM routing_queue")
        return {row["order_id"]: row for row in rows}, {
            row["order_id"]: (row["queue"], row["reason"]) for row in waits
        }  # fmt: skip

    async def switch_off(self, service, region):
        await carriers.switch_off(self.pg, "main", service, region, ("flood", "test"))


@pytest.fixture
async def town(place):
    await place.pg.execute("DELETE FROM nodes")
    return Town(place)


async def test_a_region_that_is_switched_off_is_not_used_by_the_next_decision(town):
    await town.node("N", kind="DC")
    await town.service("cheap", price=300)
    await town.service("dear", price=900)
    first = await town.order()
    sent, _ = await town.route()
    assert sent[first]["service"] == "cheap"
    await town.switch_off("cheap", "310000")  # the province stands for what lies in it
    near, far = await town.order(), await town.order(region=HANGZHOU)
    sent, _ = await town.route()
    assert (sent[near]["service"], sent[far]["service"]) == ("dear", "cheap")
    await carriers.switch_on(town.pg, "main", "cheap", "310000")
    again = await town.order()
    sent, _ = await town.route()
    assert sent[again]["service"] == "cheap"


async def test_what_was_decided_before_a_region_was_switched_off_is_decided_again(
    town, monkeypatch
):
    await town.node("N", kind="DC")
    await town.service("cheap", price=300)
    await town.service("dear", price=900)
    name = await town.order()
    refresh, switched = town.router.view.refresh, []

    async def between(db, skus):
        await refresh(db, skus)
        if not switched:
            await town.switch_off("cheap", XUHUI)  # committed after it was read, before the bind
            switched.append(name)

    monkeypatch.setattr(town.router.view, "refresh", between)
    sent, _ = await town.route()
    assert (switched, sent[name]["service"]) == ([name], "dear")


async def test_of_equal_services_the_one_that_fared_better_is_chosen(town):
    await town.node("N", kind="DC")
    for name, on_time in (("a", 60), ("b", 95)):
        await town.service(name)
        await town.pg.execute(
            "INSERT INTO scorecards VALUES ('main', $1, current_date - 3, '31', 100, $2, 0, 100, 0,"
            " 0, 0, 0)",
            name, on_time,
        )  # fmt: skip
    name = await town.order()
    sent, _ = await town.route()
    assert sent[name]["service"] == "b"


async def test_what_a_service_is_given_counts_until_it_has_brought_enough(town):
    await town.node("N", kind="DC")
    await town.service("a", score=10)
    await town.service("b", score=20)
    await town.pg.execute(
        "INSERT INTO scorecards VALUES ('main', 'a', current_date, '31', 5, 5, 0, 5, 0, 0, 0, 0),"
        " ('main', 'a', current_date - 40, '31', 900, 900, 0, 900, 0, 0, 0, 0)"
    )
    name = await town.order()
    sent, _ = await town.route()
    assert sent[name]["service"] == "b"


async def test_equal_services_share_a_day_also_within_one_batch(town):
    await town.node("N", kind="DC")
    await town.service("a", ratio=60)
    await town.service("b", ratio=40)
    for _ in range(20):
        await town.order()
    sent, _ = await town.route()
    given = [row["service"] for row in sent.values()]
    assert (given.count("a"), given.count("b")) == (12, 8)


async def test_a_quote_keeps_its_card_and_version(town):
    await town.node("N", kind="DC")
    await town.service("a", price=777)
    name = await town.order()
    sent, _ = await town.route()
    assert (sent[name]["card"], sent[name]["card_version"], sent[name]["quote"]) == (
        "card-a", 1, 777
    )  # fmt: skip


async def test_grams_of_a_day_give_way_to_the_next_service(town):
    await town.node("N", kind="DC")
    await town.service("cheap", price=300, capacity=DayLimits(grams=1_000))
    await town.service("dear", price=900)
    names = [await town.order() for _ in range(3)]  # of 500 g each
    sent, _ = await town.route()
    assert [sent[name]["service"] for name in names] == ["cheap", "cheap", "dear"]
    row = await town.pg.fetchrow(
        "SELECT * FROM capacity WHERE scope = 'service' AND id = 'cheap' AND dim = 'grams'"
    )
    assert (row["used"], row["limit"]) == (1_000, 1_000)


@pytest.mark.parametrize("kind", ["rejected", "cancelled"])
async def test_what_a_node_rejects_or_cancels_gives_its_room_back_once(town, kind):
    await town.node("N", kind="DC", capacity=NodeLimits(orders=1))
    await town.service("a", capacity=DayLimits(orders=1))
    first, second = await town.order(), await town.order()
    sent, _ = await town.route()
    assert [name for name in (first, second) if name in sent] == [first]
    now = datetime.now(UTC)
    for said in ("sent", kind):
        async with town.pool.acquire() as tx, tx.transaction():
            told = Told(said, said, now, reply=said == "sent")
            await shipments.report_consignment(tx, f"{first}-s1", told, now)
    assert await capacity.give_back(town.pool) > 0
    assert await capacity.give_back(town.pool) == 0
    used = "SELECT sum(used) FROM capacity WHERE dim = 'orders'"
    assert await town.pg.fetchval(used) == 0


async def test_a_campaign_has_its_own_times_and_limits(town):
    today = datetime.now(SHANGHAI).date()
    days = {"from_": (today - timedelta(days=1)).isoformat(), "to": today.isoformat()}
    always = CampaignDays(**days, slots=["00:00-24:00"], capacity=NodeLimits(orders=1))
    await town.node("NEAR", kind="DC", week=CLOSED, overrides=[always])
    await town.node("FAR", HANGZHOU, kind="DC")
    await town.service("a")
    first, second = await town.order(), await town.order()
    sent, _ = await town.route()
    assert {sent[first]["node"], sent[second]["node"]} == {"NEAR", "FAR"}


async def test_handling_by_load_and_days_off_move_the_promise(town):
    await town.node("N", kind="DC", handling=[HandlingBand(0, 10), HandlingBand(1, 600)])
    await town.service("a")
    first = await town.order()
    sent, _ = await town.route()
    begun = sent[first]["created_at"]
    assert timedelta(minutes=8) < sent[first]["promised_ship_by"] - begun < timedelta(minutes=12)
    town.router = town.new_router()  # what nodes have before them is read anew
    second = await town.order()
    sent, _ = await town.route()
    assert sent[second]["promised_ship_by"] - begun > timedelta(minutes=590)


INSTANT = {"tier": "instant", "days": {}, "minutes": {"all": 60}}


async def test_at_once_from_the_nearest_store_that_works_now(town):
    await town.node("SHUT", XUHUI, modes=["ship", "instant"], week=CLOSED)
    await town.node("NO", XUHUI, modes=["ship"])
    await town.node("NEAR", PUDONG, modes=["ship", "instant"], radius_metres=40_000)
    await town.node("FAR", HANGZHOU, modes=["ship", "instant"])
    await town.service("flash", **INSTANT)
    await town.service("slow", price=1)
    name = await town.order(mode="instant", tier="instant")
    sent, _ = await town.route()
    row = sent[name]
    assert (row["node"], row["service"], row["mode"]) == ("NEAR", "flash", "instant")
    assert row["promised_deliver_by"] - row["promised_ship_by"] == timedelta(minutes=60)


@pytest.mark.parametrize(
    "profile",
    [
        {"modes": ["ship"]},
        {"modes": ["instant"], "radius_metres": 1_000},
        {"modes": ["instant"], "week": CLOSED},
    ],
    ids=["mode", "radius", "shut"],
)
async def test_at_once_or_not_at_all(town, profile):
    await town.node("S", HANGZHOU, **profile)
    await town.service("flash", **INSTANT)
    await town.service("slow", price=1)
    name = await town.order(mode="instant", tier="instant")
    sent, waits = await town.route()
    assert name not in sent
    assert waits[name] == ("MANUAL", "no_instant")


async def test_without_a_service_that_is_at_once_it_waits_for_a_person(town):
    await town.node("S", PUDONG, modes=["instant"])
    await town.service("slow", price=1)
    name = await town.order(mode="instant", tier="instant")
    assert (await town.route())[1][name] == ("MANUAL", "no_instant")


async def test_fetched_from_the_store_that_was_named_and_shipped_from_the_nearest(town):
    await town.node("NEAR", XUHUI, modes=["ship"])
    await town.node("NAMED", HANGZHOU, modes=["ship", "pickup"])
    await town.service("a")
    fetched, sent_home = await town.order(mode="pickup", node="NAMED"), await town.order()
    not_there = await town.order(mode="pickup", node="NEAR")
    sent, waits = await town.route()
    assert (sent[fetched]["node"], sent[fetched]["service"]) == ("NAMED", "")
    assert (sent[sent_home]["node"], sent[sent_home]["service"]) == ("NEAR", "a")
    assert waits[not_there] == ("MANUAL", "designated_node")


async def test_what_profiles_say_of_nodes_is_what_plans_score_by(town):
    town.plan = plan(rule("SINGLE_NODE", Scorer("sales_velocity"), Scorer("distance")))
    await town.service("std")
    await town.node("FAST", metrics={"sales_velocity": 900})
    await town.node("SLOW", region=HANGZHOU, metrics={"sales_velocity": 7})
    name = await town.order()
    sent, _ = await town.route()
    assert sent[name]["node"] == "SLOW"
