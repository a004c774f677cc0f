"""Decides the examples that stand in a plan, in the small worlds that they describe.

Carriers are lanes: a service, from a node, to anywhere, for so much. Whatever an example does not
say is as plain as can be, so that it shows one thing.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from engine.carriers.types.services import Parcel, Service
from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.kernel.located import Located, Place
from engine.routing.rules.compiling import measured
from engine.routing.rules.deciding import decide
from engine.routing.types.core import (
    CompiledPlan,
    Decision,
    Line,
    Moment,
    Node,
    Offer,
    Order,
    Reach,
    Snapshot,
    Stock,
)
from engine.routing.types.plans import (
    ExampleFields,
    ExampleLane,
    ExampleLine,
    ExampleNode,
    ExampleOrder,
    ExampleService,
    Expected,
    PlanFields,
    WorldFields,
)

NOW_MS: Final = 1_794_000_000_000  # of no meaning: times of examples are minutes from now
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_NEVER: Final = 1 << 50
_UNIT_GRAMS, _UNIT_VALUE = 500, 1_000  # of a unit where an example does not say
_PLAIN: Final = {"order_kind": "sale", "fulfil_mode": "ship", "hour": 12, "weekday": 1}


class Outcome(NamedTuple):
    """What became of an example: `detail` is "" if all that it expects is so."""

    number: int
    name: str
    place: Place
    detail: str


def run(fields: PlanFields, plan: CompiledPlan, located: Located | None = None) -> list[Outcome]:
    """Decide each example by itself and compare it with what it expects."""
    found = []
    for number, example in enumerate(fields.examples):
        pointer = f"/examples/{number}"
        place = located.place(pointer) if located else Place(1, 1)
        try:
            detail = _differs(fields, plan, example)
        except ValueError as wrong:
            detail = str(wrong)
        found.append(Outcome(number + 1, example.name, place, detail))
    return found


def _differs(fields: PlanFields, plan: CompiledPlan, example: ExampleFields) -> str:
    told = _merged(fields.world, example)
    _known(told, example.expect)
    world = _World(told, measured(plan))
    order = _order(example.order)
    plan = plan._replace(memo={})  # it is of this world alone
    (decision,) = decide(plan, world.snapshot, [order], NOW_MS, world)
    differs = _compared(example.expect, _words(decision, order, world))
    return f"{differs}; {_told(decision)}" if differs else ""


def _merged(plain: WorldFields, own: WorldFields) -> WorldFields:
    """Return a world: each member is the example's own, or else the plan's."""
    named = {name: getattr(own, name) or getattr(plain, name) for name in _MEMBERS}
    return WorldFields(**named)


_MEMBERS: Final = WorldFields.__struct_fields__


def _known(told: WorldFields, expect: Expected) -> None:
    """Refuse names that are no nodes of the example; they would be passed over in silence.

    Raises:
        ValueError: which one, and where.
    """
    if not told.nodes:
        raise ValueError("an example needs nodes, its own or those of the plan's world")
    named: dict[str, Iterable[str]] = {
        "stock": [node for by in told.stock.values() for node in by],
        "lanes": told.lanes,
        "closed": told.closed,
        "late": told.late,
        "load": told.load,
        "metrics": [node for by in told.metrics.values() for node in by],
        "capacity": [name for scope, name, *_ in told.capacity if scope == "node"],
        "expect/parts": expect.parts or (),
    }
    for member, names in named.items():
        for name in names:
            if name not in told.nodes:
                raise ValueError(f"{member}: {name} is no node of this example")


class _Distances:
    """Distances of regions as an example gives them."""

    def __init__(self, told: Iterable[tuple[str, str, int]]) -> None:
        self._metres = {frozenset((a, b)): km * 1_000 for a, b, km in told}

    def metres(self, a: str, b: str) -> int | None:
        """Return what was said of two regions; 0 if they are one."""
        return 0 if a and a == b else self._metres.get(frozenset((a, b)))


class _World:
    """An example's nodes, stock and carriers; a `Carriage` of constant lanes."""

    def __init__(self, told: WorldFields, metrics: Iterable[str]) -> None:
        self.names = list(told.nodes)
        nodes = tuple(
            _node(no, name, one or ExampleNode())
            for no, (name, one) in enumerate(told.nodes.items())
        )
        services = told.services or {"standard": None}
        self.services = tuple(_service(n, one or ExampleService()) for n, one in services.items())
        self._numbers = {one.service: no for no, one in enumerate(self.services)}
        first = [ExampleLane(service=next(iter(services)))]
        self._lanes = [told.lanes.get(name, first) for name in self.names]
        for lane in (lane for lanes in self._lanes for lane in lanes):
            if lane.service and lane.service not in self._numbers:
                raise ValueError(f"lanes: {lane.service} is no service of this example")
        self._closed, self._late = self._mask(told.closed), self._mask(told.late)
        self.snapshot = self._snapshot(told, nodes, metrics)

    def _snapshot(
        self, told: WorldFields, nodes: tuple[Node, ...], metrics: Iterable[str]
    ) -> Snapshot:
        groups: dict[str, int] = {}
        for one in nodes:
            groups[one.group] = groups.get(one.group, 0) | 1 << one.no
        return Snapshot(
            nodes,
            {one.node: one.no for one in nodes},
            {sku: Stock(self._row(by)) for sku, by in told.stock.items()},
            groups,
            {(scope, name, 0, dim): (used, most) for scope, name, dim, used, most in told.capacity},
            tuple(self._row(told.load)),
            self.services,
            None,
            frozenset(told.off),
            _Distances(told.distances),
            {name: tuple(self._row(told.metrics.get(name, {}))) for name in metrics},
        )

    def _row(self, by: Mapping[str, int]) -> list[int]:
        return [by.get(name, 0) for name in self.names]

    def _mask(self, names: Iterable[str]) -> int:
        return sum(1 << self.names.index(name) for name in set(names))

    def kind(self, order: Order, parcel: Parcel) -> Hashable:
        """Return what `reach` depends on: there is one order."""
        return (order.order_id, parcel.service)

    def reach(self, order: Order, parcel: Parcel, moment: Moment) -> Reach:
        """Return who could send it, and when it would be there."""
        every = (1 << len(self.names)) - 1
        served, deliver, why = 0, [], []
        for no in range(len(self.names)):
            lanes = [lane for lane, _ in self._fits(order, no, parcel, moment)]
            if lanes:
                served |= 1 << no
                days = min(lanes, key=lambda lane: (lane.first, lane.days)).days
                deliver.append(moment.now_ms + days * _DAY_MS)
            else:
                deliver.append(_NEVER)
                why.append((no, "no_service"))
        now, today = (moment.now_ms,) * len(self.names), (0,) * len(self.names)
        return Reach(
            every & ~self._closed, served, every & ~self._late, now, tuple(deliver), today,
            tuple(why),
        )  # fmt: skip

    def offer(self, order: Order, node: int, parcel: Parcel, moment: Moment) -> Offer:
        """Return the cheapest lane that takes a parcel, the first service of equal ones."""
        lanes = [
            (lane.first + lane.step * max(0, -(-(parcel.grams - 1_000) // 1_000)), service, lane)
            for lane, service in self._fits(order, node, parcel, moment)
            if parcel.grams <= lane.grams_max
        ]
        if not lanes:
            return Offer(0, "", 0, 0, 0, 0, 0, "no_carrier")
        quote, service, lane = min(lanes, key=lambda one: one[:2])
        until = moment.now_ms + lane.days * _DAY_MS
        return Offer(service, "example", 1, quote, moment.now_ms, until, 0)

    def _fits(
        self, order: Order, node: int, parcel: Parcel, moment: Moment
    ) -> Iterator[tuple[ExampleLane, int]]:
        for lane in self._lanes[node]:
            number = self._numbers[lane.service] if lane.service else 0
            one = self.services[number]
            off = any(
                name == one.service and order.region.startswith(region)
                for name, region in moment.snap.off
            )
            if not off and (number, 0) not in moment.full and _takes(one, order, parcel):
                yield lane, number


def _takes(one: Service, order: Order, parcel: Parcel) -> bool:
    if (order.allow and one.service not in order.allow) or one.service in order.deny:
        return False
    if parcel.service not in {"", one.service} or (order.cod and not one.cod):
        return False
    return not parcel.tags & one.tags_not and (not order.tier or one.tier in {"", order.tier})


def _service(name: str, one: ExampleService) -> Service:
    return Service(name, tier=one.tier, cod=one.cod, tags_not=frozenset(one.tags_not))


def _node(no: int, name: str, one: ExampleNode) -> Node:
    return Node(
        name, no, one.kind, one.group, one.region, one.lat, one.lon, frozenset(one.tags),
        one.sequence, one.pick_cost, modes=frozenset(one.modes),
    )  # fmt: skip


def _order(told: ExampleOrder) -> Order:
    given = told.lines
    if isinstance(given, dict):
        given = [ExampleLine(sku, units) for sku, units in given.items()]
    lines = tuple(_line(no, one) for no, one in enumerate(given, 1))

    def at(minutes: int) -> int:
        return NOW_MS + minutes * _MINUTE_MS if minutes else 0

    return Order(
        "example", "main", told.channel, _facts(told, lines), told.region, told.lat, told.lon,
        lines, told.mode, told.tier, told.cod, told.insured, "CNY", at(told.paid_at) or NOW_MS,
        at(told.ship_by), at(told.deliver_by), told.priority, "", "",
        tuple((line, node, at(minutes)) for line, node, minutes in told.excluded), told.hops,
        frozenset(told.allow), frozenset(told.deny),
    )  # fmt: skip


def _line(number: int, one: ExampleLine) -> Line:
    grams = one.units * _UNIT_GRAMS if one.grams is None else one.grams
    value = one.units * _UNIT_VALUE if one.value is None else one.value
    return Line(
        one.line_no or number, one.sku, one.group, one.units, grams, one.cm3, value,
        frozenset(one.tags), one.node, one.service, one.parts_of, one.ship_with,
    )  # fmt: skip


def _facts(told: ExampleOrder, lines: tuple[Line, ...]) -> tuple[Any, ...]:
    """Return what conditions ask for: what was said, and what follows from the order."""
    known: dict[str, object] = {
        **_PLAIN,
        "channel": told.channel, "tier": told.tier, "priority": told.priority,
        "total": sum(one.value for one in lines), "units": sum(one.units for one in lines),
        "lines": len(lines), "grams": sum(one.grams for one in lines),
        "cm3": sum(one.cm3 for one in lines), "region": told.region,
        "province": told.region[:2], "tags": {tag for one in lines for tag in one.tags},
        "cod": told.cod, "insured": told.insured, "fulfil_mode": told.mode,
        "skus": [one.sku for one in lines], "hops": told.hops,
    }  # fmt: skip
    return ORDER_SCHEMA.facts(known | told.facts)


def _words(decision: Decision, order: Order, world: _World) -> dict[str, object]:
    """Return a decision as examples speak of one."""
    parts: dict[str, dict[str, int]] = {}
    for part in decision.parts:
        by = parts.setdefault(world.names[part.node], {})
        _count(by, part.atoms, order)
    rest: dict[str, int] = {}
    _count(rest, decision.rest, order)
    return {
        "parts": parts, "rest": rest, "queue": decision.queue, "reason": decision.reason,
        "stage": decision.stage, "rule": decision.rule,
        "by": [world.services[part.service].service for part in decision.parts],
    }  # fmt: skip


def _told(decision: Decision) -> str:
    """Return what each rule that was tried said, for whoever looks for the reason."""
    tried = [f"rule {one.rule} {one.why or 'placed'}" for one in decision.trace.tried]
    end = f"{decision.queue} {decision.reason}".strip()
    return ", ".join([*(tried or ["no rule was tried"]), *([f"then {end}"] if end else [])])


def _count(found: dict[str, int], atoms: Iterable[tuple[int, int]], order: Order) -> None:
    for index, units in atoms:
        line = str(order.lines[index].line_no)
        found[line] = found.get(line, 0) + units


def _compared(expect: Expected, got: Mapping[str, object]) -> str:
    """Return in which ways a decision is another one, "" if it is the one that was expected."""
    asked = msgspec.structs.asdict(expect)
    return "; ".join(
        f"{name}: expected {_shown(value)}, decided {_shown(got[name])}"
        for name, value in asked.items()
        if value is not None and value != got[name]
    )


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
