"""A house that ships, the network before it, and whoever wants something stopped; one seed a run.

Every actor is an async generator: what lies between two of its `yield`s happens at once, and a
seeded scheduler decides whose turn it is. Postgres is real, each step that touches it is a
transaction. The house's own books are the oracle: what it has, and in which step each parcel left.
"""

import random
from dataclasses import dataclass
from datetime import timedelta

from engine.aftersales.answering import act
from engine.kernel.clock import to_ms
from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import service, store
from engine.shipments.rules import calls
from engine.shipments.types.shipments import Line, Planned, Told
from tests.race.asking import HERE, UNIT, Desk, asker
from tests.race.house import T0, House

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
GOODS = """
WITH lines AS (
  INSERT INTO order_lines (order_id, line_no, sku, quantity, open_quantity, payable)
  SELECT $1, l.line_no, l.sku, l.units, l.units, l.units * $5::bigint
  FROM unnest($2::integer[], $3::text[], $4::integer[]) AS l (line_no, sku, units)
), paid AS (
  INSERT INTO payments (order_id, payment_id, state, amount, currency, method, stage)
  SELECT $1, 'p', 'applied', sum(u) * $5::bigint, 'CNY', 'card', 'full'
  FROM unnest($4::integer[]) AS u
)
UPDATE orders
SET document = jsonb_build_object('ship_to', jsonb_build_object('region_code', $6::text))
WHERE order_id = $1
"""
SETTLED = "SELECT shipment_id FROM shipments WHERE order_id = $1 AND short_settled"
RECALLS = "DELETE FROM jobs WHERE kind = 'recall' AND key LIKE $1 RETURNING key"
BLOCKED = "SELECT EXISTS (SELECT FROM blocks WHERE order_id = $1)"
ELIGIBLE = """
SELECT state = 'open' AND payment_state IN ('paid', 'partly_refunded')
FROM orders WHERE order_id = $1 FOR UPDATE
"""
OPEN = "SELECT EXISTS (SELECT FROM stops WHERE order_id = $1 AND answer = '')"
ADDRESS = """
SELECT coalesce(max(revision), 0) FROM order_addresses WHERE order_id = $1 AND state = 'applied'
"""


class NoEnd(Exception):
    """Somebody still does something after very many steps."""


@dataclass
class Call:
    """A call on the wire; `reply` is None until it came back, and for ever if it was lost."""

    verb: str
    code: str
    lines: dict[int, int]
    address: int = 0
    reply: str | None = None


