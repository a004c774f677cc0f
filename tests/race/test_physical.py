"""Two writers of one key, one reference, one report, one scope; each guard has a control."""

import asyncio
import random

import pytest

from engine.physical.store import balances
from engine.physical.types.facts import Key
from engine.physical.types.stock import CountLine
from tests.conftest import eventually
from tests.store.physical import conftest as physical
from tests.store.physical.conftest import at
from tests.store.physical.test_fold import expected, history, tell

place = physical.place
KEY = Key("N", "", "A", "good", "")
STOCK = "stock_keys, stock_assignments, stock_reports, stock_references"


async def waits(pg, count=1):
    """Wait until so many of our connections wait for a lock."""

    async def seen():
        return await pg.fetchval(
            "SELECT count(*) >= $1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'", count
        )  # fmt: skip

    await eventually(seen)


async def count_beside_a_movement(place):
    """A count that comes while a movement after it is written and not yet committed."""
    await place.move("receipt", 1, 1)
    async with place.runtime.pool.acquire() as db, asyncio.TaskGroup() as tasks:
        begun = db.transaction()
        await begun.start()
        ids = await balances.key_ids(db, "main", [KEY])
        await balances.lock(db, ids.values())
        move = balances.Move(ids[KEY], 0, 5, 0, at(9), applied=True)
        await balances.move(db, "main", [move])
        told = balances.Told("beside", "receipt", "", "test")
        await balances.record(db, "main", told, [move])
        counted = tasks.create_task(place.count(5, ("A", 100)))
        await waits(place.pg)
        await begun.commit()
        await counted
    return (await place.sums())[0]


async def test_a_count_sees_the_movement_that_it_waited_for(place):
    assert await count_beside_a_movement(place) == 105


async def test_control_without_the_lock_it_is_lost(place, monkeypatch):
    """If this counts 105, too, the test above proves nothing."""
    sql = balances.SQL["lock_balances"]
    monkeypatch.setitem(balances.SQL, "lock_balances", sql.replace("FOR NO KEY UPDATE", ""))
    assert await count_beside_a_movement(place) == 100


