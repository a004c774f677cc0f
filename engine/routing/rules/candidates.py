"""Which nodes may send an order at all: each filter is a set of nodes, and all are ANDed.

What depends on the rule, the address and the mode alone is worked out once and kept (`standing`);
what moves with each order is looked at each time (`moving`, `needs`). Each step's set is the trace:
nothing else is recorded while deciding.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from engine.routing.rules.taking import Taken
from engine.routing.types.core import (
    CALENDAR,
    CAPACITY,
    CARRIER,
    CONSTRAINT,
    MODE,
    MUCH,
    NODE_WHEN,
    PROMISE,
    RULE_FILTER,
    Constraint,
    Line,
    Node,
    NodeFilter,
    Order,
    Reach,
    Snapshot,
    SourcingRule,
    Stock,
)

FAR: Final = 1 << 40  # metres, of a distance that is not known: farther than all that is
_EARTH_M: Final = 6_371_009  # mean radius
Atom = tuple[int, int]
Verdicts = tuple[tuple[int, int], ...]

# Filters that look at the order's moment or its stock; all others are of node and address alone.
MOVING: Final = frozenset({
    "calendar_open", "cutoff_reachable", "carrier_available", "capacity_left", "node_load",
    "safety_stock", "safety_override",
})  # fmt: skip
STANDING: Final = frozenset({
    "node", "node_group", "node_type", "node_tag", "temp_zone", "owner", "sequence", "region",
    "distance_km", "same_region", "serves_region",
})  # fmt: skip
OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda a, b: bool(a == b),
    "ne": lambda a, b: bool(a != b),
    "lt": lambda a, b: bool(a < b),
    "le": lambda a, b: bool(a <= b),
    "gt": lambda a, b: bool(a > b),
    "ge": lambda a, b: bool(a >= b),
    "in": lambda a, b: a in b,
    "not_in": lambda a, b: a not in b,
    "between": lambda a, b: bool(b[0] <= a <= b[1]),
    "is_null": lambda a, b: (a in {"", None, FAR}) is bool(b),
}


@lru_cache(maxsize=65_536)
def bits(mask: int) -> tuple[int, ...]:
    """Return the numbers of a set, the least first; the same sets come again and again."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return tuple(found)


def metres(order: Order, snap: Snapshot) -> tuple[int, ...]:
    """Return the distance of each node, `FAR` where neither coordinates nor regions tell it."""
    return tuple(_metres(order, node, snap) for node in snap.nodes)


def _metres(order: Order, node: Node, snap: Snapshot) -> int:
    if order.lat is None or order.lon is None or node.lat is None or node.lon is None:
        told = snap.regions.metres(order.region, node.region)
        return FAR if told is None else told
    north, south = math.radians(order.lat), math.radians(node.lat)
    east = math.radians(order.lon - node.lon)
    half = math.sin((north - south) / 2) ** 2
    half += math.cos(north) * math.cos(south) * math.sin(east / 2) ** 2
    # whole metres: what two machines' sines differ by is far below
    return round(2 * _EARTH_M * math.asin(math.sqrt(half)))


def standing(rule: SourcingRule, order: Order, snap: Snapshot) -> tuple[int, Verdicts]:
    """Return the nodes that mode, condition and standing filters leave, and each step's."""
    steps: list[tuple[int, Callable[[Node], bool]]] = [(MODE, lambda n: order.mode in n.modes)]
    if rule.node_when is not None:
        steps.append((NODE_WHEN, rule.node_when))
    for no, one in enumerate(rule.filters):
        if one.field not in MOVING:
            steps.append((RULE_FILTER + no, _filter(one, order, snap)))
    left, verdicts = (1 << len(snap.nodes)) - 1, []
    for number, holds in steps:
        left = sum(1 << no for no in bits(left) if holds(snap.nodes[no]))
        verdicts.append((number, left))
    for bound in rule.constraints:
        if bound.kind in {"region_embargo", "channel_must_use_node"}:
            left &= _bound(bound, order, snap)
            verdicts.append((CONSTRAINT, left))
    return left, tuple(verdicts)


def _bound(bound: Constraint, order: Order, snap: Snapshot) -> int:
    """Return the nodes that a constraint leaves: the only ones, or all but the embargoed."""
    names = bound.params.get("nodes", list(snap.index))
    mask = sum([1 << snap.index[name] for name in names if name in snap.index])
    if bound.kind == "channel_must_use_node":
        return mask
    return ~mask if order.region.startswith(tuple(bound.params["regions"])) else -1


