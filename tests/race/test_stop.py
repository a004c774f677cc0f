"""Whoever asks for a stop gets one answer, and nothing leaves after `stopped`; with controls."""

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from itertools import product
from urllib.parse import urlsplit

import asyncpg
import pytest

from engine.kernel.errors import InConflict
from engine.shipments import service, store
from engine.shipments.rules import calls
from engine.shipments.service import sending, stopping
from engine.shipments.types.stops import Ask
from tests.race.asking import CAUSES, not_once
from tests.race.stopping import (
    BLOCKED,
    LINES,
    ORDER,
    Call,
    NoEnd,
    Race,
    calling,
    reply,
)
from tests.race.test_physical import waits

CI, FEWER, LONG, PARTS = 300, 160, 10_000, 4
TOTALS = """
SELECT coalesce(sum(committed), 0) AS committed, coalesce(sum(handed_over), 0) AS handed_over,
  coalesce(sum(shipped), 0) AS shipped
FROM stock_balances JOIN stock_keys USING (key_id) WHERE sku = any($1::text[])
"""
TWICE = """
SELECT count(*) FROM stops
WHERE order_id = $1 AND cause_id LIKE 'confirmed_late:%' AND answer NOT IN ('', 'stopped')
"""
HELD = "SELECT EXISTS (SELECT FROM shipments WHERE order_id = $1 AND state = 'planned')"


@pytest.fixture
async def db(database_url):
    """A connection by the socket of its directory: a race is hundreds of small statements."""
    first = await asyncpg.connect(database_url)
    (sockets,) = await first.fetchrow("SHOW unix_socket_directories")
    await first.close()
    where = {"host": sockets, "port": urlsplit(database_url).port} if sockets else {}
    connection = await asyncpg.connect(database_url, **where, statement_cache_size=500)
    await connection.execute("SET synchronous_commit = off")
    # plans are kept from when the tables were empty
    await connection.execute("SET enable_seqscan = off")
    yield connection
    await connection.close()


@dataclass
class Wrong:
    """What a run shows that may never be."""

    left: list  # parcels that left after it was said that they do not
    address: list  # parcels that left for an address that was changed by then
    answers: list  # wishes without exactly one answer
    units: list  # lines of which more left than was not cancelled


async def wrong(db, race):
    rows = await db.fetch("SELECT * FROM stops WHERE order_id = $1", race.order_id)
    blocked = {one.name for one in race.requests if one.state == "requested"}
    stops = {row["stop_id"]: row for row in rows}
    left = []
    for stop_id, answers in race.answers.items():
        row = stops[stop_id]
        lines = {n for n, _ in json.loads(row["lines"])} or set(LINES)
        holds = row["cause"] in {"manual", "refund"} and row["cause_id"] in blocked
        for answer, step in answers:
            if answer == "stopped":
                left += [
                    (stop_id, one.code)
                    for one in race.house.books.values()
                    if any(at > step for at in one.left_at)
                    and (one.code in row["shipments"] or (holds and lines & set(one.lines)))
                ]
    return Wrong(left, await _elsewhere(db, race), await not_once(db, race), await _over(db, race))


async def _elsewhere(db, race):
    """Parcels for a former address that left after the change was said to hold."""
    rows = await db.fetch("SELECT * FROM order_addresses WHERE order_id = $1", race.order_id)
    held = {row["change_id"]: row["revision"] for row in rows if row["state"] == "applied"}
    since = {
        one.name: one.granted for one in race.requests if one.cause == "address" and one.granted
    } | {
        stop_id.rsplit(":", 1)[1]: answers[0][1]
        for stop_id, answers in race.answers.items()
        if ":address:" in stop_id and answers[0][0] == "stopped"
    }
    return [
        (name, one.code)
        for name, step in since.items()
        for one in race.house.books.values()
        if one.address < held[name] and any(at > step for at in one.left_at)
    ]


async def _over(db, race):
    """Lines of which too many left, where nobody was told that some left twice."""
    if await db.fetchval(TWICE, race.order_id):
        return []
    rows = await db.fetch("SELECT * FROM order_lines WHERE order_id = $1", race.order_id)
    gone = dict.fromkeys(LINES, 0)
    for one in race.house.books.values():
        for n, units in one.left.items():
            gone[n] += units
    return [row["line_no"] for row in rows if gone[row["line_no"]] > row["open_quantity"]]


