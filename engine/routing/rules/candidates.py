"""Which nodes may send an order at all: each filter is a set of nodes, and all are ANDed.

What depends on the rule, the address and the mode alone is worked out once and kept (`standing`);
what moves with each order is looked at each time (`moving`; its stock in rules/needs.py). Each
step's set is the trace: nothing else is recorded while deciding.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from engine.routing.rules.taking import Taken
from engine.routing.types.core import (
    CALENDAR,
    CAPACITY,
    CARRIER,
    CONSTRAINT,
    MODE,
    NODE_WHEN,
    PROMISE,
    RULE_FILTER,
    Constraint,
    Node,
    NodeFilter,
    Order,
    Reach,
    Snapshot,
    SourcingRule,
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
    steps: list[tuple[int, Callable[[Node], bool]]] = [(MODE, lambda n: _does(n, order, snap))]
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


def _does(node: Node, order: Order, snap: Snapshot) -> bool:
    """Return whether a node does what an order is to be done with; at once only so far away."""
    if order.mode not in node.modes:
        return False
    far = order.mode == "instant" and node.radius > 0
    return not far or _metres(order, node, snap) <= node.radius


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
    values = None if field in _FIELDS else snap.metrics.get(field)
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