def _filter(one: NodeFilter, order: Order, snap: Snapshot) -> Callable[[Node], bool]:
    """Return what a filter says of a node; raises `KeyError` for one that there is not."""
    field, value, holds = one.field, one.value, OPERATORS[one.op]
    if field in {"node_tag", "temp_zone", "owner"}:
        return _tagged(one)
    if field == "serves_region":
        return lambda node: _serves(node, order.region) is bool(value)
    if field == "same_region":  # the first digits: 2 are a province, 4 a city, 6 a district
        return lambda node: node.region[:value] == order.region[:value]
    if field == "distance_km":
        if one.op != "is_null":
            value = [km * 1_000 for km in value] if isinstance(value, list) else value * 1_000
        return lambda node: holds(_metres(order, node, snap), value)
    values = snap.metrics.get(field)
    get = _FIELDS[field] if values is None else lambda node: values[node.no]
    return lambda node: holds(get(node), value)


def _tagged(one: NodeFilter) -> Callable[[Node], bool]:
    """Return whether a node has (or has not) a tag; temp_zone X is the tag `temp_zone:X`."""
    asked = [one.value] if isinstance(one.value, str) else one.value
    prefix = "" if one.field == "node_tag" else f"{one.field}:"
    names, wanted = frozenset(prefix + name for name in asked), one.op in {"eq", "in"}
    return lambda node: bool(names & node.tags) is wanted


_FIELDS: Final[Mapping[str, Callable[[Node], Any]]] = {
    "node": lambda node: node.node,
    "node_group": lambda node: node.group,
    "node_type": lambda node: node.kind,
    "sequence": lambda node: node.sequence,
    "region": lambda node: node.region,
}


def _serves(node: Node, region: str) -> bool:
    served = [tag[7:] for tag in node.tags if tag.startswith("serves:")]
    return not served or region.startswith(tuple(served))


def reached(
    rule: SourcingRule, order: Order, reach: Reach, kept: tuple[int, Verdicts]
) -> tuple[int, Verdicts]:
    """Return what `standing` leaves of the nodes that are open and served, each step with it.

    Who picks up himself needs no carrier.
    """
    left, verdicts = kept[0], list(kept[1])
    steps = [(CALENDAR, reach.open), (CARRIER, -1 if order.mode == "pickup" else reach.served)]
    asked = {
        "calendar_open": reach.open,
        "carrier_available": reach.served,
        "cutoff_reachable": reach.today,
    }
    for no, one in enumerate(rule.filters):
        if one.field in asked:
            mask = asked[one.field]
            steps.append((RULE_FILTER + no, mask if one.value else ~mask))
    for number, mask in steps:
        left &= mask
        verdicts.append((number, left))
    return left, tuple(verdicts)


def moving(
    rule: SourcingRule, order: Order, reach: Reach, snap: Snapshot, taken: Taken
) -> list[tuple[int, int]]:
    """Return the sets of what moves with each order: (filter, nodes that it leaves of all)."""
    steps = []
    if taken.full:
        day = reach.day
        steps.append((CAPACITY, ~sum([1 << no for no, at in taken.full if day[no] == at])))
    if order.deliver_by:
        for bound in rule.constraints:
            if bound.kind == "promise_by" and bound.hard:
                at = enumerate(reach.deliver_at)
                late = sum([1 << no for no, when in at if when > order.deliver_by])
                steps.append((PROMISE, ~late))
    for no, one in enumerate(rule.filters):
        if one.field in {"capacity_left", "node_load"}:
            steps.append((RULE_FILTER + no, _counted(one, reach, snap, taken)))
    return steps


def _counted(one: NodeFilter, reach: Reach, snap: Snapshot, taken: Taken) -> int:
    holds = OPERATORS[one.op]
    counts = taken.load
    if one.field == "capacity_left":
        counts = [taken.left(node.node, reach.day[node.no]) for node in snap.nodes]
    return sum([1 << no for no, n in enumerate(counts) if holds(n, one.value)])


