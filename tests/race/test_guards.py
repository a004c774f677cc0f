"""What guards a bind where goods without a batch are not all there is, or not all free."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from engine.catalogue import store as catalogue
from engine.catalogue.types import SkuFields
from engine.logical.store.documents import RULES
from engine.logical.types.documents import Match, RuleFields
from engine.physical.store import balances
from engine.physical.store.nodes import NODES
from engine.physical.types.nodes import NodeFields
from engine.physical.types.stock import CountLine
from engine.routing.service import waiting
from engine.routing.service.waiting import Again
from engine.routing.store import view
from tests.race.routing import World
from tests.store.physical import conftest as physical

place = physical.place
SOON = datetime.now(UTC).date() + timedelta(days=2)


class Batches(World):
    """SKU SK at one node: 4 in a batch, 5 in another one, 2 broken; none without a batch."""

    async def build(self, *, loose=0):
        await super().build(orders=0, least=0, most=0, limits=False)
        await catalogue.SKUS.insert(self.pg, "main", "SK", SkuFields("any"), "test")
        lines = [
            CountLine("SK", 4, batch="B1", expires_on=SOON),
            CountLine("SK", 5, batch="B2"),
            CountLine("SK", 2, condition="defective"),
        ]
        if loose:
            lines.append(CountLine("SK", loose))
        await self.place.count(5, *lines, node="R0")

    async def rule(self, name, **fields):
        rule = RuleFields(match=Match(sku="SK"), **fields)
        await RULES.insert(self.pg, "main", name, rule, "test")

    async def sellable(self):
        """By batch, of the good ones."""
        rows = await self.pg.fetch(
            "SELECT k.batch, b.sellable, b.committed FROM stock_keys k JOIN stock_balances b"
            " USING (key_id) WHERE sku = 'SK' AND node = 'R0' AND condition = 'good'"
        )
        return {row["batch"]: (row["sellable"], row["committed"]) for row in rows}

    async def bound(self):
        return await self.pg.fetchval("SELECT coalesce(sum(units), 0) FROM stock_assignments")

    async def waits(self):
        return {
            row["order_id"]: row["queue"]
            for row in await self.pg.fetch("SELECT order_id, queue FROM routing_queue")
        }


@pytest.fixture
def world(place):
    return Batches(place, 1)


async def test_units_of_batches_are_bound_and_no_more_than_there_are(world):
    await world.build()
    for n in range(6):
        await world.add(f"o{n}", [(1, "SK", 2)])
    await world.run(routers=4)
    assert await world.bound() == 9
    assert await world.sellable() == {"": (-9, 9), "B1": (4, 0), "B2": (5, 0)}
    assert sorted((await world.waits()).values()) == ["UNFILLABLE"] * 2


async def test_control_with_the_key_alone_none_of_them_is_bound(world, monkeypatch):
    """It was so before: a node that keeps all of it in batches could send nothing."""
    await world.build()
    await world.add("o0", [(1, "SK", 2)])

    async def nothing(_tx, _tenant, _keys):
        return set()

    monkeypatch.setattr(balances, "kept_otherwise", nothing)
    turn = await world.router().turn()
    assert (turn.bound, turn.parked, turn.rebinds) == (0, 1, 1)
    assert await world.bound() == 0


async def test_what_is_held_back_or_past_its_window_is_not_bound(world):
    await world.build()
    await world.rule("h", kind="quality_hold", units=3)
    await world.rule("e", kind="expiry", days=5)
    for n in range(5):
        await world.add(f"o{n}", [(1, "SK", 1)])
    await world.run(routers=3)
    # 4 expire too soon, and of the 5 others 3 are held back
    assert await world.bound() == 2
    assert len(await world.waits()) == 3


async def test_a_hold_on_goods_without_a_batch_guards_them_too(world):
    await world.build(loose=6)
    await world.rule("h", kind="quality_hold", units=13)
    for n in range(4):
        await world.add(f"o{n}", [(1, "SK", 1)])
    await world.run(routers=4)
    assert await world.bound() == 2


async def test_many_routers_do_not_bind_batches_twice(world):
    await world.build(loose=3)
    for n in range(40):
        await world.add(f"o{n}", [(1, "SK", 1)])
    await world.run(routers=8)
    assert await world.bound() == 12
    assert len(await world.waits()) == 28


async def test_control_without_the_locks_of_all_its_keys_they_do(world, monkeypatch):
    await world.build(loose=3)

    async def few(_tx, _ids):
        return set()

    # the key without a batch is not locked either: whoever comes second sees what was free before
    monkeypatch.setattr(balances, "same_goods", few)
    lock = balances.SQL["lock_free"].replace("FOR NO KEY UPDATE", "")
    monkeypatch.setitem(balances.SQL, "lock_free", lock)
    for n in range(60):
        await world.add(f"o{n}", [(1, "SK", 1)])
    await world.run(routers=8)
    assert await world.bound() > 12


async def test_a_rule_that_came_after_it_was_decided_is_looked_at(world):
    """And its control: without the comparison what is held back since then is bound."""
    await world.build(loose=3)
    await world.add("o0", [(1, "SK", 1)])
    one = world.router()
    assert (await one.turn()).bound == 1
    await world.rule("h", kind="quality_hold")
    await world.add("o1", [(1, "SK", 1)])
    turn = await one.turn()
    assert (turn.bound, turn.parked, turn.rebinds) == (0, 1, 1)


async def test_who_lost_goes_with_the_next_batch_if_there_is_one(world):
    await world.build(loose=3)
    one = world.router(batch=2)
    await world.add("o0", [(1, "SK", 1)])
    assert (await one.turn()).bound == 1
    await world.rule("h", kind="quality_hold")
    for n in (1, 2, 3):
        await world.add(f"o{n}", [(1, "SK", 1)])
    turn = await one.turn()
    assert (turn.rebinds, turn.again, turn.parked, turn.any) == (2, 2, 0, True)
    assert await world.pg.fetchval("SELECT count(*) FROM routing_queue WHERE token <> 0") == 2
    turn = await one.turn()
    assert (turn.rebinds, turn.again, turn.parked) == (0, 0, 3)
    assert (await world.waits()) == dict.fromkeys(("o1", "o2", "o3"), "UNFILLABLE")


async def test_who_lost_and_was_tried_again_by_a_person_meanwhile_is_decided_once(world):
    await world.build(loose=3)
    one = world.router(batch=2)
    await world.add("o0", [(1, "SK", 1)])
    assert (await one.turn()).bound == 1
    await world.rule("h", kind="quality_hold")
    for n in (1, 2):
        await world.add(f"o{n}", [(1, "SK", 1)])
    assert (await one.turn()).again == 2
    await waiting.retry(world.place.runtime, "main", Again("o1", "", "", "k"))
    with capture_logs() as told:
        turn = await one.turn()
    assert not [entry["event"] for entry in told if entry["log_level"] == "error"]
    assert turn.parked == 2
    assert (await world.waits()) == dict.fromkeys(("o1", "o2"), "UNFILLABLE")


async def test_control_without_the_comparison_a_disabled_node_sends(world, monkeypatch):
    await world.build()
    await world.place.count(6, ("SA", 9), node="R0")
    await world.add("o0", [(1, "SA", 1)])
    one = world.router()
    assert (await one.turn()).bound == 1

    async def same(_db, _tenant):
        return (0, 0, 0)

    off = NodeFields("R0", group="cn", enabled=False)
    kept = await NODES.get(world.pg, "main", "R0")
    await NODES.update(world.pg, "main", kept, off, "test")
    await world.add("o1", [(1, "SA", 1)])
    made = one.view.made
    monkeypatch.setattr(view, "inputs", same)
    monkeypatch.setattr(one.view, "made", lambda *a: made(*a)._replace(inputs=(0, 0, 0)))
    assert (await one.turn()).bound == 1, "for some seconds it is seen as it was"
    monkeypatch.undo()
    await world.add("o2", [(1, "SA", 1)])
    assert (await one.turn()).bound == 0


async def test_a_rule_that_is_taken_back_wakes_who_waits(world):
    await world.build(loose=3)
    await world.rule("h", kind="quality_hold")
    await world.add("o0", [(1, "SK", 1)])
    one = world.router()
    assert (await one.turn()).parked == 1
    await world.pg.execute("UPDATE routing_queue SET tried_at = clock_timestamp()")  # of stock
    await one.chores()
    assert not (await one.turn()).any
    kept = await RULES.get(world.pg, "main", "h")
    lifted = RuleFields(kind="quality_hold", match=Match(sku="SK"), enabled=False)
    await RULES.update(world.pg, "main", kept, lifted, "test")
    await one.chores()
    assert (await one.turn()).bound == 1
