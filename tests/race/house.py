"""A warehouse of its own mind: its books are the oracle of what it has, and of what left when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine.shipments.types.shipments import Package, Told

T0 = datetime(2026, 11, 11, tzinfo=UTC)
STAGES = ("created", "accepted", "picked", "packed")


@dataclass
class Consignment:
    """What a house knows of one order to ship; `address` is the revision that it was told."""

    code: str
    lines: dict[int, int]
    address: int = 0
    stage: str = "created"
    left: dict[int, int] = field(default_factory=dict)
    boxes: list[Package] = field(default_factory=list)
    left_at: list[int] = field(default_factory=list)
    creates: int = 0


class House:
    """Idempotent by code; it cancels until it has picked or packed, or until it has shipped.

    `done` is what it did, in which step: callbacks tell of it, or are lost.
    """

    def __init__(self, race, dice, *, lies=False):
        self.race, self.dice, self.lies = race, dice, lies
        self.books: dict[str, Consignment] = {}
        self.told: list[tuple[str, Told]] = []
        self.lost: list[tuple[str, Told]] = []
        self.done: list[tuple[str, int]] = []
        self.said = 0
        self.stops_until = dice.choice(STAGES)
        self.partial = dice.random() < 0.4
        self.numbers = dice.random() < 0.5
        self.rejects = dice.random() < 0.1

    def create(self, code, lines, address):
        one = self.books.setdefault(code, Consignment(code, dict(lines), address))
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
            self.do("cancel_failed")
            if soon:
                self.tell(one, "cancel_failed")
            return "unknown" if soon else "refused"
        if not self.lies:
            one.stage = "cancelled"
            if soon:
                self.tell(one, "cancelled")
        return "done"

    def do(self, what):
        self.done.append((what, self.race.step))

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
            self.do(one.stage)
            self.tell(one, one.stage)
            if one.stage == "picked" and self.numbers:
                self.do("waybill")
                self.tell(one, "waybill")
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
        self.do(kind)
        one.left_at.append(self.race.step)
        box = Package("sf", f"{one.code}-W{len(one.boxes)}", tuple(units.items()))
        one.boxes.append(box)
        for n, quantity in units.items():
            one.left[n] = one.left.get(n, 0) + quantity
        self.tell(one, kind, box)