async def check(db, race):
    where = f"seed {race.seed}"
    assert await wrong(db, race) == Wrong([], [], [], []), where
    rows = await db.fetch("SELECT * FROM shipments WHERE order_id = $1", race.order_id)
    states = {row["shipment_id"]: row["state"] for row in rows}
    for code, one in race.house.books.items():
        ended = {"shipped": "shipped", "cancelled": "cancelled", "rejected": "rejected"}
        assert states[code] == ended[one.stage], f"{where}: {code} {states} {one}"
    units = await db.fetchrow(TOTALS, list(race.skus.values()))
    left = sum(sum(one.left.values()) for one in race.house.books.values())
    waiting = sum(sum(race.codes[code].values()) for code in states if states[code] == "planned")
    assert (units["shipped"], units["handed_over"], units["committed"]) == (left, 0, waiting), where


def met(race):
    """What the house did, or what was lost, between a wish and its answer: (cause, what)."""
    found = set()
    for stop_id, answers in race.answers.items():
        asked, (_, answered) = race.asked_at[stop_id], answers[0]
        cause = stop_id.split(":")[1]
        found |= {(cause, what) for what, step in race.house.done if asked < step <= answered}
    return found


async def race_all(db, seeds, **how):
    """Run seeds, checking each; return how often what was answered, and what met what."""
    counts = Counter()
    for seed in seeds:
        race = await Race(db, seed, **how).run()
        await check(db, race)
        held = await db.fetchval(HELD, race.order_id) and await db.fetchval(BLOCKED, race.order_id)
        counts["held"] += bool(held)
        counts["wishes"] += len(race.requests)
        counts["refused at once"] += sum(
            one.refused and one.granted is None and not race.stop_of(one) for one in race.requests
        )
        counts.update(answer for answers in race.answers.values() for answer, _ in answers)
        counts.update(met(race))
        counts["twice"] += await db.fetchval(TWICE, race.order_id)
        counts["recalled"] += sum(":manual:confirmed_late:" in name for name in race.asked_at)
        counts["races"] += 1
        if counts["races"] % 250 == 0:
            print(counts["races"], summary(counts), flush=True)  # noqa: T201 - for who waits
    return counts


def summary(counts):
    named = {name: n for name, n in counts.items() if isinstance(name, str)}
    pairs = {f"{cause} x {what}": counts[cause, what] for cause in CAUSES for what in MEETS}
    return named | pairs


MEETS = ("accepted", "picked", "packed", "waybill", "partly_shipped", "shipped", "cancel_failed",
         "lost_callback")  # fmt: skip


def all_met(counts):
    assert counts["stopped"] > counts["races"] / 10, "they must be raced for, every way"
    assert counts["not_stopped"] > counts["races"] / 10
    assert counts["intercept_requested"] > counts["races"] / 100
    assert counts["held"], "some were planned beside a block, and the shipper alone held them"
    assert [one for one in product(CAUSES, MEETS) if not counts[one]] == []


async def test_every_stop_has_one_answer_and_nothing_leaves_after_stopped(db):
    all_met(await race_all(db, range(CI)))
    assert await service.shipped_after_stop(db) == 0


async def test_what_lacks_and_is_sent_again_leaves_once_or_is_told_of(db):
    """Confirms of parts are lost, and come when what lacks was given to another shipment."""
    counts = await race_all(db, range(FEWER), settles=True)
    assert counts["recalled"] > counts["twice"] > 0, "both ways must be raced for"
    assert await service.shipped_after_stop(db) == 0
    assert 0 < await service.shipped_twice(db) <= counts["twice"]


async def test_control_what_lacks_is_sent_again_and_nobody_recalls_it(db, monkeypatch):
    async def nobody(*_):
        """Nothing is asked for."""

    monkeypatch.setattr(service, "recall", nobody)
    assert await first_loss(db, range(CI), "units", settles=True) is not None


