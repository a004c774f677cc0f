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
from engine.physical.service import binding
from engine.physical.store import balances
from engine.physical.types.facts import Asked
from tests.store.physical import conftest as physical
from tests.store.physical.conftest import at

place = physical.place
ROUTERS, ROUNDS, SKUS, UNITS = 8, 12, 6, 150


def bids_of(rng, router, turn, skus, keys):
    """Decisions as routers make them: 1 to 4 lines each, the same SKU on several at times."""
    return [
        asked(
            f"o-{router}-{turn}-{n}",
            [
                (keys[f"S{rng.randrange(skus)}"], rng.randint(1, 3))
                for _ in range(rng.randint(1, 4))
            ],
        )
        for n in range(rng.randint(1, 6))
    ]


def asked(order, lines):
    """One decision; lines are (key_id, units)."""
    told = [(line_no, key_id, units) for line_no, (key_id, units) in enumerate(lines, start=1)]
    return [Asked(order, "N", 1, told)]


async def keys_of(place):
    """Keys by SKU."""
    return dict(await place.pg.fetch("SELECT sku, key_id FROM stock_keys"))


async def routers(place, seed, skus=SKUS):
    """Let all of them bind until little is left; return what each decision was told it has."""
    rng = random.Random(seed)
    for n in range(skus):
        await catalogue.SKUS.insert(place.pg, "main", f"S{n}", SkuFields("any"), "test")
    await place.count(1, *[(f"S{n}", UNITS) for n in range(skus)])
    keys = await keys_of(place)
    won = Counter()
    told = []

    async def router(number, rng):
        for turn in range(ROUNDS):
            bids = bids_of(rng, number, turn, skus, keys)
            async with place.runtime.pool.acquire() as db, db.transaction():
                bound = await binding.bind(db, "main", bids, at(2))
            for bid, has in zip(bids, bound.won, strict=True):
                told.append(has)
                for _, key_id, units in bid[0].lines if has else ():
                    won[key_id] += units

    async with asyncio.TaskGroup() as tasks:
        for number in range(ROUTERS):
            tasks.create_task(router(number, random.Random(rng.random())))
    rows = await place.pg.fetch(
        "SELECT k.sku, b.committed, b.sellable"
        " FROM stock_balances b JOIN stock_keys k USING (key_id)"
    )
    won = {sku: won[key_id] for sku, key_id in keys.items()}
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

    keys = await keys_of(place)
    a, b = keys["A"], keys["B"]
    gone = max(keys.values()) + 1
    bids = [
        asked("o1", [(a, 4), (b, 2)]),
        asked("o2", [(a, 3)]),
        asked("o3", [(a, 1), (a, 2)]),
        asked("o4", [(a, 1), (b, 1)]),
        asked("o5", [(None, 1)]),
        asked("o6", [(gone, 1)]),
    ]
    async with place.runtime.pool.acquire() as db, db.transaction():
        bound = await binding.bind(db, "main", bids, at(2))
    assert bound.won == [False, True, False, True, False, False]
    assert bound.free == {a: 1, b: 0, gone: 0}


async def test_nobody_is_told_to_plan(place):
    """What may be sold of pools is what it was: the units were sold before they were bound."""
    await place.count(1, ("A", 5))
    await place.pg.execute("DELETE FROM stock_changes")
    bid = asked("o1", [((await keys_of(place))["A"], 4)])
    async with place.runtime.pool.acquire() as db, db.transaction():
        assert (await binding.bind(db, "main", [bid], at(2))).won == [True]
    assert not await place.pg.fetchval("SELECT count(*) FROM stock_changes")