class Wanted:
    """What is needed, each of one SKU: by one line, or by all lines that ask for it.

    `masks` are the nodes that have all of it, `may` those that may send it if they have any,
    `lots` its atoms.
    """

    __slots__ = ("lots", "masks", "may", "repeated", "skus")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.masks: list[int] = []
        self.may: list[int] = []
        self.skus: list[str] = []
        self.lots: list[tuple[Atom, ...]] = []
        self.repeated = False

    def add(self, mask: int, may: int, sku: str, atoms: tuple[Atom, ...]) -> None:
        """Add one need."""
        self.masks.append(mask)
        self.may.append(may)
        self.skus.append(sku)
        self.lots.append(atoms)

    def only(self, which: Sequence[int]) -> "Wanted":
        """Return these needs alone."""
        new = Wanted()
        new.repeated = self.repeated
        for n in which:
            new.add(self.masks[n], self.may[n], self.skus[n], self.lots[n])
        return new

    def atoms(self) -> tuple[Atom, ...]:
        """Return all atoms, by line."""
        return tuple(sorted([atom for lot in self.lots for atom in lot]))


def wanted(
    order: Order, demand: Sequence[Atom], snap: Snapshot, taken: Taken, margin: int, now_ms: int
) -> Wanted:
    """Return what is needed of each SKU, and who has it, before any rule is asked.

    `margin` are units that have to stay at a node besides; -1 overrides safety.
    """
    plain = not margin and not order.excluded and len(demand) == len(order.lines)
    found = _plain(order, snap, taken) if plain else None
    if found is not None:
        return found
    lines, found = order.lines, Wanted()
    for atoms in _by_sku(lines, demand):
        line = lines[atoms[0][0]]
        mask = snap.groups.get(line.group, 0)
        if line.node:
            mask &= 1 << snap.index[line.node] if line.node in snap.index else 0
        if order.excluded:
            mask &= ~_excluded(order, [lines[i].line_no for i, _ in atoms], snap, now_ms)
        stock, may = taken.stock(snap, line.sku), mask
        if stock is not None:
            units = sum([n for _, n in atoms])
            mask = _careful(mask, stock, units, margin)
        found.add(mask, may, line.sku, atoms)
    found.repeated = len(set(found.skus)) < len(found.skus)
    return found


def _plain(order: Order, snap: Snapshot, taken: Taken) -> Wanted | None:
    """Return what is needed of an order without designations and repeated SKUs; else None.

    The loop that every order runs through: it calls nothing that it does not have to.
    """
    found = Wanted()
    masks, every, skus, lots = found.masks, found.may, found.skus, found.lots
    copies, stocks, groups = taken.stocks, snap.stock, snap.groups
    index = 0
    for _, sku, group, units, _, _, _, _, node, _, _ in order.lines:
        if node:
            return None
        mask = groups.get(group, 0)
        every.append(mask)
        stock = copies.get(sku) or stocks.get(sku)
        if stock is not None:
            mask &= stock.mask
            if units > stock.least:
                mask = _enough(mask, stock, units)
        masks.append(mask)
        skus.append(sku)
        lots.append(((index, units),))
        index += 1  # noqa: SIM113  # enumerate makes a tuple more a line
    if len(set(skus)) < len(skus):
        return None
    return found


def _enough(mask: int, stock: Stock, units: int) -> int:
    row = stock.units
    look = mask & ~stock.much if units <= MUCH else mask
    while look:
        low = look & -look
        if row[low.bit_length() - 1] < units:
            mask ^= low
        look ^= low
    return mask


def _careful(mask: int, stock: Stock, units: int, margin: int) -> int:
    """Return who has it all; a margin that is not 0 is more safety than usual, or none."""
    if not margin:
        mask &= stock.mask
        return _enough(mask, stock, units) if units > stock.least else mask
    row = stock.usable if margin < 0 else stock.units
    needed = units + max(margin, 0)
    return sum([1 << no for no in bits(mask) if row[no] >= needed])


def _by_sku(lines: Sequence[Line], demand: Sequence[Atom]) -> Sequence[tuple[Atom, ...]]:
    """Return the demand with lines of one SKU together: alone each would pass, the sum not."""
    if len({lines[i].sku for i, _ in demand}) == len(demand):
        return [(atom,) for atom in demand]
    found: dict[tuple[str, str, str, frozenset[str], int], list[Atom]] = {}
    for index, units in demand:
        line = lines[index]
        key = (line.sku, line.group, line.node, line.tags, line.parts_of)
        found.setdefault(key, []).append((index, units))
    return [tuple(atoms) for atoms in found.values()]


def _excluded(order: Order, lines: Sequence[int], snap: Snapshot, now_ms: int) -> int:
    mask = 0
    for line_no, node, until in order.excluded:
        if line_no in lines and until > now_ms and node in snap.index:
            mask |= 1 << snap.index[node]
    return mask