class Race:
    """One order, its house, and everybody who does something about it."""

    def __init__(  # noqa: PLR0913 - who does what, and who else does something
        self, db, seed, *, lies=False, shipper=None, no_return=None, settles=False, others=()
    ):
        self.settles, self.others = settles, others
        self.db, self.seed, self.dice = db, seed, random.Random(seed)
        self.order_id, self.step, self.changes = f"o{seed}", 0, 0
        self.skus = {line: f"{self.order_id}-{line}" for line in LINES}
        self.house = House(self, self.dice, lies=lies)
        self.shipper = shipper or shipping
        self.no_return = no_return or self.dice.choice(("accepted", "picked", "waybill", "shipped"))
        self.intercepts = self.dice.random() < 0.3
        self.wire: list[Call] = []
        self.desk = Desk(self)
        self.requests, self.asked_at = [], {}
        self.answers: dict[str, list[tuple[str, int]]] = {}
        self.codes: dict[str, dict[int, int]] = {}
        self.idle: set[str] = set()
        self.sent: set[str] = set()

    def now(self):
        return T0 + timedelta(seconds=self.step)

    async def begin(self):
        await self.db.execute(ORDER, self.order_id)
        names = [self.skus[line] for line in LINES]
        units = list(LINES.values())
        await self.db.execute(GOODS, self.order_id, list(LINES), names, units, UNIT, HERE)
        if self.dice.random() < 0.5:
            await self.plan({1: LINES[1]}, {2: LINES[2]})
        else:
            await self.plan(LINES)

    async def plan(self, *cuts):
        """Bind as a router does: shipments and their units; without cuts what is missing."""
        async with self.db.transaction():
            if not await self.db.fetchval(ELIGIBLE, self.order_id):
                return
            cuts = cuts or await self.missing()
            if not cuts:
                return
            n = (await service.next_numbers(self.db, [self.order_id]))[self.order_id]
            attempt = (await service.next_attempts(self.db, self.order_id)).get("N", 1)
            planned = [
                Planned(
                    "main", self.order_id, n + k, "N", attempt + k,
                    tuple(Line(line, self.skus[line], units) for line, units in cut.items()),
                    no_return=self.no_return, intercepts=self.intercepts,
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
        await self.noted(())
        self.codes |= {one.shipment_id: dict(cut) for one, cut in zip(planned, cuts, strict=True)}

    async def missing(self):
        """What of the locked order no live shipment has; what lacks counts once that is settled."""
        settled = {row["shipment_id"] for row in await self.db.fetch(SETTLED, self.order_id)}
        order = (await store.lock_orders(self.db, [self.order_id]))[self.order_id]
        left = dict(order.wanted)
        for one in await store.shipments_of(self.db, [self.order_id]):
            planned = [(line.line_no, line.units) for line in one.lines]
            has = one.units.items() if one.shipment_id in settled else planned
            for n, units in has if one.live else ():
                left[n] = left.get(n, 0) - units
        left = {n: units for n, units in left.items() if units > 0}
        return (left,) if left else ()

    async def tell(self, code, told):
        async with self.db.transaction():
            outcome = await service.report_consignment(self.db, code, told, self.now())
            await self.act(outcome.answered)
        if outcome.outcome == "recorded":
            await self.noted(outcome.answered)
        return outcome

    async def act(self, stops):
        """Do what follows from answers, in the transaction that gives them."""
        if stops:
            await act(self.db, stops, to_ms(self.now()))

    async def noted(self, stops):
        """Note that something is committed, answers among it, and what was planned anew by them."""
        self.changes += 1
        for stop in stops:
            self.answers.setdefault(stop.stop_id, []).append((stop.answer, self.step))
        if stops:
            for one in await store.shipments_of(self.db, [self.order_id]):
                self.codes.setdefault(one.shipment_id, dict(one.units))

    async def ask(self, one):
        """Make the call of a wish, and note what it was answered at once."""
        await self.desk.tell(one)
        await self.look()

    async def look(self):
        """Note stops that are new, with their answers where they have one."""
        rows = await self.db.fetch("SELECT stop_id FROM stops WHERE order_id = $1", self.order_id)
        new = [row["stop_id"] for row in rows if row["stop_id"] not in self.asked_at]
        self.asked_at |= dict.fromkeys(new, self.step)
        stops = [await store.stop(self.db, name) for name in new]
        await self.noted([stop for stop in stops if stop.answer])

    def stop_of(self, one):
        """Whether a wish became a stop."""
        return f"{self.order_id}:{one.cause}:{one.name}" in self.asked_at

    async def address(self):
        """Return what a create tells of where it goes: the revision that was applied."""
        return await self.db.fetchval(ADDRESS, self.order_id)

    def askers(self):
        """Return who wants something, by name."""
        return {f"asker{n}": asker(self, n) for n in range(self.dice.choice((1, 1, 2)))}

    async def run(self):
        await self.begin()
        actors = {
            "wire": wire(self), "house": house(self), "callbacks": callbacks(self),
            "planner": planner(self),
        } | self.askers()  # fmt: skip
        if self.dice.random() < 0.2:
            actors["settler"] = settler(self)
        if self.settles:
            actors["clerk"] = clerk(self)
        actors |= {other.__name__: other(self) for other in self.others}
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
    seen = None
    while True:
        if seen == race.changes:  # it would be told the same
            yield False
            continue
        seen = race.changes
        async with race.db.transaction():
            begun = await service.begin(race.db, code, race.now())
            told_by_now = begun.outcome.answered if begun.outcome else ()
            await race.act(told_by_now)
        if begun.call or begun.outcome:
            await race.noted(told_by_now)
        yield begun.call is not None
        if begun.call is None:
            continue
        if race.dice.random() < 0.1:
            continue  # killed: nobody knows whether it called
        call = Call(begun.call, code, race.codes[code], await race.address())
        async for _ in calling(race, call):
            yield True
        if race.dice.random() < 0.1:
            continue  # killed before it could say what it was told
        await reply(race, code, calls.said(call.verb, call.reply or "unknown"))
        yield True


async def reply(race, code, kind):
    """Write what a call was answered, None when nobody knows."""
    if kind is None:
        async with race.db.transaction():
            await service.outcome_unknown(race.db, code, race.now())
        await race.noted(())
    else:
        await race.tell(code, Told(kind, f"reply{race.step}", race.now(), reply=True))


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
                house.create(call.code, call.lines, call.address)
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
            race.house.do("lost_callback")
            race.house.lost.append((code, one))
            yield True
            continue
        await race.tell(code, one)
        if race.dice.random() < 0.15:
            assert (await race.tell(code, one)).outcome == "repeated"
        yield True


async def settler(race):
    """Whoever gives up stops that no node answers, once there is one; he is in a hurry."""
    while True:
        if not await race.db.fetchval(OPEN, race.order_id):
            yield False
            continue
        for _ in range(race.dice.randrange(20)):
            yield True
        async with race.db.transaction():
            late = await service.give_up(race.db, race.now(), timedelta(0))
            await race.act(late)
        if late:
            await race.noted(late)
        yield bool(late)


async def clerk(race):
    """Whoever takes what lacks as certain, at any time, and recalls what left twice by that."""
    seen = None
    while True:
        if seen == race.changes:
            yield False
            continue
        seen, moved = race.changes, False
        for _ in range(race.dice.randrange(5)):
            yield True
        for code in sorted(race.codes):
            async with race.db.transaction():
                outcome = await service.settle(race.db, code, race.now())
            moved |= outcome.outcome == "recorded"
        for row in await race.db.fetch(RECALLS, f"{race.order_id}-s%"):
            moved, asked = True, True
            while asked:
                async with race.db.transaction():
                    code = row["key"].removesuffix(":recall")
                    asked = await service.recall(race.db, code, race.now())
                await race.look()
        if moved:
            await race.noted(())
            await race.plan()
        yield moved


async def planner(race):
    """A router that looked a while ago: it plans what it saw unblocked, without looking again."""
    for _ in range(3):
        blocked = await race.db.fetchval(BLOCKED, race.order_id)
        yield True
        for _ in range(race.dice.randrange(15)):
            yield True
        if not blocked:
            await race.plan()
        yield True
