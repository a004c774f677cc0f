"""A marketplace tells other addresses while a house ships: nothing goes elsewhere unanswered.

As in `stopping`: one seed a run, each step a transaction, a scheduler decides whose turn it is.
What a house was told of where it goes is the oracle.
"""

from unittest.mock import ANY

import asyncpg
import pytest

from engine.aftersales import addresses
from engine.kernel import codec
from engine.kernel.clock import to_ms
from engine.orders.store import SQL
from engine.orders.synced import readdressed
from engine.orders.types import CHANGE_REQUESTED, NOTHING, NewOrder
from engine.shipments import service
from engine.shipments.service import planning
from engine.shipments.service.addresses import note_told, to_ask
from engine.wms.store import facts
from tests.race.stopping import Race

CI, LONG = 90, 3_000
SPEED = 0.15
PLACES = [
    {"region_code": region, "address": f"{n} Century Avenue"}
    for n, region in enumerate(("310115", "310115", "310115", "110105"))
]
TELL = "UPDATE orders SET document = $2, version = $3 WHERE order_id = $1"
BLOCK = "INSERT INTO blocks (order_id, code, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"


class Telling(Race):
    """An order that a marketplace sold; houses know the place that their creates told first."""

    def __init__(self, db, seed):
        super().__init__(db, seed)
        self.no_return = self.dice.choice(("accepted", "shipped", "shipped", "shipped"))
        self.house.stops_until, self.house.work = "packed", self.slowly(self.house.work)
        self.place, self.version = PLACES[0], 1

    async def begin(self):
        await super().begin()
        await self.db.execute(TELL, self.order_id, document(self.place), "1")

    def askers(self):
        return {"teller": teller(self), "asks": asking(self), "asks too": asking(self)}

    async def address(self):
        return (await facts(self.db, [self.order_id]))[self.order_id].ship_to

    def slowly(self, work):
        """Leave the time in which changes come one after the other."""
        late = self.dice.choice((100, 1_000))
        return lambda: (self.step < late and self.dice.random() > SPEED) or work()

    def ms(self):
        return to_ms(self.now())


def document(place):
    return codec.encode({"ship_to": place}).decode()


def snapshot(race):
    return NewOrder(
        race.order_id, "main", "mall", race.order_id, "", "", "sale", "open", "paid", "committed",
        "CNY", 300, None, None, 1, "", race.ms(), race.ms(), "1-0", "k", "", NOTHING, NOTHING,
        NOTHING, document(race.place), version=str(race.version), source_status="paid",
    )  # fmt: skip


async def teller(race):
    """As the recorder does: compare, adopt, write down, block, in one transaction."""
    for _ in range(race.dice.choice((1, 2, 2, 4))):
        for _ in range(race.dice.randrange(race.dice.choice((2, 6, 20)))):
            yield True
        race.place, race.version = race.dice.choice(PLACES), race.version + 1
        row = snapshot(race)
        async with race.db.transaction():
            before = await race.db.fetch(SQL["lock_told"], [race.order_id])
            await race.db.execute(TELL, race.order_id, row.document, row.version)
            told = [moved for one in before if (moved := readdressed(row, one["ship_to"]))]
            for order_id, one in await note_told(race.db, told) if told else ():
                reason = CHANGE_REQUESTED.format(one.change_id)
                await race.db.execute(BLOCK, order_id, "address_change", reason)
        await race.noted(())
        yield True


async def asking(race):
    """One of two settlers."""
    while True:
        found = race.order_id in await to_ask(race.db, 100_000)
        yield found
        if found:
            async with race.db.transaction():
                await addresses.follow_told(race.db, race.order_id, race.ms())
            await race.look()
            yield True


@pytest.fixture
async def db(database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET synchronous_commit = off")
    yield connection
    await connection.close()


async def check(db, race):
    where = f"seed {race.seed}"
    changes = await db.fetch(
        "SELECT a.*, s.answer, s.stop_id FROM order_addresses AS a LEFT JOIN stops AS s"
        " ON s.order_id = a.order_id AND s.cause_id = a.change_id WHERE a.order_id = $1"
        " ORDER BY revision", race.order_id
    )  # fmt: skip
    for one in changes:
        said = {"stopped": "applied", None: "refused"}.get(one["answer"], "refused")
        assert (one["state"], one["unasked"]) == (said, False), f"{where}: {one}"
    told = await db.fetch(
        "SELECT kind, data ->> 'change_id' AS change_id FROM events WHERE order_id = $1"
        " AND kind IN ('order.address_changed', 'order.address_refused')", race.order_id
    )  # fmt: skip
    answered = sorted(row["change_id"] for row in told)
    assert answered == sorted(one["change_id"] for one in changes), f"{where}: one answer each"
    blocked = await db.fetchval("SELECT count(*) FROM blocks WHERE order_id = $1", race.order_id)
    assert not blocked, where
    rows = await db.fetch("SELECT * FROM shipments WHERE order_id = $1", race.order_id)
    states = {row["shipment_id"]: row["state"] for row in rows}
    assert "planned" not in states.values(), f"{where}: what may be sent is sent"
    given = {}
    last = changes[-1]["answer"] if changes else "stopped"
    elsewhere = 0
    for code, one in race.house.books.items():
        ended = {"shipped": "shipped", "cancelled": "cancelled", "rejected": "rejected"}
        assert states[code] == ended[one.stage], f"{where}: {code} {states} {one}"
        if one.stage == "shipped":
            for n, units in one.left.items():
                given[n] = given.get(n, 0) + units
            if one.address != race.place:
                elsewhere += 1
                assert last != "stopped", f"{where}: {code} goes to {one.address}"
    assert all(units <= {1: 3, 2: 2}[n] for n, units in given.items()), f"{where}: {given}"
    return len(changes), elsewhere, sum(one["answer"] == "stopped" for one in changes)


async def race_all(db, seeds):
    counts = [0, 0, 0]
    for seed in seeds:
        race = await Telling(db, seed).run()
        counts = [a + b for a, b in zip(counts, await check(db, race), strict=True)]
    return counts


async def test_each_change_has_one_answer_and_what_was_stopped_goes_to_the_last(db):
    changes, elsewhere, stopped = await race_all(db, range(CI))
    assert await service.shipped_after_stop(db) == 0
    assert min(elsewhere, stopped, changes - stopped) > CI / 20, "they must be raced for"


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_thousands_of_changes(db):
    await race_all(db, range(CI, CI + LONG))
    assert await service.shipped_after_stop(db) == 0


async def test_control_what_is_planned_again_for_each_change_is_never_sent(db, monkeypatch):
    monkeypatch.setattr(planning, "_lacking", lambda *_: {1: 99, 2: 99})
    monkeypatch.setattr(addresses, "_newest", lambda _: ANY)
    with pytest.raises(AssertionError, match="what may be sent is sent"):
        await race_all(db, range(CI))
