"""What one change would free: the layers' own rules, asked again with it.

To plan a SKU costs as much as it has pools. What does not depend on the channel is planned once for
all of them (`alternatives`); moves are tried while `_PLANNED_POOLS_MAX` pools are not planned yet.

A plan may take two steps, and leave shares of ratios as sales left them (rules/supply.py of the
inventory). Whatever is done has the SKU planned anew, so what pools have in the end is compared
with what they have now.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from engine.explanations.rules.chain import drawn, pool_name, sellable
from engine.explanations.types import Change, ChangeKind, Known, Plan, Reach, Term
from engine.inventory.rules import supply
from engine.inventory.types import Dimensions
from engine.inventory.types.supply import Pool, Stock
from engine.kernel.limits import QUANTITY_MAX
from engine.logical.types.bases import NodeBase

_SHOWN_MAX: Final = 20
_PLANNED_POOLS_MAX: Final = 20_000  # 2 s; a SKU has a dozen

Free = Mapping[Dimensions, int]


class Alternative(NamedTuple):
    """A change that is the same for all channels, and what the pools would have free."""

    change: ChangeKind
    about: str
    term: str
    says: str
    free: Free


def planned(stock: Stock, now: datetime) -> Plan:
    """Return what a SKU comes to."""
    final = _final(stock, now)
    lacking: defaultdict[str, int] = defaultdict(int)
    for pool in _open_pools(stock):
        lacking[pool.name.node_group] += final.get(pool.name, pool.given) - pool.given
    given = {
        pool.name: final.get(pool.name, pool.given) if lacking[pool.name.node_group] else pool.given
        for pool in _open_pools(stock)
    }
    return Plan(supply.plan(stock, now), supply.credits_of(stock, now), given, final)


def alternatives(
    known: Known, plan: Plan, without: Mapping[str, Sequence[NodeBase]], now: datetime
) -> list[Alternative]:
    """Return what other rules and nodes come to; `without` are the nodes without each rule."""
    kinds = {term.rule: term.kind for node in known.nodes for term in node.terms if term.rule}
    found = [
        Alternative(
            "disable_rule", rule, kinds.get(rule, ""), f"disable stock rule {rule}",
            _free(known, plan, nodes, now),
        )
        for rule, nodes in without.items()
    ]  # fmt: skip
    for node in known.nodes:
        if not node.counts:
            nodes = [one._replace(counts=True) if one is node else one for one in known.nodes]
            says = f"let node {node.node} count: it is {node.why_not.replace('_', ' ')}"
            free = _free(known, plan, nodes, now)
            found.append(Alternative("count_node", node.node, node.why_not, says, free))
    return found


def changes(
    known: Known, reach: Reach, plan: Plan, others: Sequence[Alternative], now: datetime
) -> list[Change]:
    """Return what would free units, most first.

    Each is alone: two together may free more or less than their sum.
    """
    if gates := known.gates.get(reach.campaign, ()):
        candidates = _open(known, reach, gates)
    else:
        candidates = _candidates(known, reach, plan, others, now)
    found = [change for change in candidates if change.frees > 0]
    found.sort(key=lambda one: (-one.frees, one.change, one.about))
    return found[:_SHOWN_MAX]


def binding(
    terms: Sequence[Term], found: Sequence[Change], gates: Sequence[tuple[str, str]] = ()
) -> Term | None:
    """Return the term that keeps most units back; of equal ones the first of the chain.

    A closed gate keeps all of them, also where none of the changes here would open it.
    """
    for term in reversed(terms):
        if (term.kind, term.about) in gates[:1]:
            return term
    best = [one for one in found if one.frees == found[0].frees]
    for term in terms:
        if any(one.term == term.kind and one.about in {term.about, ""} for one in best):
            return term
    return None


def _candidates(
    known: Known, reach: Reach, plan: Plan, others: Sequence[Alternative], now: datetime
) -> Iterator[Change]:
    before = drawn(_now(known.stock), reach)
    for one in others:
        yield Change(
            one.change, one.about, drawn(one.free, reach) - before, one.term, one.says
        )  # fmt: skip
    yield from _caps(_after(known.stock, plan, plan.final), reach, before)
    yield from _moves(known, reach, plan, now, before)


def _open(known: Known, reach: Reach, gates: Sequence[tuple[str, str]]) -> Iterator[Change]:
    """What a closed gate keeps: one that people closed, if it is the only one."""
    kind, about = gates[0]
    if len(gates) == 1 and kind in {"paused_sku", "paused_campaign"}:
        frees = sellable(known._replace(gates={}), reach)
        yield Change("resume", about, frees, kind, f"resume {about}")


def _caps(free: Free, reach: Reach, before: int) -> Iterator[Change]:
    """A cap is of each shared pool that the channel draws from; more may be drawn than it says."""
    for name, left in reach.draws:
        if left is not None and (units := free.get(name, 0) - left) > 0:
            frees = drawn(free, reach, units) - before
            yield Change(
                "raise_cap", pool_name(name), frees, "cap", f"raise shared_cap by {units}"
            )  # fmt: skip


def _moves(
    known: Known, reach: Reach, plan: Plan, now: datetime, before: int
) -> Iterator[Change]:  # fmt: skip
    """Units of a pool that the channel does not draw from, to one of its own in the same group."""
    pools = [pool for pool in known.stock.pools if not pool.ended]
    drawn_from = {name for name, _ in reach.draws}
    own: dict[str, Pool] = {}
    for pool in pools:
        if pool.name in drawn_from and pool.name.channel:
            own.setdefault(pool.name.node_group, pool)
    lenders = [
        pool
        for pool in sorted(pools, key=lambda one: (-one.free, one.name))
        if pool.free > 0 and pool.name not in drawn_from and pool.name.node_group in own
    ]
    room = _PLANNED_POOLS_MAX // (len(pools) * len(known.reaches) or 1)
    for pool in lenders[: min(room, _SHOWN_MAX)]:
        units = min(pool.free, QUANTITY_MAX)  # of one move
        to = own[pool.name.node_group]
        frees = drawn(_moved(known, plan, pool, to, units, now), reach) - before
        name, external = pool_name(pool.name), pool.name.channel in known.stock.external
        after = ", once it confirmed the lower number" if external else ""
        says = f"move {units} units from {name}{after}"
        yield Change("move_units", name, frees, "pool", says)


def _moved(known: Known, plan: Plan, source: Pool, target: Pool, units: int, now: datetime) -> Free:
    """Return what pools would have once free units of one were moved to another, and stayed."""
    by = {source.name: -units, target.name: units}
    pools = [
        pool._replace(moved=pool.moved + by[pool.name], free=pool.free + by[pool.name])
        if pool.name in by
        else pool
        for pool in known.stock.pools
    ]
    moved = known.stock._replace(pools=pools)
    return _after(moved, plan, _final(moved, now))


def _free(known: Known, plan: Plan, nodes: Sequence[NodeBase], now: datetime) -> Free:
    """Return what pools would have if the nodes' chains were these."""
    if known.stock.bases is None and not any(node.counts for node in nodes):
        return _now(known.stock)
    then = _final(known.stock._replace(bases=supply.by_group(nodes)), now)
    return _now(known.stock) if then == plan.final else _after(known.stock, plan, then)


def _now(stock: Stock) -> Free:
    return {pool.name: pool.free for pool in _open_pools(stock)}


def _after(stock: Stock, plan: Plan, then: Free) -> Free:
    """Return what pools have free once they were given something else in all."""
    return {
        pool.name: max(0, pool.free + then[pool.name] - plan.given[pool.name])
        if pool.name in then
        else pool.free
        for pool in _open_pools(stock)
    }


def _final(stock: Stock, now: datetime) -> dict[Dimensions, int]:
    """Return what pools are given in the end: pools that had nothing yet have nothing to lose.

    So nothing waits for what others lose, and no share stays as sales left it.
    """
    bare = [pool._replace(given=-pool.moved) for pool in stock.pools]
    return supply.plan(stock._replace(pools=bare), now).final


def _open_pools(stock: Stock) -> Iterator[Pool]:
    return (pool for pool in stock.pools if not pool.ended)
