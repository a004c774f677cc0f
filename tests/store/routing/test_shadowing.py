"""Plans that decide beside the active one: what is kept of it, and that routing goes on."""

import random
from operator import add

import pytest
from structlog.testing import capture_logs

from engine.infra.versioned import Match
from engine.kernel import clock
from engine.routing.rules import comparing
from engine.routing.service import plans, reporting, shadowing
from engine.routing.service.current import Shadow
from engine.routing.service.router import Router
from engine.routing.service.shadowing import Shadows
from engine.routing.store import shadowing as store
from engine.routing.store.shadowing import Kept, Name
from engine.routing.types.comparing import Compared, Sent, Side, Sums
from engine.routing.types.core import Scorer, Unfilled
from tests.race.routing import Trucks, World, a_plan
from tests.store.physical import conftest as physical
from tests.store.routing.planning import fields_of
from tests.unit.routing.world import NOW, plan, rule

place = physical.place
WORDS = "what a buyer wrote"


class Plans:
    """Plans that are in use without a document."""

    def __init__(self, *shadows):
        self.current = list(shadows)

    @property
    def shadowed(self):
        return bool(self.current)

    async def shadows(self, _db, _tenant):
        return self.current


def named(name, one, version=1):
    return one._replace(plan=name, version=version)


def whole():
    """One parcel or none at all."""
    one = rule("SINGLE_NODE", Scorer("freight"), on_unfilled=Unfilled("PARK", "MANUAL", "apart"))
    return named("whole", plan(one))


def broken():
    def judge(_facts):
        raise ZeroDivisionError(WORDS)

    return named("broken", a_plan()._replace(judge=judge))


class Beside:
    """A router that shadows decide beside."""

    def __init__(self, world, *shadows):
        self.world, self.plans = world, Plans(*shadows)
        place = world.place
        self.shadows = Shadows(place.runtime.pool, "main", place.runtime.clock, self.plans)
        self.active = a_plan()

        async def active(_db, _tenant):
            return self.active

        self.router = Router(
            place.runtime.pool, "main", place.runtime.clock, active, batch=8,
            carriage=Trucks(world.today), shadows=self.shadows,
        )  # fmt: skip

    async def run(self):
        while (await self.router.turn()).any:
            pass

    async def rows(self, name="whole"):
        return await self.world.pg.fetch(
            "SELECT * FROM shadow_decisions WHERE plan = $1 ORDER BY order_id", name
        )

    async def omitted(self, name):
        row = await self.world.pg.fetchrow(
            "SELECT skipped, failed, reason FROM shadow_omissions WHERE plan = $1", name
        )
        return tuple(row) if row else None


@pytest.fixture
async def world(place, monkeypatch):
    monkeypatch.setattr(shadowing, "_CREDIT_MAX_S", 10.0)  # no matter how slow this machine is
    one = World(place, 5)
    await one.build(orders=30, least=2, most=10, limits=False)
    return one


async def test_it_decides_the_same_orders_of_the_same_snapshot_and_binds_nothing(world):
    beside = Beside(world, Shadow(whole(), 1_000))
    await beside.shadows.tend()
    await beside.run()
    assert await beside.rows() == [], "nothing is written while orders are routed"
    await beside.shadows.tend()
    rows = await beside.rows()
    assert {row["order_id"] for row in rows} == world.asked.keys()
    assert {row["active_plan"] for row in rows} == {"test"}
    assert {row["same"] for row in rows} == {True, False}
    for row in rows:
        decided, tried = row["parcels"]
        sent = await world.pg.fetchval(
            "SELECT count(*) FROM shipments WHERE order_id = $1", row["order_id"]
        )
        assert decided == sent
        assert tried <= 1
        units = sum(world.asked[row["order_id"]].values())
        assert row["unplaced"][1] in {0, units}
    assert await beside.omitted("whole") is None
    shipped, _ = await world.check()
    assert shipped


async def test_what_was_compared_long_ago_is_forgotten(world):
    beside = Beside(world, Shadow(whole(), 1_000))
    await beside.shadows.tend()
    await beside.run()
    await beside.shadows.tend()
    count = len(await beside.rows())
    await beside.router.chores()
    assert len(await beside.rows()) == count > 1
    await world.pg.execute(
        "UPDATE shadow_decisions SET at = at - interval '31 days' WHERE order_id = 'o1'"
    )
    await beside.router.chores()
    assert len(await beside.rows()) == count - 1


