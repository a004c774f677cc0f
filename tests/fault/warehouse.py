"""A warehouse with its own books, which tells of them late, twice and out of turn."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.physical.service import assignments
from engine.physical.service.assignments import Wanted
from engine.physical.types.facts import Assignment
from tests.fault.engines import Api
from tests.fault.world import World

TENANT = "main"
TICK = timedelta(milliseconds=1)
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Happened:
    """Units that came or went at an instant; `told` once the engine knows."""

    at: datetime
    sku: str
    good: int = 0
    locked: int = 0
    told: bool = False
    taken: int = 0  # by orders that the warehouse accepted, until they are shipped
    left: int = 0  # in parcels


@dataclass
class Sent:
    """Units of an order line that this warehouse is to ship, and how far that is."""

    name: Assignment
    sku: str
    units: int
    accepted: bool = False


@dataclass
class Report:
    """A count, and what it says of what happened before it was taken."""

    body: dict[str, Any]
    knows: list[Happened]


@dataclass
class Warehouse:
    """One node. All that it tells is told by one task, so that its answers are in order."""

    api: Api
    world: World
    node: str
    rng: random.Random
    seen: list[Happened] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    clock: datetime = NEVER
    told: int = 0
    gone: list[Sent] = field(default_factory=list)
    given: Counter[tuple[str, int]] = field(default_factory=Counter)
    late: list[Report] = field(default_factory=list)  # not told yet
    old: list[dict[str, Any]] = field(default_factory=list)  # told before
    done: Counter[str] = field(default_factory=Counter)

    def tick(self) -> datetime:
        """An instant of its own for everything that happens."""
        self.clock = max(datetime.now(UTC), self.clock + TICK)
        return self.clock

    def on_hand(self, sku: str, at: datetime | None = None) -> int:
        """Good units that lie there."""
        of = [one for one in self.seen if one.sku == sku and (at is None or one.at <= at)]
        return sum(one.good - one.left for one in of)

    async def step(self) -> None:
        """Do one thing that warehouses do."""
        skus = sorted({sku for sku, _ in self.world.places})
        sku, units = self.rng.choice(skus), self.rng.randint(1, 6)
        deeds = {
            "receipt": (6, self.receive), "damage": (4, self.lose), "lost": (2, self.mislay),
            "lock": (2, self.lock), "count": (5, self.count), "told": (2, self.tell),
            "ship": (8, self.ship),
        }  # fmt: skip
        names = list(deeds)
        name = self.rng.choices(names, [deeds[one][0] for one in names])[0]
        self.done[name] += 1
        await deeds[name][1](sku, units)

    async def receive(self, sku: str, units: int) -> None:
        await self._move("receipt", Happened(self.tick(), sku, good=units))

    async def lose(self, sku: str, units: int, *, all_of: bool = True) -> None:
        if all_of:  # and no more than lies there; sometimes much of what somebody was promised
            units = min(units * self.rng.choice([1, 1, 1, 4]), self.on_hand(sku))
        if units > 0:
            await self._move("damage", Happened(self.tick(), sku, good=-units))

    async def mislay(self, sku: str, units: int) -> None:
        """Units that are gone and that nobody told of: a count will."""
        if (units := min(units, self.on_hand(sku))) > 0:
            self.seen.append(Happened(self.tick(), sku, good=-units))

    async def lock(self, sku: str, units: int) -> None:
        locked = sum(one.locked for one in self.seen if one.sku == sku)
        if locked and self.rng.random() < 0.6:
            await self._move("unlock", Happened(self.tick(), sku, locked=-min(units, locked)))
        elif self.on_hand(sku) - locked > units:
            await self._move("lock", Happened(self.tick(), sku, locked=units))

    async def _move(self, kind: str, one: Happened) -> None:
        self.seen.append(one)
        await asyncio.sleep(self.rng.choice([0, 0, 0.05, 0.2]))
        units = abs(one.good or one.locked)
        body = {
            "reference": self._name(kind), "kind": kind, "happened_at": one.at.isoformat(),
            "lines": [{"node": self.node, "sku": one.sku, "quantity": units}],
        }  # fmt: skip
        with self.world.changing(**self._told([one])):
            await self._post("movements", body)

    async def count(self, sku: str, _units: int = 0) -> None:
        """Count some SKU as it was a moment ago; some counts are told of much later."""
        report = self._report(sku, self.tick() - timedelta(milliseconds=self.rng.randint(0, 500)))
        self.late.append(report)
        if self.rng.random() < 0.6:
            await self.tell()

    async def tell(self, *_: object) -> None:
        """Tell of a count, or again of one that was told before."""
        if self.late:
            report = self.late.pop(self.rng.randrange(len(self.late)))
            with self.world.changing(**self._told(report.knows)):
                await self._post("counts", report.body)
            self.old.append(report.body)
        elif self.old:
            await self._post("counts", self.rng.choice(self.old))

    async def tell_all(self) -> None:
        """Count everything, and keep nothing back."""
        while self.late:
            await self.tell()
        for sku in {one.sku for one in self.seen}:
            self.late.append(self._report(sku, self.tick()))
            await self.tell()

    def _report(self, sku: str, at: datetime) -> Report:
        of = [one for one in self.seen if one.sku == sku and one.at <= at]
        locked, taken = sum(one.locked for one in of), sum(one.taken for one in of)
        there, basis = self.on_hand(sku, at), self.rng.choice(["on_hand", "available"])
        if basis == "available":
            there -= locked + taken
        body = {
            "report": self._name("count"), "node": self.node, "basis": basis,
            "as_of": at.isoformat(), "sequence": self.told,
            "lines": [{"sku": sku, "quantity": there, "locked": locked}],
        }  # fmt: skip
        return Report(body, of)

    async def give(self, order_id: str, line: int, sku: str, units: int) -> None:
        """Take an order's units over: from now on they are its own."""
        self.given[order_id, line] += 1
        name = Assignment(order_id, line, self.node, self.given[order_id, line])
        with self.world.changing(given={(self.node, sku): units}):
            async with self.api.process.pool.acquire() as db, db.transaction():
                wanted = [Wanted(name, "", sku, units)]
                await assignments.assign(db, TENANT, wanted, self.tick())
        self.sent.append(Sent(name, sku, units))

    async def take_back(self, one: Sent) -> None:
        """Give up what was not accepted: the units are the engine's again."""
        self.sent.remove(one)
        with self.world.changing(given={(self.node, one.sku): -one.units}):
            async with self.api.process.pool.acquire() as db, db.transaction():
                await assignments.cancel(db, TENANT, [one.name], self.tick())

    async def ship(self, *_: object) -> None:
        """Accept what was given, or ship what was accepted; the news takes a while."""
        if not self.sent:
            return
        one = self.rng.choice(self.sent)
        if one.accepted and self.on_hand(one.sku) < one.units:
            return  # it is not there to be shipped
        at = self.tick()
        if one.accepted:
            self.sent.remove(one)
            self.gone.append(one)
            self.seen.append(Happened(at, one.sku, told=True, taken=-one.units, left=one.units))
        else:
            self.seen.append(Happened(at, one.sku, told=True, taken=one.units))
        await asyncio.sleep(self.rng.choice([0, 0.1, 0.3]))
        tell = assignments.ship if one.accepted else assignments.accept
        one.accepted = True
        async with self.api.process.pool.acquire() as db, db.transaction():
            await tell(db, TENANT, [one.name], at)

    def _told(self, news: list[Happened]) -> dict[str, dict[tuple[str, str], int]]:
        """What changes by news; the engine has each once, from a movement or from a count."""
        found: dict[str, dict[tuple[str, str], int]] = {"good": {}, "locked": {}}
        for one in news:
            if not one.told:
                where = (self.node, one.sku)
                found["good"][where] = found["good"].get(where, 0) + one.good
                found["locked"][where] = found["locked"].get(where, 0) + one.locked
                one.told = True
        return found

    async def _post(self, what: str, body: dict[str, Any]) -> None:
        answer = await self.api.call("POST", f"/v1/inventory/{what}", body)
        assert answer.status == 200, answer.document

    def _name(self, kind: str) -> str:
        self.told += 1
        return f"{self.node}-{kind}-{self.told}"
