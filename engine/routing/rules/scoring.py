"""What makes one node, or one set of nodes, better than another.

A lexicographic rule compares metric by metric; a weighted one adds them up, each brought to 0 .. 1
million over the candidates. All numbers are integers, less is better (a metric that is to be large
is negated), and the last tie is broken by the node's number, so that the order of candidates never
decides.

Of several parcels money is summed; of everything else the worst parcel counts. Where two nodes of a
set have the same line, it goes to the first of them by `rank`: the metrics without money, in the
plan's order, then the number.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.routing.rules import candidates
from engine.routing.rules.candidates import bits
from engine.routing.rules.taking import Taken
from engine.routing.types.core import Order, Reach, Scorer, Snapshot, SourcingRule

MONEY: Final = ("freight", "total_cost")  # as `Desk.money` returns them
METRICS: Final = frozenset(MONEY) | {
    "parcels", "delivery_eta", "ship_at", "distance", "fixed_sequence", "other_market",
    "node_load", "stock_depth",
}  # fmt: skip
_ONE: Final = 1_000_000  # a normalised metric is 0 .. this
_SERVED: Final = 1 << 60

Levels = tuple[tuple[int, int], ...]


class Metric(NamedTuple):
    """One scorer of a rule for one order: values by node, less is better.

    `values` is None where it is money, which only an offer tells. `levels` are the sets of nodes of
    equal value, the best first, where they were worth keeping.
    """

    scorer: Scorer
    values: Sequence[int] | None
    levels: Levels | None


def metrics(
    rule: SourcingRule, order: Order, reach: Reach, snap: Snapshot, taken: Taken,
    memo: dict[Hashable, Any],
) -> list[Metric]:  # fmt: skip
    """Return the metrics of a rule for an order; `memo` is of this snapshot, minute and kind."""
    found = []
    for one in rule.scorers:
        if one.metric in MONEY:
            found.append(Metric(one, None, None))
        elif one.metric in {"node_load", "stock_depth"}:
            moving = taken.load if one.metric == "node_load" else _depth(order, snap, taken)
            sign = -1 if one.direction == "max" else 1
            found.append(Metric(one, moving if sign > 0 else [-v for v in moving], None))
        elif one.metric != "parcels":
            key: Hashable = (one.metric, one.direction)
            if one.metric == "distance" and order.lat is not None:
                key = (one.metric, one.direction, order.lat, order.lon)
            kept = memo.get(key)
            if kept is None:
                kept = memo[key] = _standing(one, order, reach, snap)
            found.append(kept)
    return found


def _standing(one: Scorer, order: Order, reach: Reach, snap: Snapshot) -> Metric:
    values: Sequence[int]
    if one.metric == "delivery_eta":
        values = reach.deliver_at
    elif one.metric == "ship_at":
        values = reach.ship_at
    elif one.metric == "distance":
        values = candidates.metres(order, snap)
    elif one.metric == "fixed_sequence":
        values = [node.sequence for node in snap.nodes]
    elif one.metric == "other_market":  # the first two digits of a region are its province
        values = [int(node.region[:2] != order.region[:2]) for node in snap.nodes]
    else:
        values = snap.metrics[one.metric]
    if one.direction == "max":
        values = [-value for value in values]
    levels: dict[int, int] = {}
    for no, value in enumerate(values):
        levels[value] = levels.get(value, 0) | 1 << no
    return Metric(one, values, tuple(sorted(levels.items())))


def _depth(order: Order, snap: Snapshot, taken: Taken) -> list[int]:
    depth = [0] * len(snap.nodes)
    for sku in {line.sku for line in order.lines}:
        stock = taken.stock(snap, sku)
        if stock is not None:
            for no in bits(stock.mask):
                depth[no] += stock.units[no]
    return depth


def shortlist(found: Sequence[Metric], cover: int) -> int:
    """Return nodes of `cover` that hold the best and the runner-up of a lexicographic rule."""
    levels = found[0].levels if found else None
    if levels is None:
        return cover
    taken = 0
    for _, mask in levels:
        taken |= mask & cover
        if taken & (taken - 1):  # two or more
            return taken
    return taken


def amount(scorer: Scorer, money: Sequence[int]) -> int:
    """Return what a scorer takes of (freight, all cost)."""
    found = money[MONEY.index(scorer.metric)]
    return -found if scorer.direction == "max" else found


def of_nodes(
    found: Sequence[Metric], nodes: Sequence[int], money: Mapping[int, Sequence[int]], *,
    weighted: bool,
) -> dict[int, tuple[int, ...]]:  # fmt: skip
    """Return the score of each node over these nodes; `money` is asked for where it counts.

    A weighted one is one number.
    """
    columns = [
        [amount(one.scorer, money[no]) for no in nodes]
        if one.values is None
        else [one.values[no] for no in nodes]
        for one in found
    ]
    if not weighted:
        rows = zip(*columns, strict=True) if columns else [()] * len(nodes)
        return dict(zip(nodes, rows, strict=True))
    totals = [0] * len(nodes)
    for one, column in zip(found, columns, strict=True):
        for n, part in enumerate(_normalised(one.scorer.normalise, column)):
            totals[n] += one.scorer.weight * part
    return {no: (total,) for no, total in zip(nodes, totals, strict=True)}


def _normalised(how: str, values: Sequence[int]) -> Sequence[int]:
    if not values:
        return values
    least, most = min(values), max(values)
    if least == most:
        return [0] * len(values)
    if how == "rank":
        steps = {value: n for n, value in enumerate(sorted(set(values)))}
        return [steps[value] * _ONE // (len(steps) - 1) for value in values]
    if how == "log":
        top = log2(1 + most - least)
        return [log2(1 + value - least) * _ONE // top for value in values]
    return [(value - least) * _ONE // (most - least) for value in values]


def log2(value: int) -> int:
    """Return the logarithm of a positive integer in units of 1 / 2**20, rounded down.

    By repeated squaring of the mantissa: no float, so no machine differs.
    """
    whole = value.bit_length() - 1
    mantissa = value << 32 >> whole  # 1.0 <= m < 2.0, with 32 binary places
    part = 0
    for _ in range(20):
        mantissa = mantissa * mantissa >> 32
        part <<= 1
        if mantissa >> 33:
            part |= 1
            mantissa >>= 1
    return whole << 20 | part


def rank(found: Sequence[Metric], no: int) -> tuple[int, ...]:
    """Return by what a node of a set comes before the others."""
    return (*[one.values[no] for one in found if one.values is not None], no)