async def test_the_same_plan_beside_itself_is_always_the_same(world):
    beside = Beside(world, Shadow(named("twin", a_plan()), 1_000))
    await beside.shadows.tend()
    await beside.run()
    await beside.shadows.tend()
    rows = await beside.rows("twin")
    assert len(rows) == len(world.asked)
    assert all(row["same"] for row in rows)


async def test_a_share_is_of_the_same_orders_for_every_plan_and_none_is_none(world):
    shares = [Shadow(named(name, a_plan()), share)
              for name, share in (("half", 500), ("too", 500), ("none", 0))]  # fmt: skip
    beside = Beside(world, *shares)
    await beside.shadows.tend()
    await beside.run()
    await beside.shadows.tend()
    half, too = [[row["order_id"] for row in await beside.rows(name)] for name in ("half", "too")]
    assert half == too
    assert 0 < len(half) < len(world.asked)
    assert await beside.rows("none") == []
    assert await beside.omitted("none") is None, "they are none of its share"


async def test_one_that_raises_is_told_once_counted_and_disturbs_nobody(world):
    beside = Beside(world, Shadow(broken(), 1_000), Shadow(whole(), 1_000))
    await beside.shadows.tend()
    with capture_logs() as logs:
        await beside.run()
    await beside.shadows.tend()
    told = [one for one in logs if one["event"] == "shadow_plan_failed"]
    assert [(one["plan"], one["version"], one["error"]) for one in told] == [
        ("broken", 1, "ZeroDivisionError")
    ]
    assert WORDS not in str(told)
    assert await beside.rows("broken") == []
    assert await beside.omitted("broken") == (0, len(world.asked), "ZeroDivisionError")
    assert len(await beside.rows("whole")) == len(world.asked)
    shipped, waiting = await world.check()
    assert shipped + waiting == sum(sum(lines.values()) for lines in world.asked.values())


async def test_what_there_is_no_time_for_is_left_out_and_counted(world, monkeypatch):
    monkeypatch.setattr(shadowing, "_CREDIT_MAX_S", 0.0)
    beside = Beside(world, Shadow(whole(), 1_000))
    await beside.shadows.tend()
    await beside.run()
    await beside.shadows.tend()
    assert await beside.rows() == []
    assert await beside.omitted("whole") == (len(world.asked), 0, "")


async def test_one_that_became_active_is_not_compared_with_itself(world):
    beside = Beside(world, Shadow(whole(), 1_000))
    await beside.shadows.tend()
    beside.active = beside.plans.current[0].plan
    await beside.run()
    await beside.shadows.tend()
    assert await beside.rows() == []
    assert await beside.omitted("whole") is None


async def test_what_could_not_be_written_is_written_later(world, monkeypatch):
    beside = Beside(world, Shadow(whole(), 1_000), Shadow(broken(), 1_000))
    await beside.shadows.tend()
    await beside.run()

    async def away(*_):
        raise OSError("away")

    with monkeypatch.context() as gone:
        gone.setattr(shadowing.store, "keep", away)
        with pytest.raises(OSError, match="away"):
            await beside.shadows.tend()
    with monkeypatch.context() as gone:
        gone.setattr(shadowing.store, "omit", away)
        with pytest.raises(OSError, match="away"):
            await beside.shadows.tend()
    await beside.shadows.tend()
    assert len(await beside.rows()) == len(world.asked)
    assert (await beside.omitted("broken"))[1] == len(world.asked)
    await beside.shadows.tend()
    assert (await beside.omitted("broken"))[1] == len(world.asked), "each is told once"


async def test_more_than_can_be_kept_is_left_out(world, monkeypatch):
    monkeypatch.setattr(shadowing, "_KEPT_MAX", 5)
    beside = Beside(world, Shadow(whole(), 1_000))
    await beside.shadows.tend()
    await beside.run()
    await beside.shadows.tend()
    assert len(await beside.rows()) == 5
    assert await beside.omitted("whole") == (len(world.asked) - 5, 0, "")


