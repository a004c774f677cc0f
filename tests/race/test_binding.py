"""Many routers bind decisions at the same nodes: no unit twice, and none waits for ever.

Each control takes one guard away, and must lose.
"""

import asyncio
import random
from collections import Counter

import asyncpg
import pytest

from engine.catalogue import store as catalogue
from engine.catalogue.types import SkuFields
from engine.physical.service import assignments, binding
from engine.physical.store import balances
from engine.physical.types.facts import Assignment, Key
from tests.store.physical import conftest as physical
from tests.store.physical.conftest import at

place = physical.place
ROUTERS, ROUNDS, SKUS, UNITS = 8, 12, 6, 150


def bids_of(rng, router, turn, skus):
    """Decisions as routers make them: 1 to 4 lines each, the same SKU on several at times."""
    return [
        [
            assignments.Wanted(
                Assignment(f"o-{router}-{turn}-{n}", line, "N", 1), "", f"S{rng.randrange(skus)}",
                rng.randint(1, 3),
            )
            for line in range(1, rng.randint(2, 5))
        ]
        for n in range(rng.randint(1, 6))
    ]  # fmt: skip


async def routers(place, seed, skus=SKUS):
    """Let all of them bind until little is left; return what each decision was told it has."""
    rng = random.Random(seed)
    for n in range(skus):
        await catalogue.SKUS.insert(place.pg, "main", f"S{n}", SkuFields("any"), "test")
    await place.count(1, *[(f"S{n}", UNITS) for n in range(skus)])
    won = Counter()
    told = []

    async def router(number, rng):
        for turn in range(ROUNDS):
            bids = bids_of(rng, number, turn, skus)
            async with place.runtime.pool.acquire() as db, db.transaction():
                bound = await binding.bind(db, "main", bids, at(2))
            for bid, has in zip(bids, bound.won, strict=True):
                told.append(has)
                for one in bid if has else ():
                    won[one.sku] += one.units

    async with asyncio.TaskGroup() as tasks:
        for number in range(ROUTERS):
            tasks.create_task(router(number, random.Random(rng.random())))
    rows = await place.pg.fetch(
        "SELECT k.sku, b.committed, b.sellable"
        " FROM stock_balances b JOIN stock_keys k USING (key_id)"
    )
    return won, told, {row["sku"]: (row["committed"], row["sellable"]) for row in rows}


@pytest.mark.parametrize("seed", range(6))
async def test_what_was_won_is_committed_once_and_was_there(place, seed):
    won, told, stands = await routers(place, seed)
    assert stands == {f"S{n}": (won[f"S{n}"], UNITS - won[f"S{n}"]) for n in range(SKUS)}
    assert all(free >= 0 for _, free in stands.values())
    assert set(told) == {True, False}, "some lost: units were scarce"
    assert await place.pg.fetchval("SELECT sum(units) FROM stock_assignments") == sum(won.values())


async def test_control_without_the_lock_and_the_condition_units_are_given_twice(place, monkeypatch):
    monkeypatch.setitem(
        balances.SQL, "lock_free", balances.SQL["lock_free"].replace("FOR NO KEY UPDATE", "")
    )
    monkeypatch.setitem(
        balances.SQL,
        "commit_balances",
        balances.SQL["commit_balances"].replace("AND b.sellable >= w.units", ""),
    )
    _, _, stands = await routers(place, 1, skus=1)  # of several they would meet head on as well
    assert any(free < 0 for _, free in stands.values())


async def test_control_locks_in_the_order_of_lines_meet_head_on(place, monkeypatch):
    """With the condition alone nothing is oversold, but two routers wait for each other."""
    unordered = balances.SQL["commit_balances"]
    monkeypatch.setitem(
        balances.SQL, "lock_free", balances.SQL["lock_free"].replace("FOR NO KEY UPDATE", "")
    )
    assert "sellable >= w.units" in unordered

    async def one_by_one(tx, units):
        for key_id, some in units.items():
            await tx.execute(unordered, [key_id], [some])
            await asyncio.sleep(0)

    monkeypatch.setattr(balances, "commit", one_by_one)
    with pytest.raises(ExceptionGroup) as failed:
        await routers(place, 1)
    assert failed.group_contains(asyncpg.DeadlockDetectedError)


async def test_a_decision_has_all_its_units_or_none(place):
    await place.count(1, ("A", 5), ("B", 1))

    def wanted(order, line, sku, units):
        return assignments.Wanted(Assignment(order, line, "N", 1), "", sku, units)

    bids = [
        [wanted("o1", 1, "A", 4), wanted("o1", 2, "B", 2)],
        [wanted("o2", 1, "A", 3)],
        [wanted("o3", 1, "A", 1), wanted("o3", 2, "A", 2)],
        [wanted("o4", 1, "A", 1), wanted("o4", 2, "B", 1)],
        [wanted("o5", 1, "never", 1)],
    ]
    async with place.runtime.pool.acquire() as db, db.transaction():
        bound = await binding.bind(db, "main", bids, at(2))
    assert bound.won == [False, True, False, True, False]
    assert {key.sku: units for key, units in bound.free.items()} == {"A": 1, "B": 0, "never": 0}
    assert Key("N", "", "A", "good", "") in bound.free


async def test_nobody_is_told_to_plan(place):
    """What may be sold of pools is what it was: the units were sold before they were bound."""
    await place.count(1, ("A", 5))
    await place.pg.execute("DELETE FROM stock_changes")
    bid = [assignments.Wanted(Assignment("o1", 1, "N", 1), "", "A", 4)]
    async with place.runtime.pool.acquire() as db, db.transaction():
        assert (await binding.bind(db, "main", [bid], at(2))).won == [True]
    assert not await place.pg.fetchval("SELECT count(*) FROM stock_changes")