def rejecting(*, has_system):
    """Somebody who says that the house will not send it; `has_system`: its word is waited for."""

    async def rejecter(race):
        race.by_hand = {}
        for _ in range(race.dice.choice((1, 2, 3))):
            for _ in range(race.dice.randrange(race.dice.choice((2, 10, 25)))):
                yield True
            code = race.dice.choice(sorted(race.codes))
            said = service.ByHand(code, code, race.dice.choice(("busy", "damaged")), "", "k")
            answered = ()
            with contextlib.suppress(InConflict):
                async with race.db.transaction():
                    done = await service.reject(race.db, said, race.now(), has_system=has_system)
                    race.by_hand[code] = done.state
                    answered = done.outcome.answered if done.outcome else ()
                    await race.act(answered)
            await race.noted(answered)
            yield True

    return rejecter


async def test_what_a_person_rejects_meanwhile_does_not_leave_after_stopped_either(db):
    states, gone = Counter(), 0
    for seed in range(FEWER):
        race = await Race(db, seed, others=[rejecting(has_system=True)]).run()
        await check(db, race)
        states.update(race.by_hand.values())
        gone += sum(
            race.house.books[code].stage == "cancelled"
            for code, state in race.by_hand.items()
            if state == "asked" and code in race.house.books
        )
    assert min(states["rejected"], states["asked"]) > FEWER / 10
    assert gone, "some house let go of it"
    assert await service.shipped_after_stop(db) == 0


async def test_control_a_persons_word_for_what_a_house_has_is_not_enough(db):
    for seed in range(CI):
        race = await Race(db, seed, others=[rejecting(has_system=False)]).run()
        if (await wrong(db, race)).left:
            return
    pytest.fail("a house that was not asked sent nothing after `stopped`")


FOUND = (419, 422, 690)  # a cancel without an answer, when its stop had one


async def test_what_races_found_before(db):
    await race_all(db, FOUND)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("part", range(PARTS))
async def test_ten_thousand_of_them(db, part):
    first, many = CI + part * LONG // PARTS, LONG // PARTS
    counts = await race_all(db, range(first, first + many))
    print(f"part {part}: {summary(counts)}")  # noqa: T201 - what was run
    assert counts["races"] == many
    all_met(counts)
    assert await service.shipped_after_stop(db) == 0


async def first_loss(db, seeds, what="left", **how):
    """Return the first run that shows something wrong of that kind, None when none does."""
    for seed in seeds:
        with contextlib.suppress(NoEnd):
            race = await Race(db, seed, **how).run()
            if getattr(await wrong(db, race), what):
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
        found = call.reply or "unknown"
        none = found == "no_such_order"
        await reply(race, code, "cancelled" if none else calls.said(call.verb, found))
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


async def test_control_a_refused_cancel_is_not_stopped(db, monkeypatch):
    said = calls.said

    def taken_for_cancelled(call, outcome):
        return said(call, "done" if call == "cancel" and outcome == "refused" else outcome)

    monkeypatch.setattr(calls, "said", taken_for_cancelled)
    assert await first_loss(db, range(CI)) is not None


async def test_control_silence_is_not_stopped(db, monkeypatch):
    monkeypatch.setattr(stopping, "_NO", "stopped")
    assert await first_loss(db, range(CI)) is not None


async def test_control_a_stop_that_was_answered_is_answered_again(db, monkeypatch):
    for name in ("lock_open_stops", "answer_stop"):
        again = store.SQL[name].replace("AND answer = ''", "")
        assert again != store.SQL[name]
        monkeypatch.setitem(store.SQL, name, again)
    assert await first_loss(db, range(CI), "answers") is not None


async def test_control_a_cancel_is_sent_until_it_is_answered(db, monkeypatch):
    begin = service.begin

    async def once(tx, code, now):
        for one in await store.shipments_of(tx, await store.orders_of(tx, code)):
            if one.shipment_id == code and one.cancelling:
                return service.Begun(None, (), "nothing_due")
        return await begin(tx, code, now)

    monkeypatch.setattr(service, "begin", once)
    assert await first_loss(db, range(CI), "answers") is not None


async def test_control_what_was_not_stopped_goes_to_the_former_address(db):
    how = {"lies": True, "no_return": "shipped"}
    assert await first_loss(db, range(CI), "address", **how) is not None


async def test_control_units_that_were_cancelled_do_not_leave(db):
    how = {"lies": True, "no_return": "shipped"}
    assert await first_loss(db, range(CI), "units", **how) is not None


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
