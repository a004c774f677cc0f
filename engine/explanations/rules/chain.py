"""The chain of a channel: from all units there are to those that it may sell, step by step.

    on hand at all nodes                                   or, never counted, all units declared
      physical   nodes that do not count; locked, committed, handed over
      logical    what stock rules withhold
      shared     groups of nodes that the channel does not reach; sold and not given to a node yet,
                 held; owed, short and credit, which add: units that were sold and are not there
                 have left nothing; waves to come; what is on its way to the cell or from it
      channel    free in pools of others; beyond a cap; all, while a gate is closed
    = sellable

Each step is read off what the layers themselves say, and what they left is counted along: the last
sum is what the cell's pools have for the channel, so the chain is checked against them by being
one.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from engine.explanations.types import Known, Layer, Plan, Reach, Term
from engine.inventory.types import Dimensions
from engine.inventory.types.supply import Base, Pool
from engine.logical.types.bases import NodeBase

_PHYSICAL = frozenset({"locked", "committed", "handed_over"})
_ALIKE_MAX: Final = 8  # terms of one kind in a chain among many


class Step(NamedTuple):
    """A term before it is known what it leaves."""

    layer: Layer
    kind: str
    units: int
    about: str = ""


class Chain(NamedTuple):
    """A chain: what it begins with, its terms, what is left."""

    start: int
    terms: list[Term]
    sellable: int


def chain(known: Known, reach: Reach, plan: Plan) -> Chain:
    """Return the chain of one channel; `plan` is what its SKU comes to now."""
    groups = {pool.node_group for pool, _ in reach.draws}
    if known.stock.bases is None:
        start = sum(pool.free + pool.used for pool in known.stock.pools)
        first = _other_groups(
            {pool.name.node_group: 0 for pool in known.stock.pools}
            | _by_group(known.stock.pools), groups,
        )  # fmt: skip
        bases: Mapping[str, Base] = {}
    else:
        start = sum(node.on_hand for node in known.nodes)
        bases = known.stock.bases
        first = _physical(known.nodes)
        first += _other_groups({group: base.sellable for group, base in bases.items()}, groups)
    steps = [*first, *_shared(known, groups, bases, plan), *_channel(known, reach, groups)]
    terms, left = [], start
    for step in steps:
        if step.units:
            left -= step.units
            terms.append(Term(step.layer, step.kind, step.about, step.units, left))
    return Chain(start, terms, left)


def shortened(terms: Sequence[Term], binding: Term | None) -> tuple[list[Term], Term | None]:
    """Return the chain with the smaller of many terms of one kind in one, and the binding term.

    The binding one stays, and the chain sums up to the same.
    """
    alike: defaultdict[tuple[Layer, str], list[Term]] = defaultdict(list)
    for term in terms:
        alike[term.layer, term.kind].append(term)
    others: dict[Term, list[Term]] = {}
    for of_kind in alike.values():
        of_kind.sort(key=lambda term: (term == binding, abs(term.units)), reverse=True)
        if len(of_kind) > _ALIKE_MAX:
            others |= dict.fromkeys(of_kind[_ALIKE_MAX:], of_kind[_ALIKE_MAX:])
    found: list[Term] = []
    kept = None
    left = terms[0].left + terms[0].units if terms else 0
    for term in terms:
        summed = others.get(term)
        if summed is None:
            one = term
        elif term == summed[0]:
            units = sum(each.units for each in summed)
            one = replace(term, about=f"{len(summed)} others", units=units)
        else:
            continue
        left -= one.units
        found.append(replace(one, left=left))
        kept = found[-1] if term == binding else kept
    return found, kept


def node_terms(node: NodeBase) -> list[Term]:
    """Return what is taken off the units on hand of one node."""
    terms, left = [], node.on_hand
    for step in _of_node(node):
        left -= step.units
        terms.append(Term(step.layer, step.kind, step.about, step.units, left))
    return terms


def sellable(known: Known, reach: Reach) -> int:
    """Return what the channel may sell, by what its pools have."""
    if known.gates.get(reach.campaign):
        return 0
    return drawn({pool.name: pool.free for pool in known.stock.pools if not pool.ended}, reach)


def drawn(free: Mapping[Dimensions, int], reach: Reach, more: int = 0) -> int:
    """Return what may be drawn of pools with so many free units, were caps so much higher."""
    return sum(
        within(free.get(name, 0), None if left is None else left + more)
        for name, left in reach.draws
    )


def pool_name(name: Dimensions) -> str:
    """Say which pool of its SKU it is."""
    of = name.channel or "shared"
    campaign = f" in {name.campaign}" if name.campaign else ""
    return f"{of}{campaign}" + (f" @{name.node_group}" if name.node_group else "")


def _physical(nodes: Sequence[NodeBase]) -> list[Step]:
    elsewhere = [
        Step("physical", node.why_not, node.on_hand, node.node) for node in nodes if not node.counts
    ]
    summed: defaultdict[tuple[Layer, str, str], int] = defaultdict(int)
    for node in nodes:
        for step in _of_node(node) if node.counts else ():
            summed[step.layer, step.kind, step.about] += step.units
    taken = [Step(layer, kind, units, about) for (layer, kind, about), units in summed.items()]
    return [*elsewhere, *sorted(taken, key=_place)]


def _of_node(node: NodeBase) -> Iterator[Step]:
    for term in node.terms:
        layer: Layer = "physical" if term.kind in _PHYSICAL else "logical"
        yield Step(layer, term.kind, term.units, term.rule or term.detail)


def _other_groups(units: Mapping[str, int], groups: set[str]) -> list[Step]:
    return [
        Step("shared", "other_group", count, group)
        for group, count in sorted(units.items())
        if group not in groups
    ]


def _shared(
    known: Known, groups: set[str], bases: Mapping[str, Base], plan: Plan
) -> Iterator[Step]:
    pools = [pool for pool in known.stock.pools if pool.name.node_group in groups]
    accounts = [known.accounts[pool.name] for pool in pools]
    counted = known.stock.bases is not None
    assigned = sum(base.assigned for group, base in bases.items() if group in groups)
    sold = sum(one.sold for one in accounts) - assigned
    held, owed = sum(one.held for one in accounts), sum(one.owed for one in accounts)
    yield Step("shared", "sold", sold)
    yield Step("shared", "held", held)
    yield Step("shared", "owed", -owed)
    if not counted:
        return
    outcome, credit = plan.outcome, plan.credit
    lent = sum(units for name, units in credit.items() if name.node_group in groups)
    short = sum(units for group, units in outcome.shorts.items() if group in groups)
    moved = sum(pool.moved for pool in pools)
    base = sum(one.sellable for group, one in bases.items() if group in groups)
    waves = sum(units for group, units in outcome.waves.items() if group in groups)
    should = base - sold - held + owed + lent + short + moved - waves
    actual = sum(pool.free for pool in pools)
    yield Step("shared", "credit", -lent)
    yield Step("shared", "short", -short)
    yield Step("shared", "moved", -moved)
    yield Step("shared", "waves", waves)
    yield Step("shared", "on_its_way", should - actual)


def _channel(known: Known, reach: Reach, groups: set[str]) -> Iterator[Step]:
    caps = dict(reach.draws)
    mine, left = [], 0
    for pool in sorted(known.stock.pools, key=lambda one: one.name):
        if pool.name in caps and not pool.ended:
            mine.append(pool)
        elif pool.name.node_group in groups:
            yield Step("channel", "pool", pool.free, pool_name(pool.name))
    for pool in mine:
        units = within(pool.free, caps[pool.name])
        yield Step("channel", "cap", pool.free - units, pool_name(pool.name))
        left += units
    for kind, about in known.gates.get(reach.campaign, ())[:1]:
        yield Step("channel", kind, left, about)


def within(units: int, left: int | None) -> int:
    """Return how many of these units a cap lets through, of which so much is left."""
    return units if left is None else max(0, min(units, left))


def _by_group(pools: Sequence[Pool]) -> dict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    for pool in pools:
        found[pool.name.node_group] += pool.free + pool.used
    return dict(found)


_ORDER = (
    "locked", "committed", "handed_over", "condition", "quality_hold", "expiry", "safety",
    "set_aside",
)  # fmt: skip


def _place(step: Step) -> tuple[int, str]:
    return _ORDER.index(step.kind), step.about