async def test_the_report_adds_up_what_rows_say(world):
    runtime = world.place.runtime
    await plans.put(runtime, "main", "whole", fields_of("whole"), Match(), "test")
    empty = await reporting.report(runtime, "main", "whole", 1)
    assert (empty.total.orders, empty.since, empty.largest) == (0, None, [])
    beside = Beside(world, Shadow(whole(), 1_000))
    await beside.shadows.tend()
    await beside.run()
    await beside.shadows.tend()
    rows = await beside.rows()
    found = await reporting.report(runtime, "main", "whole", 1)
    total = found.total
    both = [row for row in rows if not any(row["unplaced"])]
    assert total.orders == len(rows)
    assert total.same == sum(row["same"] for row in rows) < total.orders
    assert total.comparable == len(both) > 0
    assert total.placed.tried == sum(not row["unplaced"][1] for row in rows)
    assert total.parcels.decided == sum(row["parcels"][0] for row in both)
    assert total.freight["CNY"].decided == sum(row["freight"][0] for row in both)
    (against,) = found.against
    assert (against.plan, against.comparison) == ("test", total)
    assert sum(one.comparison.orders for one in found.rules) == total.orders
    assert [one.region for one in found.regions] == ["31"]
    assert {one.order_id for one in found.largest} <= {
        row["order_id"] for row in rows if not row["same"]
    }
    moved = [abs(one.tried.unplaced - one.decided.unplaced) for one in found.largest]
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > 0
    assert (found.since, found.skipped, found.failed) <= (found.until, 0, 0)


def a_side(rng):
    parcels = tuple(sorted(
        Sent(rng.choice("NM"), rng.choice(("", "sf")), ((1, rng.randint(1, 3)),))
        for _ in range(rng.randint(0, 2))
    ))  # fmt: skip
    return Side(
        rng.randint(1, 2), rng.randint(1, 2), rng.choice(("", "MANUAL")), parcels,
        rng.randint(0, 9) * 100, rng.choice((0, NOW, NOW + 7_000, NOW + 3_600_000)),
        rng.random() < 0.3, rng.choice((0, 0, 0, 1, 4)),
    )  # fmt: skip


async def test_what_postgres_adds_up_is_what_the_rule_says(place):
    rng, tried, groups = random.Random(3), Name("north", 1), {}
    rows = []
    for n in range(300):
        one = Compared(
            f"o{n}", NOW + n, rng.choice(("", "33")), rng.choice(("CNY", "HKD")), a_side(rng),
            a_side(rng),
        )  # fmt: skip
        decided = Name("near", rng.randint(1, 2))
        rows.append(Kept(tried, decided, comparing.same(one.decided, one.tried), one))
        of = comparing.group(one, *decided)
        groups[of] = Sums(*map(add, groups.get(of, Sums()), comparing.sums(one)))
    pool = place.runtime.pool
    await store.keep(pool, "main", rows)
    assert dict(await store.groups(pool, "main", tried, 300)) == groups
    differ = [one.order for one in rows if not one.same]
    differ.sort(key=lambda one: one.order_id)
    differ.sort(key=comparing.size, reverse=True)
    largest = await store.largest(pool, "main", tried, 300, 20)
    assert [comparing.size(one) for one in largest] == [comparing.size(one) for one in differ[:20]]
    known = {one.order_id: one for one in differ}
    assert all(known[one.order_id] == one for one in largest), "it comes back as it was"
    last = await store.groups(pool, "main", tried, 10)
    assert sum(one.orders for _, one in last) == 10
    since, until = await store.span(pool, "main", tried, 10)
    assert (clock.to_ms(since), clock.to_ms(until)) == (NOW + 290, NOW + 299)
    assert await store.groups(pool, "other", tried, 300) == []
    older = [rows[0]._replace(order=rows[0].order._replace(at_ms=NOW - 1, region="99"))]
    await store.keep(pool, "main", older)
    assert dict(await store.groups(pool, "main", tried, 300)) == groups, "the last one counts"
    assert await store.forget(pool, clock.instant(NOW + 100), 60) == 60
    assert await store.forget(pool, clock.instant(NOW + 100), 60) == 40
    assert await store.forget(pool, clock.instant(NOW + 100), 60) == 0
