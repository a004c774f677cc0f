"""Many routers over one queue: what is asked is bound once or waits, and nothing is given twice.

Each control takes one guard away, and must lose.
"""

from collections import Counter

import asyncpg
import pytest

from engine.kernel import clock
from engine.physical.store import balances
from engine.places.store.profiles import PROFILES
from engine.places.types.profiles import NodeLimits, ProfileFields
from engine.routing.rules import facts
from engine.routing.rules.deciding import decide
from engine.routing.service import binding, queue, router
from engine.routing.service.binding import When
from engine.routing.store import capacity as capacities
from engine.routing.store import queue as rows
from engine.routing.types.binding import Wish
from engine.routing.types.core import PASSING
from engine.routing.types.queue import Row
from tests.race.routing import DECLARED, Trucks, World, a_plan
from tests.store.physical import conftest as physical

place = physical.place


@pytest.mark.parametrize("seed", range(6))
async def test_all_that_is_asked_is_bound_once_or_waits(place, seed):
    world = World(place, seed)
    await world.build()
    done = await world.run()
    shipped, waiting = await world.check()
    assert shipped
    assert waiting, "units were scarce"
    assert sum(one.rebinds for one in done), "routers met"
    left = await place.pg.fetch("SELECT queue, reason, due_at FROM routing_queue")
    assert {row["queue"] for row in left} == {"UNFILLABLE"}
    full = [row["reason"] == "no_capacity" for row in left]  # what is full today is tried again
    assert [row["due_at"] is not None for row in left] == full
    passing = set(PASSING.values())  # a full day ends by itself, and is no matter of stock
    assert all((row["due_at"] is None) == (row["reason"] not in passing) for row in left)


@pytest.fixture
def quick(monkeypatch):
    """Less between two steps of routers: what is lost is tried again soon, and what they give back
    to the pool has nothing that would have to be reset.
    """
    monkeypatch.setattr(router, "_AGAIN_S", 0.01)
    monkeypatch.setattr(asyncpg.Connection, "get_reset_query", lambda _self: "")


async def small(place, seeds):
    """Eight routers with three orders each at most over a dozen, and people beside them.

    How often routers met differs by seed: in a part in which they seldom do nothing was tried.
    """
    sums = Counter()
    for seed in seeds:
        world = World(place, seed)
        await world.clear()
        await world.build(orders=12, least=0, most=12)
        done = await world.run(batch=3, beside=[world.people()])
        shipped, waiting = await world.check()
        rebinds = sum(one.rebinds for one in done)
        sums.update(
            seeds=1, met=rebinds > 0, rebinds=rebinds, turns=sum(one.any for one in done),
            shipped=shipped, waiting=waiting, orders=len(world.asked),
        )  # fmt: skip
    assert sums["met"] >= 0.9 * sums["seeds"], sums
    assert sums["shipped"], sums
    assert sums["waiting"], sums
    return sums


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("part", range(2))
async def test_people_beside_routers_change_nothing_of_it(place, part):
    first = 1_000_000 + 10 * part
    await small(place, range(first, first + 10))


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak", "quick")
@pytest.mark.parametrize("part", range(200))
async def test_ten_thousand_seeds(place, part):
    sums = await small(place, range(50 * part, 50 * part + 50))
    print(f"part {part}:", *(f"{name} {n}" for name, n in sums.items()))  # noqa: T201 - figures


async def test_every_order_is_told_of_once(place):
    world = World(place, 3)
    await world.build()
    await world.run()
    twice = await place.pg.fetch(
        "SELECT order_id FROM events WHERE kind = 'order.routed' GROUP BY order_id"
        " HAVING count(*) > 1"
    )
    assert not twice
    routed = await place.pg.fetchval("SELECT count(*) FROM events WHERE kind = 'order.routed'")
    assert routed == await place.pg.fetchval("SELECT count(DISTINCT order_id) FROM shipments")
    broken = "SELECT count(*) FROM broken_promises WHERE until IS NULL"
    assert await place.pg.fetchval(broken) == await place.pg.fetchval(
        "SELECT count(*) FROM events WHERE kind = 'order.promise_broken'"
    )


