"""What a node sends, as parcels: carrier, price, the capacity they use, what they must keep to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.carriers.types.services import Parcel
from engine.routing.rules.taking import Slot, Taken
from engine.routing.types.core import (
    Carriage,
    Constraint,
    Moment,
    Offer,
    Order,
    Part,
    Reach,
    SourcingRule,
)

Atoms = Sequence[tuple[int, int]]
NO_CARRIER: Final = "no_carrier"
CAPACITY: Final = "capacity"
SHIP_WITH: Final = "ship_with"


def whole(order: Order, demand: Atoms) -> Parcel:
    """Return all that is asked for as if it were one parcel."""
    lines = order.lines
    grams = cm3 = value = 0
    tags: frozenset[str] = frozenset()
    service = ""
    for index, units in demand:
        _, _, _, of, g, c, v, tagged, _, named, _, _ = lines[index]
        if units != of:
            g, c, v = g * units // of, c * units // of, v * units // of
        grams += g
        cm3 += c
        value += v
        if tagged:
            tags |= tagged
        if named:
            service = named
    return Parcel(grams, cm3, value, tags, service)


def every(order: Order) -> Parcel:
    """Return all units of all lines as if they were one parcel."""
    _, _, _, _, grams, cm3, value, tags, _, service, _, _ = zip(*order.lines, strict=True)
    named = [one for one in service if one]
    return Parcel(
        sum(grams), sum(cm3), sum(value), frozenset().union(*tags), named[-1] if named else ""
    )


class Desk:
    """Makes the parts of one order under one rule: offers, slots, and what refuses them."""

    def __init__(
        self, order: Order, rule: SourcingRule, reach: Reach, carriage: Carriage,
        moment: Moment, taken: Taken,
    ) -> None:  # fmt: skip
        """Take what offers and constraints are asked with."""
        self.order, self.rule, self.reach = order, rule, reach
        self._carriage, self._snap, self._taken = carriage, moment.snap, taken
        self._moment, self.now_ms = moment, moment.now_ms
        self._offers: dict[Parcel, dict[int, Offer]] = {}
        self._asked: tuple[Parcel | None, dict[int, Offer]] = None, {}
        self.before = 0  # parts that earlier rules made of this order
        self.margin = 0
        self.repeated = False  # whether a SKU is needed twice
        self.tags: frozenset[str] = frozenset()
        self.soft = False  # whether a constraint costs a penalty
        self.designated = False  # whether a line names its carrier's service
        self._last: tuple[Atoms, Parcel] = ((), Parcel(0, 0, 0, frozenset(), ""))

    def know(self, atoms: Atoms, parcel: Parcel) -> None:
        """Take what atoms are as one parcel, so that it is not worked out again."""
        self._last = (atoms, parcel)

    def parcel(self, atoms: Atoms) -> Parcel:
        """Return atoms as one parcel; the same as the last time costs nothing."""
        if atoms is not self._last[0]:
            self._last = (atoms, whole(self.order, atoms))
        return self._last[1]

    def parts(self, node: int, atoms: tuple[tuple[int, int], ...]) -> list[Part] | str:
        """Return the parcels that a node sends, or why it cannot."""
        if not self.designated and not self.tags:
            return self._part(node, atoms, [])
        found: list[Part] = []
        for each in self._apart(atoms):
            told = self._part(node, each, found)
            if isinstance(told, str):
                return told
        return found

    def spent(
        self, nodes: Iterable[int], atoms: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[int, tuple[int, int] | str]]:
        """Yield freight and all cost of sending these from each node alone, or why it cannot."""
        if self.soft or self.designated or self.tags:
            for no in nodes:
                parts = self.parts(no, atoms)
                yield no, parts if isinstance(parts, str) else self.money(parts)
            return
        parcel = self.parcel(atoms)
        for no in nodes:
            yield no, self.quoted(no, parcel)

    def _apart(self, atoms: Atoms) -> Iterator[tuple[tuple[int, int], ...]]:
        """Yield what goes into parcels of its own: by designated service, by separated tag.

        What goes together goes by the service that one of its lines names.
        """
        lots: dict[tuple[str, tuple[str, ...]], list[tuple[int, int]]] = {}
        lines = self.order.lines
        named = {one.together: one.service for one in lines if one.together and one.service}
        for index, units in atoms:
            line = lines[index]
            service = named.get(line.together, line.service)
            key = (service, tuple(sorted(line.tags & self.tags)))
            lots.setdefault(key, []).append((index, units))
        for key in sorted(lots):
            yield tuple(lots[key])

    def _part(
        self, node: int, atoms: tuple[tuple[int, int], ...], found: list[Part]
    ) -> list[Part] | str:
        parcel = self.parcel(atoms)
        moment = self._moment
        while True:
            told = self._offer(node, parcel, moment)
            if told.why:
                return told.why
            slots = self._slots(node, atoms, parcel, told)
            scope = self._taken.lacking(slots)
            if scope != "service":
                break
            # this service has no room for it on that day: the next best one is asked for
            moment = moment._replace(full=moment.full | {(told.service, told.day)})
        if scope:
            return CAPACITY
        found.append(
            Part(
                node, atoms, told.service, told.card, told.card_version, told.quote,
                parcel.grams, told.ship_at, told.deliver_at, slots,
            )
        )  # fmt: skip
        return found

    def _offer(self, node: int, parcel: Parcel, moment: Moment) -> Offer:
        if self.order.mode == "pickup":  # nobody carries it
            at, day = self.reach.ship_at[node], self.reach.day[node]
            return Offer(-1, "", 0, 0, at, at, day)
        if moment is not self._moment:
            return self._carriage.offer(self.order, node, parcel, moment)
        asked, offers = self._asked
        if asked is not parcel:
            offers = self._offers.setdefault(parcel, {})
            self._asked = parcel, offers
        kept = offers.get(node)
        if kept is None:
            kept = offers[node] = self._carriage.offer(self.order, node, parcel, moment)
        return kept

    def _slots(self, node: int, atoms: Atoms, parcel: Parcel, told: Offer) -> tuple[Slot, ...]:
        name, day = self._snap.nodes[node].node, told.day
        units = 0
        for _, n in atoms:
            units += n
        slots: tuple[Slot, ...] = (
            ("node", name, day, "orders", 1),
            ("node", name, day, "lines", len(atoms)),
            ("node", name, day, "units", units),
            ("node", name, day, "grams", parcel.grams),
        )
        if told.service < 0:
            return slots
        service = self._snap.services[told.service].service
        slots = (*slots, ("service", service, day, "orders", 1))
        if parcel.grams:
            slots = (*slots, ("service", service, day, "grams", parcel.grams))
        return slots

    @property
    def plain(self) -> bool:
        """Whether a set of parcels costs what each costs, and nothing but offers refuses it early.

        What limits of capacity and least values say is asked when its parts are made.
        """
        return not (self.rule.constraints or self.designated)

    def quoted(self, node: int, parcel: Parcel) -> tuple[int, int] | str:
        """Return freight and all cost of one parcel, or why nobody takes it."""
        told = self._offer(node, parcel, self._moment)
        return told.why or (told.quote, told.quote + self._snap.nodes[node].pick_cost)

    def money(self, parts: Sequence[Part]) -> tuple[int, int]:
        """Return freight of parts, and what they cost with picking and penalties."""
        freight = cost = 0
        for part in parts:
            freight += part.quote
            cost += self._snap.nodes[part.node].pick_cost
        cost += freight
        for one in self.rule.constraints:
            if not one.hard and _broken(one, self.order, parts, cost):
                cost += one.penalty
        return freight, cost

    def refused(self, parts: Sequence[Part], rest: Atoms, before: int) -> str:
        """Return why parts may not be so, "" if they may; `before` parts stand already."""
        rule, split = self.rule, self.rule.split
        number = len(parts) + before
        if number > split.max_parcels:
            return "max_parcels"
        if (split.min_parcel_value or split.min_parcel_lines) and number + bool(rest) > 1:
            lots = [part.atoms for part in parts] + ([tuple(rest)] if rest else [])
            if min(whole(self.order, lot).value for lot in lots) < split.min_parcel_value:
                return "min_parcel_value"
            if min(len(lot) for lot in lots) < split.min_parcel_lines:
                return "min_parcel_lines"
        for one in rule.constraints:
            if one.hard and _broken(one, self.order, parts, self.money(parts)[1]):
                return one.kind
        return self._twice(parts)

    def _twice(self, parts: Sequence[Part]) -> str:
        """Look at what several lines or parts use together: each passes alone, the sum may not."""
        if self.repeated:
            asked: dict[tuple[int, str], int] = {}
            for part in parts:
                for index, units in part.atoms:
                    key = (part.node, self.order.lines[index].sku)
                    asked[key] = asked.get(key, 0) + units
            if any(units > self.room(node, sku) for (node, sku), units in asked.items()):
                return "no_stock"
        if len(parts) == 1 or not self._taken.limited:
            return ""
        use: dict[Any, int] = {}
        for part in parts:
            for *name, n in part.slots:
                use[tuple(name)] = use.get(tuple(name), 0) + n
        return self._over(use)

    def room(self, node: int, sku: str) -> int:
        """Return how many units of a SKU the rule may take from a node."""
        stock = self._taken.stock(self._snap, sku)
        if stock is None:
            return 1 << 60
        return (stock.usable if self.margin < 0 else stock.units)[node] - max(self.margin, 0)

    def _over(self, use: Mapping[Any, int]) -> str:
        return CAPACITY if self._taken.lacking([(*k, n) for k, n in use.items()]) else ""


def margin(rule: SourcingRule) -> int:
    """Return the units that have to stay at a node besides safety; -1 overrides safety."""
    if any(one.field == "safety_override" and one.value for one in rule.filters):
        return -1
    return max((one.value for one in rule.filters if one.field == "safety_stock"), default=0)


def separated(constraints: Sequence[Constraint]) -> frozenset[str]:
    """Return the tags whose lines never share a parcel with lines that do not have them."""
    tags = [frozenset(one.params["tags"]) for one in constraints if one.kind == "separate"]
    return frozenset().union(*tags)


def _broken(one: Constraint, order: Order, parts: Sequence[Part], cost: int) -> bool:
    if one.kind == "promise_by":
        return bool(order.deliver_by) and any(p.deliver_at > order.deliver_by for p in parts)
    if one.kind == "max_cost":
        return cost > int(one.params["amount"])
    if one.kind == "value_per_parcel":
        limit = int(one.params["amount"])
        return any(whole(order, part.atoms).value > limit for part in parts)
    return False


class Placed(NamedTuple):
    """What a rule placed, and what it says of it."""

    parts: Sequence[Part]
    scores: tuple[tuple[int, tuple[int, ...]], ...] = ()
    why: str = ""
    bounded: bool = False
    cover: int = 0
    until: int = 0