async def key_beside_a_complete_count(place):
    """A key that is made while a count of everything is completed, which does not name it."""
    await place.count(1, ("B", 1), owner="")
    async with place.runtime.pool.acquire() as db, asyncio.TaskGroup() as tasks:
        begun = db.transaction()
        await begun.start()
        ids = await balances.key_ids(db, "main", [KEY])
        await balances.lock(db, ids.values())
        move = balances.Move(ids[KEY], 0, 5, 0, at(2), applied=True)
        await balances.move(db, "main", [move])
        told = balances.Told("beside", "receipt", "", "test")
        await balances.record(db, "main", told, [move])
        counted = tasks.create_task(place.count(5, ("B", 1), owner="", complete=True))
        done, _ = await asyncio.wait(
            [counted, waiting := tasks.create_task(waits(place.pg))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        waiting.cancel()
        assert done
        await begun.commit()
        await counted
    return (await place.sums())[0]


async def test_a_key_is_made_before_or_after_a_complete_count_and_never_beside_it(place):
    assert await key_beside_a_complete_count(place) == 0


async def test_control_without_the_scope_it_slips_through(place, monkeypatch):
    """If this is 0, too, the test above proves nothing."""
    sql = balances.SQL["lock_scope"]
    monkeypatch.setitem(balances.SQL, "lock_scope", sql.replace("FOR NO KEY UPDATE", ""))
    sql = balances.SQL["complete_scope"]
    monkeypatch.setitem(balances.SQL, "complete_scope", sql.replace("WHERE", "WHERE false AND"))
    assert await key_beside_a_complete_count(place) == 5


async def test_a_reference_is_recorded_once_however_many_send_it(place):
    answers = await crowd(place.move("receipt", 5, 1, "r") for _ in range(8))
    assert (await place.sums())[0] == 5
    assert len({str(one["lines"][0]["quantity"] if isinstance(one["lines"][0], dict)
                    else one["lines"][0].quantity) for one in answers}) == 1  # fmt: skip
    assert await place.pg.fetchval("SELECT count(*) FROM stock_movements") == 1


async def test_of_pages_that_come_at_once_one_is_the_last(place):
    await place.count(1, ("C", 4))
    told = await crowd(
        place.count(
            5, CountLine("A", n, batch=str(n)), report="r", page=n, pages=6, owner="",
            complete=True,
        )
        for n in range(1, 7)
    )  # fmt: skip
    assert sorted(one["pages_missing"] for one in told) == list(range(6))
    assert sum(one["zeroed"] for one in told) == 1
    assert (await place.sums("C"))[0] == 0


async def test_writers_of_many_keys_in_any_order_do_not_stop_each_other(place):
    """Deadlocks would show as errors; units as a sum that does not fit."""
    skus, work = ["A", "B", "C"], []
    for n in range(24):
        turned = skus[n % 3 :] + skus[: n % 3]
        lines = [CountLine(sku, 100) for sku in turned]
        work.append(place.count(n % 5, *lines, sequence=n, owner="", complete=n % 4 == 0))
        work.append(place.move("receipt", 1, 10, sku=turned[0]))
        work.append(place.assign(f"o{n}", 1, turned[1]))
    await crowd(work)
    for sku in skus:
        on_hand, _, committed, _, sellable = await place.sums(sku)
        assert (on_hand, committed, sellable) == (108, 8, 100)


async def crowd(calls):
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(call) for call in calls]
    return [one.result() for one in made]


def shown(page):
    return [one.reference for _, one in page.rows]


async def settled(place):
    """The list, once nothing else on this server is older than its first row."""
    page = await place.moved(None)
    return page if page.settled else None


async def follow_beside_a_late_commit(place, go_on):
    """Read the list to its end while an older movement is not committed; then what comes next."""
    await place.move("receipt", 1, reference="first")
    async with place.runtime.pool.acquire() as db:
        begun = db.transaction()
        await begun.start()
        ids = await balances.key_ids(db, "main", [KEY])
        told = balances.Told("late", "receipt", "", "test")
        await balances.record(
            db, "main", told, [balances.Move(ids[KEY], 0, 1, 0, at(1), applied=True)]
        )
        await place.move("receipt", 1, reference="early")
        before = await eventually(lambda: settled(place))
        assert shown(before) == ["first", "early"], "whoever looks sees what there is"
        await begun.commit()
    return shown(await place.moved(go_on(before)))


async def test_who_follows_the_list_misses_nothing_that_commits_late(place):
    found = await follow_beside_a_late_commit(place, lambda page: page.settled)
    assert found == ["late", "early"], "what was shown above it comes again"


async def test_control_behind_the_last_one_shown_it_is_missed(place):
    assert await follow_beside_a_late_commit(place, lambda page: page.rows[-1][0]) == []


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_at_once_is_folded_as_the_rule_says(place, seed):
    """Counts, movements, assignments, parcels and cancels of one key, repeated, all at once."""
    dice = random.Random(seed)
    facts = [fact for n in range(3) for fact in renamed(history(dice), n)]
    told = [*facts, *dice.sample(facts, len(facts) // 2)]
    dice.shuffle(told)
    await crowd(tell(place, "A", fact) for fact in told)
    assert await place.sums() == expected(facts)


def renamed(facts, n):
    """Facts of another history, which has other names and other sequences of its counts."""
    for what, one, *rest in facts:
        if what == "count":
            minute, sequence, *more = rest
            yield what, f"{n}.{one}", minute, 10 * n + sequence, *more
        else:
            yield what, f"{n}.{one}", *rest


async def test_control_some_of_it_does_come_at_once(place, monkeypatch):
    """If nothing is lost without the lock of a balance, the test above proves nothing."""
    sql = balances.SQL["lock_balances"]
    monkeypatch.setitem(balances.SQL, "lock_balances", sql.replace("FOR NO KEY UPDATE", ""))
    wrong = 0
    for seed in range(6):
        dice = random.Random(seed)
        await place.pg.execute(f"TRUNCATE {STOCK} CASCADE")
        facts = [fact for n in range(3) for fact in renamed(history(dice), n)]
        await crowd(tell(place, "A", fact) for fact in facts)
        wrong += await place.sums() != expected(facts)
    assert wrong
