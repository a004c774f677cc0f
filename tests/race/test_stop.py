"""Whoever asks for a stop gets one answer, and nothing leaves after `stopped`; with controls."""

import asyncio
import contextlib

import asyncpg
import pytest

from engine.shipments import service, store
from engine.shipments.rules import calls
from engine.shipments.service import sending
from engine.shipments.types.shipments import Told
from engine.shipments.types.stops import Ask
from tests.race.stopping import BLOCKED, LINES, ORDER, Call, NoEnd, Race, calling
from tests.race.test_physical import waits

CI, LONG = 300, 10_000
TOTALS = """
SELECT coalesce(sum(committed), 0) AS committed, coalesce(sum(handed_over), 0) AS handed_over,
  coalesce(sum(shipped), 0) AS shipped
FROM stock_balances JOIN stock_keys USING (key_id) WHERE sku = any($1::text[])
"""
HELD = "SELECT EXISTS (SELECT FROM shipments WHERE order_id = $1 AND state = 'planned')"


@pytest.fixture
async def db(database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET synchronous_commit = off")
    yield connection
    await connection.close()


def left_after_stop(race):
    """Parcels with stopped lines that left after it was said, by the house's own books."""
    wrong = []
    for stop_id, answers in race.answers.items():
        for answer, step in answers:
            if answer == "stopped":
                lines = set(race.asked[stop_id])
                wrong += [
                    (stop_id, one.code)
                    for one in race.house.books.values()
                    if lines & set(one.lines) and any(at > step for at in one.left_at)
                ]
    return wrong


async def check(db, race):
    where = f"seed {race.seed}"
    assert left_after_stop(race) == [], where
    for stop_id in race.asked:
        assert len(race.answers.get(stop_id, [])) == 1, f"{where}: {stop_id} {race.answers}"
    told = await db.fetch(
        "SELECT data ->> 'stop_id' AS stop_id, data ->> 'answer' AS answer FROM events"
        " WHERE order_id = $1 AND kind = 'order.stop_answered'", race.order_id
    )  # fmt: skip
    assert sorted(row["stop_id"] for row in told) == sorted(race.asked), where
    for row in told:
        assert race.answers[row["stop_id"]][0][0] == row["answer"], where
    rows = await db.fetch("SELECT * FROM shipments WHERE order_id = $1", race.order_id)
    states = {row["shipment_id"]: row["state"] for row in rows}
    for code, one in race.house.books.items():
        ended = {"shipped": "shipped", "cancelled": "cancelled", "rejected": "rejected"}
        assert states[code] == ended[one.stage], f"{where}: {code} {states} {one}"
    units = await db.fetchrow(TOTALS, list(race.skus.values()))
    left = sum(sum(one.left.values()) for one in race.house.books.values())
    waiting = sum(sum(race.codes[code].values()) for code in states if states[code] == "planned")
    assert (units["shipped"], units["handed_over"], units["committed"]) == (left, 0, waiting), where


async def race_all(db, seeds, **how):
    counts = {}
    for seed in seeds:
        race = await Race(db, seed, **how).run()
        await check(db, race)
        held = await db.fetchval(HELD, race.order_id) and await db.fetchval(BLOCKED, race.order_id)
        counts["held"] = counts.get("held", 0) + held
        for answers in race.answers.values():
            for answer, _ in answers:
                counts[answer] = counts.get(answer, 0) + 1
    return counts


async def test_every_stop_has_one_answer_and_nothing_leaves_after_stopped(db):
    counts = await race_all(db, range(CI))
    assert counts["stopped"] > CI / 10, "they must be raced for, both ways"
    assert counts["not_stopped"] > CI / 10
    assert counts["held"], "some were planned beside a block, and the shipper alone held them"
    assert await service.shipped_after_stop(db) == 0


FOUND = (431,)  # a cancel without an answer, when its stop had one


async def test_what_races_found_before(db):
    await race_all(db, FOUND)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_ten_thousand_of_them(db):
    counts = await race_all(db, range(CI, CI + LONG))
    assert counts["stopped"] + counts["not_stopped"] >= LONG
    assert await service.shipped_after_stop(db) == 0


async def first_loss(db, seeds, **how):
    """Return the first run in which a parcel left after `stopped` was said, None when none did."""
    for seed in seeds:
        with contextlib.suppress(NoEnd):
            race = await Race(db, seed, **how).run()
            if left_after_stop(race):
                return seed
    return None


async def taking_no_such_order_for_stopped(race, code):
    """A shipper that cancels at once what is to be stopped, and believes that it is not there."""
    while True:
        async with race.db.transaction():
            begun = await service.begin(race.db, code, race.now())
            open_ = await store.has_open_stop(race.db, race.order_id)
        yield begun.call is not None
        if begun.call is None:
            continue
        call = Call("cancel" if open_ else begun.call, code, race.codes[code])
        async for _ in calling(race, call):
            yield True
        reply = call.reply or "unknown"
        kind = "cancelled" if reply == "no_such_order" else calls.said(call.verb, reply)
        async with race.db.transaction():
            if kind is None:
                await service.outcome_unknown(race.db, code, race.now())
            else:
                told = Told(kind, f"reply{race.step}", race.now(), reply=True)
                outcome = await service.report_consignment(race.db, code, told, race.now())
                race.note(outcome.answered)
        yield True


async def test_control_no_such_order_is_not_stopped(db):
    how = {"shipper": taking_no_such_order_for_stopped}
    assert await first_loss(db, range(CI), **how) is not None


async def test_control_a_block_is_looked_at_under_the_lock(db, monkeypatch):
    """A shipper that looked before its transaction sends what was planned beside the block."""

    async def looked_before(*_):
        return ""

    monkeypatch.setattr(sending, "_held", looked_before)
    assert await first_loss(db, range(CI)) is not None


async def test_control_a_house_that_lies_is_found_out(db):
    assert await first_loss(db, range(CI), lies=True, no_return="shipped") is not None
    assert await service.shipped_after_stop(db) > 0


@pytest.fixture
async def other(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def beside(first, second, db, pg):
    """Run `second` while `first` is not committed; return what both came to."""
    async with asyncio.TaskGroup() as tasks:
        begun = db.transaction()
        await begun.start()
        found = await first(db)
        task = tasks.create_task(second())
        await waits(pg)  # they meet at the order's row
        await begun.commit()
    return found, task.result()


@pytest.mark.parametrize("stop_first", [True, False])
async def test_a_stop_and_a_shipper_at_once_are_one_after_the_other(db, other, pg, stop_first):
    race = Race(db, 0)
    await db.execute(ORDER, race.order_id)
    await race.plan(LINES)
    (code,) = race.codes
    wanted = Ask("main", race.order_id, "cancel", "c", (), "asker", {})

    async def stop(tx):
        return (await service.ask(tx, wanted, race.now())).stop.answer

    async def ship(tx):
        begun = await service.begin(tx, code, race.now())
        return begun.call or begun.why

    async def on_other(verb):
        async with other.transaction():
            return await verb(other)

    if stop_first:
        answer, called = await beside(stop, lambda: on_other(ship), db, pg)
        assert (answer, called) == ("stopped", "gone")
    else:
        called, answer = await beside(ship, lambda: on_other(stop), db, pg)
        assert (called, answer) == ("create", "")