STOP = """
INSERT INTO stops (
  stop_id, tenant, order_id, cause, cause_id, lines, asked_at, actor, shipments, detail
) VALUES ('t', 'main', 'o1', 'cancel', 'c', '[]', now(), 'k', '{}', '{}')
"""


async def decided(world, lease_s):
    """A router up to its bind: what it leased and decided."""
    claimed, _ = await queue.claim(world.pool, "main", 10, lease_s)
    one = world.router()
    async with world.pool.acquire() as db:
        skus = {line.sku for each in claimed for line in each.order.lines}
        await one.view.refresh(db, skus)
    made = one.view.made(a_plan(), ())
    orders = [each.order for each in claimed]
    found = decide(a_plan(), made.snap, orders, made.at_ms, Trucks(world.today))
    by_id = {each.order.order_id: each for each in claimed}
    return [Wish(by_id[each.order_id], each) for each in found], made


async def bound(world, wishes, made):
    when = When(clock.instant(world.clock.now_ms()), 900)
    return await binding.bind(world.pool, "main", wishes, made, when)


async def test_a_router_that_slept_binds_nothing_that_another_leased(place):
    world = World(place, 1)
    await world.build(orders=5, limits=False)
    wishes, made = await decided(world, 0.0)
    await world.run(routers=1)
    outcome = await bound(world, wishes, made)
    assert not any((outcome.bound, outcome.parked, outcome.lost, outcome.stale))
    await world.check()


async def test_control_without_the_token_it_binds_them_again(place, monkeypatch):
    world = World(place, 1)
    await world.build(orders=5, limits=False)
    wishes, made = await decided(world, 0.0)
    await world.run(routers=1)

    async def all_of_them(_tx, order_ids, _token):
        return set(order_ids)

    monkeypatch.setattr(rows, "hold", all_of_them)
    versions = {row["order_id"]: row["v"] for row in await place.pg.fetch(
        "SELECT order_id, xmin::text AS v FROM orders")}  # fmt: skip
    wishes = [
        one._replace(claimed=one.claimed._replace(row_version=versions[one.order.order_id]))
        for one in wishes
    ]
    assert (await bound(world, wishes, made)).bound
    with pytest.raises(AssertionError):
        await world.check()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET payable = 200 WHERE order_id = 'o1'",
        "UPDATE orders SET state = 'cancelled' WHERE order_id = 'o1'",
        "INSERT INTO blocks (order_id, code) VALUES ('o1', 'review')",
        STOP,
    ],
)
async def test_what_is_no_longer_as_it_was_decided_is_left_to_whoever_makes_facts(place, change):
    world = World(place, 1)
    await world.build(orders=4, least=20, limits=False)
    wishes, made = await decided(world, 60.0)
    await place.pg.execute(change)
    outcome = await bound(world, wishes, made)
    assert [one.order.order_id for one in outcome.stale] == ["o1"]
    assert len(outcome.bound) == 3
    assert not await place.pg.fetchval("SELECT count(*) FROM shipments WHERE order_id = 'o1'")
    assert await place.pg.fetchval("SELECT count(*) FROM routing_queue WHERE order_id = 'o1'")
    await world.check()


async def test_a_limit_of_none_takes_none_and_of_n_takes_n(place):
    world = World(place, 1)
    await world.build(orders=0, least=30, limits=False)
    for name, most in (("R0", 0), ("R1", 2), ("R2", 0)):
        profile = ProfileFields(capacity=NodeLimits(orders=most))
        await PROFILES.insert(place.pg, "main", name, profile, "test")
        world.limits[name] = most
    for n in range(5):
        await world.add(f"p{n}", [(1, "SA", 1)])
    await world.run(routers=4)
    await world.check()
    nodes = await place.pg.fetch("SELECT node, count(*) AS n FROM shipments GROUP BY node")
    assert {row["node"]: row["n"] for row in nodes} == {"R1": 2}


async def test_control_stock_without_lock_and_condition_is_given_twice(place, monkeypatch):
    sql = balances.SQL
    monkeypatch.setitem(sql, "lock_free", sql["lock_free"].replace("FOR NO KEY UPDATE", ""))
    commit = sql["commit_balances"].replace("AND b.sellable >= w.units", "")
    monkeypatch.setitem(sql, "commit_balances", commit)
    world = World(place, 1)
    await world.build(orders=120, limits=False)
    assert await loses(world, "more was given than is there")


