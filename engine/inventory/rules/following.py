"""Which pools follow their SKU to another group of nodes; no I/O.

Before its first count a SKU is sold of no nodes in particular, so a campaign that no policy gives a
place begins in a group that may never hold any. What it sold is owed from wherever the units turn
up: the pool itself goes there, with all that is held and sold of it. The cell knows pools by their
ids and does not notice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from engine.inventory.rules import policies as resolving
from engine.inventory.rules.policies import Entry
from engine.inventory.rules.supply import entries_of
from engine.inventory.types.supply import Pool, Stock


def follow(stock: Stock, now: datetime) -> Stock:
    """Return it with its pools where they belong; itself where they are.

    A pool leaves only a group that nobody counts, for where documents put it or else for nodes that
    are counted, and never for where such a pool is already. Units that people moved stay together:
    of a group with some of them all pools go to one other group, or none does.
    """
    of: defaultdict[str, list[Pool]] = defaultdict(list)
    for one in stock.pools:
        if one.name.node_group not in (stock.bases or ()):
            of[one.name.node_group].append(one)
    if not of:
        return stock
    entries = entries_of(stock, now)
    named = _named(stock, entries.values(), now)
    taken, found = {one.name for one in stock.pools}, {one.id: one for one in stock.pools}
    for group in sorted(of):
        going = {}
        for one in sorted(of[group], key=lambda one: one.id):
            home = _home(stock, one, entries, named)
            name = one.name._replace(node_group=home)
            going[one.id] = one if name in taken else one._replace(name=name)
        places = {one.name.node_group for one in going.values()}
        if len(places) == 1 or not any(one.moved for one in going.values()):
            found |= going
            taken |= {one.name for one in going.values()}
    pools = list(found.values())
    return stock if pools == list(stock.pools) else stock._replace(pools=pools)


def _home(stock: Stock, one: Pool, entries: Mapping[str, Entry], named: Sequence[str]) -> str:
    """Return where a pool belongs whose group nobody counts."""
    group = one.name.node_group
    if (entry := entries.get(one.name.channel)) is not None:
        return entry.group
    if named and not one.name.channel:
        return group if group in named else named[0]
    return min(stock.bases or {}, default=group)


def _named(stock: Stock, entries: Iterable[Entry], now: datetime) -> list[str]:
    """Return the groups of which documents have a shared pool, the SKU's own policy first."""
    own = resolving.declared(stock.policies, stock.card, now)
    policies = [*([own] if own else []), *(one.policy for one in entries)]
    return [group for one in policies for group in one.fields.node_groups]
