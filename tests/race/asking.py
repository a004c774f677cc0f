"""Those who want something stopped, through the verbs that the API's calls have for it."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from engine.aftersales.addresses import Addresses
from engine.aftersales.service import Aftersales
from engine.aftersales.types import AddressChange, Refund
from engine.infra.http.auth import Principal
from engine.kernel.errors import InConflict, NotCancellable, NotChangeable, WrongAmount
from engine.orders.service.cancelling import cancel_or_stop, locked
from engine.reservation.types import ReleaseClaim
from engine.shipments import service
from engine.shipments.types.stops import Ask

CAUSES = ("refund", "cancel", "address")
UNIT = 60  # what one of an order's five units was paid with
HERE, THERE = "310115", "110105"
REFUSALS = (InConflict, NotCancellable, NotChangeable, WrongAmount)
BLOCK = """
INSERT INTO blocks (order_id, code, reason) VALUES ($1, 'manual', 'look at it')
ON CONFLICT DO NOTHING
"""
_WHO = Principal("asker", "main", frozenset())


@dataclass
class Request:
    """One wish; `ended` is when it was granted or refused by the answer to its own call."""

    cause: str
    name: str
    lines: tuple[tuple[int, int], ...]
    region: str = HERE
    step: int = 0
    refused: bool = False
    granted: int | None = None
    state: str = "requested"

    @property
    def units(self):
        return sum(units for _, units in self.lines) or 5


class NoCell:
    """A cell that has forgotten the order: it is confirmed, and Postgres' alone."""

    is_open = True

    @property
    def cell(self):
        return self

    async def hold(self, _):
        return None

    async def refresh(self):
        return None


class RaceClock:
    """The time of a race, in steps."""

    def __init__(self, race):
        self._race = race

    def now_ms(self):
        return int(self._race.now().timestamp() * 1000)

    def monotonic(self):
        return float(self._race.step)


class OneConnection:
    """A pool of the one connection that a race has."""

    def __init__(self, db):
        self._db = db
        self.fetch, self.fetchrow, self.fetchval = db.fetch, db.fetchrow, db.fetchval

    @asynccontextmanager
    async def acquire(self):
        yield self._db


class Desk:
    """Where wishes are told: each in the transaction, or the transactions, of its call."""

    def __init__(self, race):
        self.race = race
        self.clock = RaceClock(race)
        bound = NoCell(), OneConnection(race.db), self.clock, "1"
        self.aftersales, self.addresses = Aftersales(*bound), Addresses(*bound)

    async def tell(self, one):
        """Make the call of a wish, anew or once more; what it comes to is noted."""
        try:
            at_once = await getattr(self, one.cause)(one)
        except REFUSALS:
            at_once, one.refused = False, True
        if at_once and one.granted is None:
            one.granted = self.race.step

    async def refund(self, one):
        asked = Refund(
            self.race.order_id, one.name, "cancel", one.state, one.units * UNIT, "CNY", one.lines
        )
        await self.aftersales.refund(_WHO, asked)

    async def cancel(self, one):
        claim = ReleaseClaim(self.race.order_id, one.name, "buyer", "changed", "asker", one.lines)
        db, now_ms = self.race.db, self.clock.now_ms()
        async with db.transaction():
            order = await locked(db, self.race.order_id)
            found = await cancel_or_stop(db, order, claim, now_ms)
        return found.state != "requested"

    async def address(self, one):
        ship_to = {"name": "Lin", "region_code": one.region, "address": f"{one.name} Road"}
        change = AddressChange(self.race.order_id, one.name, ship_to)
        return (await self.addresses.change(_WHO, change)).state == "changed"

    async def manual(self, one):
        db, order_id = self.race.db, self.race.order_id
        async with db.transaction():
            await locked(db, order_id)
            await db.execute(BLOCK, order_id)
            ask = Ask("main", order_id, "manual", one.name, one.lines, "asker", {})
            await service.ask(db, ask, self.race.now())


async def asker(race, n):
    """Somebody who asks; then once more, as if the answer was lost; then gives the money back."""
    for _ in range(race.dice.randrange(race.dice.choice((3, 10, 30)))):
        yield True
    cause = race.dice.choice((*CAUSES, *CAUSES, "manual"))
    lines = race.dice.choice(((), ((1, 1),), ((2, 2),), ((1, 3),)))
    one = Request(
        cause, f"c{n}", () if cause == "address" else lines, race.dice.choice((HERE, THERE)),
        race.step,
    )  # fmt: skip
    race.requests.append(one)
    for _ in range(race.dice.choice((1, 2))):
        await race.ask(one)
        yield True
        if one.refused:
            return
    if cause == "refund" and race.dice.random() < 0.5:
        for _ in range(race.dice.randrange(30)):
            yield True
        one.state = "done"
        await race.ask(one)
        yield True


async def not_once(db: asyncpg.Connection, race):
    """Return the wishes that have no answer, or more than one, and stops that have."""
    wrong = []
    stops = await db.fetch("SELECT * FROM stops WHERE order_id = $1", race.order_id)
    events = await db.fetch(
        "SELECT kind, data::json AS data, data ->> 'stop_id' AS stop_id,"
        " data ->> 'answer' AS answer, data ->> 'cancel_id' AS cancel_id,"
        " data ->> 'change_id' AS change_id FROM events WHERE order_id = $1", race.order_id,
    )  # fmt: skip
    said = [(row["stop_id"], row["answer"]) for row in events if row["kind"] == ANSWERED]
    for stop in stops:
        name = stop["stop_id"]
        told = [answer for stop_id, answer in said if stop_id == name]
        noted = [answer for answer, _ in race.answers.get(name, [])]
        if len(told) != 1 or noted != told or stop["answer"] != told[0]:
            wrong.append((name, told, noted))
    if len(said) != len(stops):
        wrong.append(("events", said))
    for one in race.requests:
        ends = {"cancel": "cancel_id", "address": "change_id"}.get(one.cause)
        told = [
            row["kind"]
            for row in events
            if ends and row["kind"] in ENDS[one.cause] and row[ends] == one.name
        ]
        # refused by its call: nothing else was told; refused when it was asked again: by its event
        if ends and len(told) + (one.refused and not told) != 1:
            wrong.append((one, told))
    return wrong


ANSWERED = "order.stop_answered"
ENDS = {
    "cancel": {"order.cancelled", "order.lines_cancelled", "order.cancel_refused"},
    "address": {"order.address_changed", "order.address_refused"},
}
