"""What a router knows of the world, put together: nodes, limits, free units; pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from engine.logical.types.bases import NodeBase
from engine.places.rules import profiles
from engine.places.types.sites import Site
from engine.routing.types.binding import Wish
from engine.routing.types.capacity import Cell
from engine.routing.types.core import Node, Stock

# Units that may be promised, but are not to be chosen without need: a rule may override them.
_KEPT_BACK: Final[frozenset[str]] = frozenset({"safety", "set_aside"})


def nodes(sites: Sequence[Site]) -> tuple[Node, ...]:
    """Return nodes by number, which is their place in the order of their names."""
    return tuple(
        Node(
            one.node, no, one.kind, one.group, one.region, one.latitude, one.longitude, one.tags,
            one.sequence, one.pick_cost, one.calendar, one.handling, one.modes,
            one.profile.radius_metres,
        )
        for no, one in enumerate(sites)
    )  # fmt: skip


def groups(known: Iterable[Node]) -> dict[str, int]:
    """Return the set of each group's nodes."""
    found: dict[str, int] = {}
    for one in known:
        found[one.group] = found.get(one.group, 0) | 1 << one.no
    return found


def metrics(sites: Sequence[Site]) -> dict[str, tuple[int, ...]]:
    """Return what profiles say of nodes, by metric and number; 0 where one says nothing."""
    names = sorted({name for one in sites for name in one.profile.metrics})
    return {name: tuple(one.profile.metrics.get(name, 0) for one in sites) for name in names}


def limits(
    sites: Iterable[Site],
    of_services: Mapping[tuple[str, str], int | None],
    days: Sequence[int],
) -> dict[Cell, int]:
    """Return what nodes and services take on these days, where they have a limit."""
    found: dict[Cell, int] = {}
    for day in days:
        on = date.fromordinal(day)
        for site in sites:
            for dim, most in profiles.limits(site.profile, day).items():
                if most is not None:
                    found[Cell("node", site.node, on, dim)] = most
        for (service, of), most in of_services.items():
            if most is not None:
                found[Cell("service", service, on, of)] = most
    return found


def guard(base: NodeBase) -> int:
    """Return what may be bound of a SKU at a node, also what is not to be chosen without need."""
    return base.sellable + sum(term.units for term in base.terms if term.kind in _KEPT_BACK)


def stock(index: Mapping[str, int], bases: Iterable[NodeBase], free: Mapping[str, int]) -> Stock:
    """Return what is free of a SKU, by node; `free` is what goods without a batch have of each.

    Where that is not what the chain leaves (stock is kept by batch, some of it is held back or past
    its window) it is `complex`, and the chain is what guards it.
    """
    units, usable = [0] * len(index), [0] * len(index)
    apart = False
    for base in bases:
        no = index.get(base.node)
        if no is None or not base.counts:
            continue
        guarded = max(free.get(base.node, 0), 0)
        units[no] = max(0, base.sellable)
        usable[no] = max(0, guard(base))
        apart = apart or usable[no] != guarded
    return Stock(units, usable if usable != units else None, complex_=apart)


def left(*wishes: Wish) -> set[str]:
    """Return the SKUs that decisions left somewhere to wait."""
    return {one.order.lines[index].sku for one in wishes for index, _ in one.decision.rest}
