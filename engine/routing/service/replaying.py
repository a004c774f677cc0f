"""Let a plan decide what was decided before, and compare it with the plan that did.

Both decide in the same world, so that what differs is of the plans: what an order saw of stock,
load and capacity is of its record, nodes, services and regions are those of now. Whether that is
still the world of then is told by how many come out of their own plan as they are recorded.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from engine.carriers.service import fleet
from engine.infra.postgres import Connection
from engine.kernel.clock import Clock, rfc3339, to_ms
from engine.kernel.errors import NotFound
from engine.kernel.types import Tenant
from engine.places.service import places
from engine.routing.rules import comparing, recorded, replaying, tracing, viewing
from engine.routing.rules.carriage import Freight
from engine.routing.rules.compiling import compile_plan, measured
from engine.routing.rules.deciding import decide
from engine.routing.rules.facts import UnreadableFacts
from engine.routing.rules.recorded import Inputs
from engine.routing.rules.replaying import Tally
from engine.routing.rules.tracing import Kept
from engine.routing.store import plans, reading
from engine.routing.store import replaying as store
from engine.routing.store.replaying import Row, Span
from engine.routing.types.comparing import Compared, Replay, Side
from engine.routing.types.core import CompiledPlan, Decision, Order, Snapshot
from engine.routing.types.plans import PlanFault
from engine.routing.types.told import Names

_ROWS_PER_CALL_MAX: Final = 500


class Terms(NamedTuple):
    """Which orders: those that were decided last in this time, of them so many, the latest."""

    since: datetime
    until: datetime
    limit: int


async def replay(
    db: Connection,
    tenant: Tenant,
    plan: CompiledPlan,
    terms: Terms,
    time: Clock,
    tell: Callable[[int], None],
) -> Replay:
    """Decide recorded orders again, and return what it comes to; nothing is changed.

    `tell` is called with how many were decided, each some hundred.
    """
    span, left = Span(terms.since, terms.until), terms.limit
    again, last = _Again(db, tenant, plan, span, time), None
    while left:
        rows = await store.before(db, tenant, span, last, min(left, _ROWS_PER_CALL_MAX))
        if not rows:
            break
        last, left = rows[-1], left - len(rows)
        await again.decide(rows)
        tell(again.tally.read)
    more = bool(last and not left and await store.before(db, tenant, span, last, 1))
    return _told(again.tally, plan.plan, span, more=more)


class _Again:
    """Decides again; keeps what many orders have in common."""

    def __init__(
        self, db: Connection, tenant: Tenant, plan: CompiledPlan, span: Span, time: Clock
    ) -> None:
        self._db, self._tenant, self._plan = db, tenant, plan
        self._span, self._clock = span, time
        self._carriage = Freight()
        self._plans: dict[tuple[str, int], CompiledPlan | None] = {}
        self._worlds: dict[int, Snapshot] = {}
        self._names: dict[int, Names] = {}
        self.tally = Tally()

    async def decide(self, rows: list[Row]) -> None:
        """Decide orders by both plans, and add up what comes of it."""
        read: list[tuple[Row, Inputs, Order, Kept]] = []
        for row in rows:
            try:
                seen = recorded.unpacked(row.inputs)
                read.append((row, seen, seen.order, tracing.unpacked(row.trace)))
            except (UnreadableFacts, msgspec.DecodeError):
                self.tally.unreadable += 1
        if unknown := {kept.names for _, _, _, kept in read} - self._names.keys():
            self._names |= await reading.names(self._db, self._tenant, unknown)
        for row, seen, order, kept in read:
            names, own = self._names.get(kept.names), await self._own(row)
            if names is None:
                self.tally.unreadable += 1
            elif own is None:
                self.tally.plan_not_kept += 1
            else:
                world = recorded.world(seen, names.nodes, await self._world(seen.at_ms, own))
                then = _side_then(row, order, kept, names)
                self._compare(own, world, then, order, seen.at_ms)

    def _compare(
        self, own: CompiledPlan, world: Snapshot, then: Side, order: Order, at_ms: int
    ) -> None:
        try:
            decided, tried = (
                _side(one, world, order, at_ms, self._carriage) for one in (own, self._plan)
            )
        except Exception as failure:  # noqa: BLE001 - one order is not all of them
            self.tally.fail(failure)
            return
        both: Compared = comparing.compared(order, at_ms, decided, tried)
        same = comparing.same(then, decided)
        self.tally.add(both, own.plan, own.version, as_recorded=same)

    async def _own(self, row: Row) -> CompiledPlan | None:
        """Return the plan that decided an order, None where it is not kept or decides no more."""
        name = row.plan, row.version
        if name not in self._plans:
            try:
                kept = await plans.version(self._db, self._tenant, *name)
                assert kept.fields is not None, "one version is read with what it says"
                self._plans[name] = compile_plan(kept.fields, version=row.version).plan
            except (NotFound, PlanFault):
                self._plans[name] = None
        return self._plans[name]

    async def _world(self, at_ms: int, own: CompiledPlan) -> Snapshot:
        """Return what is documents, with cards and days off of the year of an instant."""
        year = datetime.fromtimestamp(at_ms / 1_000, UTC).year
        if year not in self._worlds:
            begin = max(self._span.since, datetime(year, 1, 1, tzinfo=UTC))
            self._worlds[year] = await _documents(
                self._db, self._tenant, min(to_ms(begin), at_ms), self._clock.now_ms()
            )
        found = self._worlds[year]
        known: Any = found.metrics
        for name in measured(self._plan) | measured(own):
            known.setdefault(name, (0,) * len(found.nodes))  # as a router has them
        return found


async def _documents(db: Connection, tenant: Tenant, at_ms: int, now_ms: int) -> Snapshot:
    regions: Any = await places.all_regions(db, tenant)
    sites = await places.sites(db, tenant, at_ms, regions)
    fared = await fleet.fared(db, tenant, now_ms)
    offers = await fleet.load(db, tenant, sites, at_ms, fared)
    nodes = viewing.nodes(sites)
    return Snapshot(
        nodes, {one.node: one.no for one in nodes}, {}, viewing.groups(nodes), {},
        (0,) * len(nodes), offers.services, offers.cards, offers.off, regions,
        viewing.metrics(sites),
    )  # fmt: skip


def _side(plan: CompiledPlan, world: Snapshot, order: Order, at_ms: int, carriage: Freight) -> Side:
    (decision,) = decide(plan, world, [order], at_ms, carriage)
    nodes = [one.node for one in world.nodes]
    return comparing.side(order, decision, nodes, [one.service for one in world.services])


def _side_then(row: Row, order: Order, kept: Kept, names: Names) -> Side:
    decision = Decision(
        row.order_id, "routed" if kept.parts else "parked", kept.parts, kept.rest, row.queue, "",
        0, row.stage, row.rule, kept.trace,
    )  # fmt: skip
    return comparing.side(order, decision, names.nodes, names.services)


def _told(tally: Tally, plan: str, span: Span, *, more: bool) -> Replay:
    groups = list(tally.groups.items())
    since, until = (rfc3339(to_ms(at)) for at in span)
    return Replay(
        plan=plan,
        since=since,
        until=until,
        total=comparing.total(groups),
        as_recorded=tally.as_recorded,
        against=comparing.against(groups),
        rules=comparing.rules(groups),
        regions=comparing.regions(groups),
        largest=[comparing.told(one) for one in tally.largest],
        more=more,
        unreadable=tally.unreadable,
        plan_not_kept=tally.plan_not_kept,
        failed=tally.failed,
        last_failure=tally.last_failure,
        of_then=list(replaying.OF_THEN),
        of_now=list(replaying.OF_NOW),
        left_out=list(replaying.LEFT_OUT),
    )
