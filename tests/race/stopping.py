"""A house that ships, the network before it, and whoever wants something stopped; one seed a run.

Every actor is an async generator: what lies between two of its `yield`s happens at once, and a
seeded scheduler decides whose turn it is. Postgres is real, each step that touches it is a
transaction. The house's own books are the oracle: what it has, and in which step each parcel left.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import service
from engine.shipments.rules import calls
from engine.shipments.types.shipments import Line, Package, Planned, Told
from engine.shipments.types.stops import Ask

T0 = datetime(2026, 11, 11, tzinfo=UTC)
LINES = {1: 3, 2: 2}
STEPS_MAX = 3_000
LOST_MAX = 4
ORDER = """
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, draws, counters, document
) VALUES (
  $1, '1', 'main', 'mall', $1, '', '', 'sale', 'open', 'paid', 'committed', 'unrouted', 'CNY', 300,
  1, '', now(), now(), '1-0', 'k', '[[1, "p", 3], [2, "p", 2]]', '[]', '{}'
)
"""
BLOCK = """
INSERT INTO blocks (order_id, code, reason) VALUES ($1, 'refund_requested', $2)
ON CONFLICT DO NOTHING
"""
BLOCKED = "SELECT EXISTS (SELECT FROM blocks WHERE order_id = $1)"
LIVE = """
SELECT EXISTS (
  SELECT FROM shipments WHERE order_id = $1 AND state NOT IN ('cancelled', 'rejected')
)
"""


@dataclass
class Consignment:
    """What a house knows of one order to ship."""

    code: str
    lines: dict[int, int]
    stage: str = "created"
    left: dict[int, int] = field(default_factory=dict)
    boxes: list[Package] = field(default_factory=list)
    left_at: list[int] = field(default_factory=list)
    creates: int = 0


STAGES = ("created", "accepted", "picked", "packed")


class NoEnd(Exception):
    """Somebody still does something after very many steps."""


class House:
    """A warehouse: idempotent by code, cancels until it has packed, or until it has shipped."""

    def __init__(self, race, dice, *, lies=False):
        self.race, self.dice, self.lies = race, dice, lies
        self.books: dict[str, Consignment] = {}
        self.told: list[tuple[str, Told]] = []
        self.lost: list[tuple[str, Told]] = []
        self.said = 0
        self.stops_until = dice.choice(STAGES)
        self.partial = dice.random() < 0.4
        self.rejects = dice.random() < 0.1
        self.words = []

    def create(self, code, lines):
        one = self.books.setdefault(code, Consignment(code, dict(lines)))
        if one.stage == "created" and self.rejects:
            one.stage = "rejected"
        if one.stage == "rejected":
            return "refused"
        one.creates += 1
        return "done"

    def cancel(self, code):
        one = self.books.get(code)
        if one is None:
            return "no_such_order"
        if one.stage in {"cancelled", "rejected"}:
            return "done"
        late, soon = one.stage not in STAGES, self.dice.random() < 0.3
        if late or STAGES.index(one.stage) > STAGES.index(self.stops_until):
            if soon:
                self.tell(one, "cancel_failed")
            return "unknown" if soon else "refused"
        if not self.lies:
            one.stage = "cancelled"
            if soon:
                self.tell(one, "cancelled")
        return "done"

    def tell(self, one, kind, *boxes):
        self.said += 1
        at = T0 + timedelta(seconds=self.race.step)
        self.told.append((one.code, Told(kind, f"r{self.said}", at, packages=tuple(boxes))))

    def work(self):
        """Do something for one of the orders in the house; whether there was anything to do."""
        busy = [one for one in self.books.values() if one.stage in {*STAGES, "partly"}]
        if not busy:
            return False
        one = self.dice.choice(busy)
        if one.stage in STAGES[:-1]:
            one.stage = STAGES[STAGES.index(one.stage) + 1]
            self.tell(one, one.stage)
        elif one.stage == "packed" and self.partial:
            n = min(one.lines)
            self.leave(one, {n: 1}, "partly_shipped")
            one.stage = "partly"
        else:
            rest = {n: units - one.left.get(n, 0) for n, units in one.lines.items()}
            self.leave(one, {n: units for n, units in rest.items() if units}, "shipped")
            one.stage = "shipped"
        return True

    def leave(self, one, units, kind):
        one.left_at.append(self.race.step)
        box = Package("sf", f"{one.code}-W{len(one.boxes)}", tuple(units.items()))
        one.boxes.append(box)
        for n, quantity in units.items():
            one.left[n] = one.left.get(n, 0) + quantity
        self.tell(one, kind, box)


@dataclass
class Call:
    """A call on the wire; `reply` is None until it came back, and for ever if it was lost."""

    verb: str
    code: str
    lines: dict[int, int]
    reply: str | None = None


class Race:
    """One order, its house, and everybody who does something about it."""

    def __init__(self, db, seed, *, lies=False, shipper=None, no_return=None):
        self.db, self.seed, self.dice = db, seed, random.Random(seed)
        self.order_id, self.step = f"o{seed}", 0
        self.skus = {line: f"{self.order_id}-{line}" for line in LINES}
        self.house = House(self, self.dice, lies=lies)
        self.shipper = shipper or shipping
        self.no_return = no_return or self.dice.choice(("accepted", "picked", "waybill", "shipped"))
        self.wire: list[Call] = []
        self.answers: dict[str, list[tuple[str, int]]] = {}
        self.asked: dict[str, tuple[int, ...]] = {}
        self.codes: dict[str, dict[int, int]] = {}
        self.idle: set[str] = set()
        self.sent: set[str] = set()

    def now(self):
        return T0 + timedelta(seconds=self.step)

    async def begin(self):
        await self.db.execute(ORDER, self.order_id)
        if self.dice.random() < 0.5:
            await self.plan({1: LINES[1]}, {2: LINES[2]})
        else:
            await self.plan(LINES)

    async def plan(self, *cuts):
        """Bind as a router does: shipments, and the units assigned."""
        async with self.db.transaction():
            await self.db.execute(
                "SELECT FROM orders WHERE order_id = $1 FOR UPDATE", self.order_id
            )
            if await self.db.fetchval(LIVE, self.order_id):
                return
            n = (await service.next_numbers(self.db, [self.order_id]))[self.order_id]
            attempt = (await service.next_attempts(self.db, self.order_id)).get("N", 1)
            planned = [
                Planned(
                    "main", self.order_id, n + k, "N", attempt + k,
                    tuple(Line(line, self.skus[line], units) for line, units in cut.items()),
                    no_return=self.no_return,
                )
                for k, cut in enumerate(cuts)
            ]  # fmt: skip
            await service.plan(self.db, planned, self.now())
            wanted = [
                assignments.Wanted(
                    Assignment(self.order_id, line.line_no, "N", one.attempt), "", line.sku,
                    line.units,
                )
                for one in planned
                for line in one.lines
            ]  # fmt: skip
            await assignments.assign(self.db, Tenant("main"), wanted, self.now())
        self.codes |= {one.shipment_id: dict(cut) for one, cut in zip(planned, cuts, strict=True)}

    async def tell(self, code, told):
        async with self.db.transaction():
            outcome = await service.report_consignment(self.db, code, told, self.now())
            self.note(outcome.answered)
        return outcome

    def note(self, stops):
        for stop in stops:
            self.answers.setdefault(stop.stop_id, []).append((stop.answer, self.step))

    async def run(self):
        await self.begin()
        actors = {
            "wire": wire(self), "house": house(self), "callbacks": callbacks(self),
            "planner": planner(self),
        } | {f"asker{n}": asker(self, n) for n in range(self.dice.choice((1, 1, 2)))}  # fmt: skip
        while self.step < STEPS_MAX:
            self.step += 1
            for code in self.codes.keys() - self.sent:
                self.sent.add(code)
                actors[code] = self.shipper(self, code)
            name = self.dice.choice(sorted(actors.keys() - self.idle))
            if await self.moves(actors, name):
                self.idle.clear()
            else:
                self.idle.add(name)
            if self.idle >= actors.keys() and not self.revive():
                return self
        raise NoEnd(f"seed {self.seed}: {self.house.books} {self.wire}")

    async def moves(self, actors, name):
        try:
            return await anext(actors[name])
        except StopAsyncIteration:
            del actors[name]
            return True

    def revive(self):
        """What was lost on its way the house tells again, once nothing else happens."""
        self.house.told, self.house.lost = self.house.lost, []
        self.idle.clear()
        return bool(self.house.told)


async def shipping(race, code):
    """A shipper with the lease of a consignment: it begins, calls, and tells what it was told."""
    while True:
        async with race.db.transaction():
            begun = await service.begin(race.db, code, race.now())
            if begun.outcome:
                race.note(begun.outcome.answered)
        yield begun.call is not None
        if begun.call is None:
            continue
        if race.dice.random() < 0.1:
            continue  # killed: nobody knows whether it called
        call = Call(begun.call, code, race.codes[code])
        async for _ in calling(race, call):
            yield True
        if race.dice.random() < 0.1:
            continue  # killed before it could say what it was told
        async with race.db.transaction():
            kind = calls.said(call.verb, call.reply or "unknown")
            if kind is None:
                await service.outcome_unknown(race.db, code, race.now())
            else:
                told = Told(kind, f"reply{race.step}", race.now(), reply=True)
                outcome = await service.report_consignment(race.db, code, told, race.now())
                race.note(outcome.answered)
        yield True


async def calling(race, call):
    """Send, and wait for an answer for a while; what is on the wire then arrives all the same."""
    race.wire.append(call)
    for _ in range(race.dice.choice((1, 3, 6))):
        if call.reply is None:
            yield


async def wire(race):
    """Deliver what is on the wire, in any order, soon or late; some answers are lost."""
    speed = race.dice.choice((0.3, 1))
    while True:
        if race.wire and race.dice.random() > speed:
            yield True
        elif race.wire:
            call = race.wire.pop(race.dice.randrange(len(race.wire)))
            house = race.house
            done = (
                house.create(call.code, call.lines)
                if call.verb == "create"
                else house.cancel(call.code)
            )
            call.reply = done if race.dice.random() < 0.8 else None
            yield True
        else:
            yield False


async def house(race):
    while True:
        yield race.house.work()


async def callbacks(race):
    """Deliver what the house tells: in any order, some of it twice, some of it late."""
    lost = 0
    while True:
        told = race.house.told
        if not told:
            yield False
            continue
        code, one = told.pop(race.dice.randrange(len(told)))
        if race.dice.random() < 0.2 and lost < LOST_MAX:
            lost += 1
            race.house.lost.append((code, one))
            yield True
            continue
        await race.tell(code, one)
        if race.dice.random() < 0.15:
            assert (await race.tell(code, one)).outcome == "repeated"
        yield True


async def asker(race, n):
    """Somebody who wants (part of) the order stopped; asks again as if the answer was lost."""
    for _ in range(race.dice.randrange(race.dice.choice((3, 10, 30)))):
        yield True
    cause = race.dice.choice(("refund", "cancel", "address", "manual"))
    lines = race.dice.choice(((), ((1, 1),), ((2, 2),)))
    ask = Ask("main", race.order_id, cause, f"c{n}", lines, "asker", {})
    race.asked[ask.stop_id] = tuple(line for line, _ in lines) or tuple(LINES)
    for turn in range(race.dice.choice((1, 2))):
        async with race.db.transaction():
            await race.db.execute(
                "SELECT FROM orders WHERE order_id = $1 FOR UPDATE", race.order_id
            )
            await race.db.execute(BLOCK, race.order_id, cause)
            asked = await service.ask(race.db, ask, race.now())
            assert asked.new is (turn == 0)
            if asked.new and asked.stop.answer:
                race.note([asked.stop])
        yield True


async def planner(race):
    """A router that looked a while ago: it plans what it saw unblocked, without looking again."""
    for _ in range(3):
        blocked = await race.db.fetchval(BLOCKED, race.order_id)
        yield True
        for _ in range(race.dice.randrange(15)):
            yield True
        if not blocked:
            await race.plan(LINES)
        yield True
