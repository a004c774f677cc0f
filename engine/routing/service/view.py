"""The world as one router sees it: some seconds old at most, and less what it bound itself.

Being a little behind is no harm: what is bound is looked at under locks, and who loses is decided
again by what was seen there. So units of a SKU may be older than all else, as long as no rule
changes what of them may be sent; but nothing is left to wait for stock that was read so long ago.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from engine.carriers.service import fleet
from engine.carriers.types.services import Fared, Service
from engine.infra.postgres import Connection
from engine.kernel import clock
from engine.kernel.clock import Clock
from engine.kernel.types import Tenant
from engine.logical.service import bases
from engine.places.service import places
from engine.routing.rules import tracing, viewing
from engine.routing.service import capacity
from engine.routing.store import view as store
from engine.routing.types.binding import Inputs, Made, Outcome, Wish
from engine.routing.types.capacity import Cell, Room
from engine.routing.types.core import CompiledPlan, Node, Regions, Snapshot, Stock

FRESH_S: Final = 5.0
STOCK_FRESH_S: Final = 30.0  # of some SKUs half of it, so that not all are read at once
_SPREAD: Final = 64
_REGIONS_FRESH_S: Final = 300.0
_FARED_FRESH_S: Final = 60.0
_NEVER: Final = float("-inf"), float("-inf")
_DAYS_BACK: Final = 1  # it may be yesterday somewhere
_DAYS_AHEAD: Final = 15


class _World(NamedTuple):
    """What is read at once, whatever the orders are."""

    nodes: tuple[Node, ...]
    numbers: Mapping[str, int]
    groups: Mapping[str, int]
    services: tuple[Service, ...]
    cards: Any
    off: frozenset[tuple[str, str]]
    limits: Mapping[Cell, int]
    no_return: Mapping[str, str]


class View:
    """What one router knows of one tenant's world."""

    def __init__(self, tenant: Tenant, time: Clock) -> None:
        """Begin with nothing."""
        self._tenant, self._clock = tenant, time
        self._world: _World | None = None
        self._regions: Regions | None = None
        self._fared: Mapping[str, Fared] = {}
        self._at = self._regions_at = self._fared_at = float("-inf")
        self._load: dict[str, int] = {}
        self._rooms: dict[Cell, Room] = {}
        self._stock: dict[str, Stock] = {}
        self._owners: dict[str, str] = {}
        self._keys: dict[str, dict[str, int]] = {}
        self._by_key: dict[int, tuple[str, int]] = {}  # SKU and number of the node
        self._kept_back = set[str]()  # SKUs whose free units are not those of their keys alone
        # SKU -> when it was read, and until when that holds; also of what is only declared
        self._seen: dict[str, tuple[float, float]] = {}
        self._told: dict[str, tuple[int, ...]] = {}
        self._metrics: dict[str, tuple[int, ...]] = {}  # those, and what else a plan asks for
        self._digest = self._names = 0
        self._inputs: Inputs = (0, 0, 0)

    async def refresh(self, db: Connection, skus: Collection[str]) -> None:
        """Read what is older than it may be, of these SKUs too.

        What carriers do not serve may not be old at all.
        """
        now = self._clock.monotonic()
        if now - self._at >= FRESH_S:
            await self._read(db)
            self._at = now
        else:
            self._switch(await fleet.off(db, self._tenant))
        if old := [sku for sku in skus if self._seen.get(sku, _NEVER)[1] <= now]:
            await self._read_stock(db, old, now)

    def doubted(self, wishes: Iterable[Wish]) -> set[str]:
        """Return the orders that would wait for what may have come; it is read anew from now on."""
        since = self._clock.monotonic() - FRESH_S
        found = set[str]()
        for one in wishes:
            if one.decision.rest and one.decision.queue != "NEW":
                skus = [sku for sku in viewing.left(one) if self._seen.get(sku, _NEVER)[0] < since]
                for sku in skus:
                    self._seen.pop(sku, None)
                if skus:
                    found.add(one.order.order_id)
        return found

    def forget(self) -> None:
        """Have all read anew: rules of stock, nodes or profiles are others by now."""
        self._at = float("-inf")

    def made(self, plan: CompiledPlan, metrics: Iterable[str]) -> Made:
        """Return what is decided by now; what no profile says of a node is 0."""
        world = self._world
        assert world is not None, "it was refreshed before"
        assert self._regions is not None, "they are read with it"
        none = (0,) * len(world.nodes)
        for name in metrics:
            if len(self._metrics.setdefault(name, none)) != len(none):
                self._metrics[name] = none
        snap = Snapshot(
            world.nodes, world.numbers, self._stock, world.groups, self._capacity(world),
            tuple([self._load.get(one.node, 0) for one in world.nodes]), world.services,
            world.cards, world.off, self._regions, self._metrics, self._digest,
        )  # fmt: skip
        at_ms = self._clock.now_ms()
        return Made(
            snap, at_ms, plan.plan, plan.version, self._owners, self._keys, world.limits,
            world.no_return, self._names, inputs=self._inputs,
        )  # fmt: skip

    def learn(self, outcome: Outcome) -> None:
        """Take off what was bound, and what others turned out to have taken.

        What orders wait for is read anew before it is decided about again: of what came since it
        was read, this one knows nothing yet.
        """
        world = self._world
        assert world is not None, "something was decided by it"
        for wish in outcome.bound:
            for part in wish.decision.parts:
                node = world.nodes[part.node].node
                self._load[node] = self._load.get(node, 0) + 1
            self._took(wish)
        for sku in viewing.left(*outcome.bound, *outcome.parked):
            self._seen.pop(sku, None)
        for key_id, units in outcome.keys.items():
            sku, no = self._by_key.get(key_id, ("", -1))  # batches are locked with others
            if sku in self._stock:
                self._stock[sku].lower(no, units)
        for (sku, node), units in outcome.free.items():
            if sku in self._stock:
                self._stock[sku].lower(world.numbers[node], units)
        self._rooms.update(outcome.rooms)

    def _took(self, wish: Wish) -> None:
        """Take off what was bound of units of which some are kept back.

        All others are as many as their keys have.
        """
        kept = self._kept_back
        lines = wish.order.lines if kept else ()
        for part in wish.decision.parts if kept else ():
            for index, units in part.atoms:
                sku = lines[index].sku
                if sku in kept:
                    self._stock[sku].take(part.node, units)

    def _measure(self, told: dict[str, tuple[int, ...]]) -> None:
        if told != self._told:
            self._told, self._metrics = told, dict(told)  # another object: plans remember by it

    def _switch(self, off: frozenset[tuple[str, str]]) -> None:
        world = self._world
        assert world is not None, "it is read first"
        if off != world.off:
            self._world = world._replace(off=off)

    def _capacity(self, world: _World) -> dict[tuple[str, str, int, str], tuple[int, int | None]]:
        found: dict[tuple[str, str, int, str], tuple[int, int | None]] = {}
        for cell, room in self._rooms.items():
            name = (cell.scope, cell.id, cell.day.toordinal(), cell.dim)
            found[name] = room.used, world.limits.get(cell)
        for cell, most in world.limits.items():
            name = (cell.scope, cell.id, cell.day.toordinal(), cell.dim)
            if name not in found:
                found[name] = 0, most
        return found

    async def _read(self, db: Connection) -> None:
        tenant, now_ms = self._tenant, self._clock.now_ms()
        if self._regions is None or self._clock.monotonic() - self._regions_at >= _REGIONS_FRESH_S:
            self._regions = await places.all_regions(db, tenant)
            self._regions_at = self._clock.monotonic()
        known: Any = self._regions
        before, self._inputs = self._inputs, await store.inputs(db, tenant)  # before all it is of
        if before != self._inputs:
            self._seen.clear()
        sites = await places.sites(db, tenant, now_ms, known)
        if self._clock.monotonic() - self._fared_at >= _FARED_FRESH_S:
            self._fared = await fleet.fared(db, tenant, now_ms)
            self._fared_at = self._clock.monotonic()
        offers = await fleet.load(db, tenant, sites, now_ms, self._fared)
        today = clock.instant(now_ms).date().toordinal()
        days = range(today - _DAYS_BACK, today + _DAYS_AHEAD)
        nodes = viewing.nodes(sites)
        read = _World(
            nodes, {one.node: one.no for one in nodes}, viewing.groups(nodes), offers.services,
            offers.cards, offers.off, viewing.limits(sites, offers.limits, days),
            {one.node: one.profile.point_of_no_return for one in sites},
        )  # fmt: skip
        self._measure(viewing.metrics(sites))
        old = self._world
        if old is None or old.nodes != read.nodes:
            for kept in (self._stock, self._seen, self._by_key, self._kept_back):
                kept.clear()  # nodes have other numbers
        if old is None or (old.nodes, old.services) != (read.nodes, read.services):
            called = [one.node for one in nodes], [one.service for one in offers.services]
            self._names = tracing.names_of(*called)
            await store.keep_names(db, tenant, self._names, *called)
        # what is the same stays the same object: decisions remember what they worked out of it
        self._world = read if old is None else _World(
            *(was if was == now else now for was, now in zip(old, read, strict=True))
        )  # fmt: skip
        self._load = await store.load(db, tenant)
        self._rooms = await capacity.since(db, tenant, date.fromordinal(today - _DAYS_BACK))
        self._digest = now_ms

    async def _read_stock(self, db: Connection, skus: Collection[str], now: float) -> None:
        world = self._world
        assert world is not None, "it is read first"
        at = clock.instant(self._clock.now_ms())
        chains = await bases.present(db, self._tenant, skus, at)
        free: dict[str, dict[str, int]] = {sku: {} for sku in skus}
        keys: dict[str, dict[str, int]] = {sku: {} for sku in skus}
        for one in await store.free_of(db, self._tenant, skus):
            self._owners[one.sku] = one.owner
            if one.key_id is not None:
                free[one.sku][one.node] = one.units
                keys[one.sku][one.node] = one.key_id
                self._by_key[one.key_id] = one.sku, world.numbers.get(one.node, -1)
        self._keys.update(keys)
        for n, sku in enumerate(skus):
            lasts = FRESH_S
            chain = chains[sku]
            if chain.nodes:
                stock = self._stock[sku] = viewing.stock(world.numbers, chain.nodes, free[sku])
                whole = stock.usable is stock.units and not stock.complex
                (self._kept_back.discard if whole else self._kept_back.add)(sku)
                lasts = STOCK_FRESH_S * (1 - n % _SPREAD / (2 * _SPREAD))
                if chain.changes_at is not None:
                    lasts = min(lasts, (chain.changes_at - at).total_seconds())
            else:
                self._kept_back.discard(sku)
                self._stock.pop(sku, None)  # only declared: nothing of it was ever counted
            self._seen[sku] = now, now + lasts
