"""Units may be decided by that were read a while ago; nothing is left to wait because of them."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.kernel.clock import SystemClock
from engine.logical.service import bases
from engine.logical.store.documents import RULES
from engine.logical.types.documents import Match, RuleFields
from engine.routing.service.view import FRESH_S, STOCK_FRESH_S, View
from tests.race.routing import World
from tests.store.physical import conftest as physical

place = physical.place


class Later(SystemClock):
    """A clock whose seconds can be let pass."""

    passed = 0.0

    def monotonic(self):
        return super().monotonic() + self.passed


@pytest.fixture
async def world(place):
    found = World(place, 1)
    found.clock = Later()
    await found.build(orders=0, least=1, most=1, limits=False)
    return found


async def big_order_after_units_came(world, one):
    await world.add("small", [(1, "SA", 1)])
    assert (await one.turn()).bound == 1
    await world.place.count(2, ("SA", 10), node="R0")
    world.clock.passed += 2 * FRESH_S
    await world.add("big", [(1, "SA", 5)])
    assert (await one.turn()).bound == 1
    return await world.pg.fetchval("SELECT count(*) FROM shipments WHERE order_id = 'big'")


async def test_what_came_since_it_was_read_is_seen_before_anything_waits_for_it(world):
    assert await big_order_after_units_came(world, world.router()) == 1
    assert not await world.pg.fetchval("SELECT count(*) FROM routing_queue")
    assert not await world.pg.fetchval("SELECT count(*) FROM broken_promises")


async def test_control_without_a_doubt_it_waits_for_what_is_there(world, monkeypatch):
    one = world.router()
    monkeypatch.setattr(one.view, "doubted", lambda _wishes: set())
    assert await big_order_after_units_came(world, one) == 2
    assert await world.pg.fetchval("SELECT count(*) FROM routing_queue") == 1


async def test_units_are_read_again_when_they_are_old_or_a_rule_may_change_them(world, monkeypatch):
    read, present = [], bases.present

    async def noted(db, tenant, skus, at):
        read.append(sorted(skus))
        return await present(db, tenant, skus, at)

    monkeypatch.setattr(bases, "present", noted)
    view, pg = View("main", world.clock), world.pg

    async def refreshed(seconds, skus):
        world.clock.passed += seconds
        read.clear()
        await view.refresh(pg, skus)
        return [sku for some in read for sku in some]

    assert await refreshed(0, ["SA", "SX"]) == ["SA", "SX"]
    assert await refreshed(FRESH_S + 1, ["SA", "SX"]) == ["SX"], "it was only declared"
    starts = datetime.now(UTC) + timedelta(seconds=3 * FRESH_S)
    rule = RuleFields(kind="safety", match=Match(sku="SA"), units=1, from_=starts)
    await RULES.insert(pg, "main", "later", rule, "test")
    assert await refreshed(FRESH_S, ["SA", "SB"]) == ["SA", "SB"]
    assert await refreshed(2 * FRESH_S, ["SA", "SB"]) == []
    assert await refreshed(FRESH_S, ["SA", "SB"]) == ["SA"], "its rule begins"
    assert await refreshed(STOCK_FRESH_S, ["SB"]) == ["SB"]
