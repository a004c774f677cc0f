"""What one change would free: the layers' own rules, asked again with it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from engine.explanations.rules.chain import pool_name, sellable
from engine.explanations.types import Change, Known, Reach, Term
from engine.inventory.rules import supply
from engine.logical.types.bases import NodeBase

_SHOWN_MAX = 20


def changes(
    known: Known, reach: Reach, without: Mapping[str, Sequence[NodeBase]], now: datetime
) -> list[Change]:
    """Return what would free units, most first; `without` are the nodes without each rule.

    Each is alone: two together may free more or less than their sum.
    """
    before = sellable(known, reach)
    found = [
        change for change in _candidates(known, reach, without, now, before) if change.frees > 0
    ]
    found.sort(key=lambda one: (-one.frees, one.change, one.about))
    return found[:_SHOWN_MAX]


def binding(terms: Sequence[Term], found: Sequence[Change]) -> Term | None:
    """Return the term that keeps most units back; of equal ones the first of the chain."""
    if not found:
        return None
    best = [one for one in found if one.frees == found[0].frees]
    for term in terms:
        if any(one.term == term.kind and one.about in {term.about, ""} for one in best):
            return term
    return None


def _candidates(
    known: Known,
    reach: Reach,
    without: Mapping[str, Sequence[NodeBase]],
    now: datetime,
    before: int,
) -> Iterator[Change]:
    if gates := known.gates.get(reach.campaign, ()):
        yield from _open(known, reach, gates)
        return
    for rule, nodes in without.items():
        kind = next(
            (term.kind for node in known.nodes for term in node.terms if term.rule == rule), ""
        )
        frees = _replanned(known, reach, nodes, now) - before
        yield Change("disable_rule", rule, frees, kind, f"disable stock rule {rule}")
    for node in known.nodes:
        if not node.counts:
            nodes = [one._replace(counts=True) if one is node else one for one in known.nodes]
            frees = _replanned(known, reach, nodes, now) - before
            says = f"let node {node.node} count: it is {node.why_not.replace('_', ' ')}"
            yield Change("count_node", node.node, frees, node.why_not, says)
    yield from _from_pools(known, reach)


def _open(known: Known, reach: Reach, gates: Sequence[tuple[str, str]]) -> Iterator[Change]:
    """What a closed gate keeps: one that people closed, if it is the only one."""
    kind, about = gates[0]
    if len(gates) == 1 and kind in {"paused_sku", "paused_campaign"}:
        frees = sellable(known._replace(gates={}), reach)
        yield Change("resume", about, frees, kind, f"resume {about}")


def _from_pools(known: Known, reach: Reach) -> Iterator[Change]:
    groups = {name.node_group for name, _ in reach.draws}
    drawn = dict(reach.draws)
    own = any(name.channel for name in drawn)
    for pool in known.stock.pools:
        if pool.ended or pool.free <= 0 or pool.name.node_group not in groups:
            continue
        name = pool_name(pool.name)
        if pool.name in drawn:
            cap = drawn[pool.name]
            if cap is not None and cap < pool.free:
                frees = pool.free - max(0, cap)
                yield Change("raise_cap", name, frees, "cap", f"raise shared_cap by {frees}")
        elif own:
            confirmed = pool.name.channel in known.stock.external
            after = ", once it confirmed the lower number" if confirmed else ""
            says = f"move {pool.free} units from {name}{after}"
            yield Change("move_units", name, pool.free, "pool", says)


def _replanned(known: Known, reach: Reach, nodes: Sequence[NodeBase], now: datetime) -> int:
    """Return what the channel could sell if the nodes' chains were these."""
    bases = known.stock.bases
    if bases is None and not any(node.counts for node in nodes):
        return sellable(known, reach)
    changed = known.stock._replace(bases=supply.by_group(nodes))
    now_units, then = supply.plan(known.stock, now).units, supply.plan(changed, now).units
    pools = []
    for pool in known.stock.pools:
        if pool.ended or pool.name not in then:
            pools.append(pool)
            continue
        was = now_units[pool.name].units if pool.name in now_units else pool.given
        pools.append(pool._replace(free=max(0, pool.free + then[pool.name].units - was)))
    return sellable(known._replace(stock=known.stock._replace(pools=pools)), reach)