async def test_control_capacity_read_and_then_written_is_given_twice(place, monkeypatch):
    sql = capacities.SQL
    read = (
        'WITH made AS (INSERT INTO capacity (tenant, scope, id, day, dim, "limit") SELECT $1,'
        " s.* FROM unnest($2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[]) AS s"
        " ON CONFLICT DO NOTHING) SELECT s.scope, s.id, s.day, s.dim,"
        ' coalesce(c.used, 0) AS used, s.most AS "limit"'
        " FROM unnest($2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[])"
        " AS s (scope, id, day, dim, most) LEFT JOIN capacity c ON c.tenant = $1"
        " AND c.scope = s.scope AND c.id = s.id AND c.day = s.day AND c.dim = s.dim"
    )
    monkeypatch.setitem(sql, "lock_capacity", read)
    condition = 'AND (c."limit" IS NULL OR c.used + s.n <= c."limit")'
    assert condition in sql["take_capacity"]
    monkeypatch.setitem(sql, "take_capacity", sql["take_capacity"].replace(condition, ""))
    world = World(place, 1)
    await world.build(orders=0)
    for n in range(120):  # of what was never counted: no lock of stock makes them take turns
        await world.add(f"d{n}", [(1, DECLARED, 1)])
    assert await loses(world, "a day takes no more")


async def loses(world, why):
    await world.run()
    with pytest.raises(AssertionError, match=why):
        await world.check()
    return True


async def test_units_that_come_wake_who_waits_and_keep_the_promise(place):
    world = World(place, 1)
    await world.build(orders=0, least=1, most=1, limits=False)
    await world.add("big", [(1, "SA", 5)])
    await world.run(routers=1)
    assert await place.pg.fetchval("SELECT units FROM broken_promises WHERE until IS NULL") == 2
    one = world.router()
    await one.chores()
    assert not (await one.turn()).any, "nothing came"
    await place.count(2, ("SA", 10), node="R0")
    await one.chores()
    one = world.router()
    assert (await one.turn()).bound == 1
    await world.check()
    assert not await place.pg.fetchval("SELECT count(*) FROM broken_promises WHERE until IS NULL")
    assert not await place.pg.fetchval("SELECT count(*) FROM routing_queue")
    assert not await place.pg.fetchval("SELECT count(*) FROM queue_waits")
    kinds = [row["kind"] for row in await place.pg.fetch("SELECT kind FROM events"
             " WHERE order_id = 'big' ORDER BY xid, id")]  # fmt: skip
    assert "order.promise_kept" in kinds


async def test_the_same_facts_again_leave_an_order_where_it_waits(place):
    world = World(place, 1)
    await world.build(orders=0, limits=False)
    await world.add("late", [(1, "SA", 900)])
    await world.run(routers=1)
    before = await place.pg.fetchrow("SELECT * FROM routing_queue")
    order = facts.unpack(before["facts"])
    again = Row("NEW", order, before["row_version"], due_at=clock.instant(0))

    async def put(row):
        async with world.pool.acquire() as tx, tx.transaction():
            await queue.put(tx, "main", [row])
        return await place.pg.fetchrow("SELECT * FROM routing_queue")

    assert await put(again) == before
    assert (await put(again._replace(row_version="0")))["queue"] == "NEW"


async def test_who_waits_too_long_is_told_once(place):
    world = World(place, 1)
    await world.build(orders=0, limits=False)
    await world.add("late", [(1, "SA", 900)])
    await world.run(routers=1)
    await place.pg.execute("UPDATE routing_queue SET alarm_at = now() - interval '1 s'")
    one = world.router()
    await one.chores()
    await one.chores()
    told = "SELECT count(*) FROM events WHERE kind = 'order.queue_overdue'"
    assert await place.pg.fetchval(told) == 1


async def test_capacity_of_what_is_cancelled_is_given_back_once(place):
    world = World(place, 1)
    await world.build(orders=3, least=30)
    await world.run(routers=1)
    await place.pg.execute("UPDATE shipments SET state = 'cancelled'")
    one = world.router()
    await one.chores()
    await one.chores()
    used = await place.pg.fetch("SELECT used FROM capacity")
    assert used
    assert {row["used"] for row in used} == {0}
