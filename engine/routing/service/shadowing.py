"""Let SHADOW plans decide what the active one decided, and keep how they differ.

They decide the same orders of the same snapshot at the same instant, after the active plan's
decisions are bound, and bind nothing. Routing comes first: they have a fifth of the time that it
takes, what they cannot do in it they leave out, and whatever goes wrong in them is told and left.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from zlib import crc32

import structlog

from engine.infra import metrics
from engine.infra.logs import without_words
from engine.infra.postgres import UNAVAILABLE, Connection, Pool
from engine.infra.tasks import sleep
from engine.kernel.clock import Clock
from engine.kernel.types import Tenant
from engine.routing.rules import comparing
from engine.routing.rules.compiling import measured
from engine.routing.rules.deciding import decide
from engine.routing.service.current import CurrentPlans, Shadow
from engine.routing.store import shadowing as store
from engine.routing.store.shadowing import Kept, Name, Omitted
from engine.routing.types.binding import Made
from engine.routing.types.core import Carriage, Decision, Order

FORGOTTEN_PER_CALL_MAX: Final = 5_000
_TIME_SHARE: Final = 0.2  # of what routing takes, for all of them together
_CREDIT_MAX_S: Final = 0.05  # that may be saved up: so long routing may wait at most, a plan
_FIRST: Final = 10  # orders, before it is known what one costs
_LEARN: Final = 0.2
_KEPT_MAX: Final = 20_000
_ROWS_PER_CALL_MAX: Final = 1_000
_INTERVAL_S: Final = 1.0
_THOUSAND: Final = 1_000
_log: Final = structlog.get_logger(__name__)


class _Tried:
    """One plan, what it may use of time, and what it costs."""

    def __init__(self, shadow: Shadow) -> None:
        self.plan, self.share = shadow.plan, shadow.share
        self.name = Name(shadow.plan.plan, shadow.plan.version)
        self.asked = measured(shadow.plan)
        self.credit_s = _CREDIT_MAX_S / 10
        self.cost_s = 0.0
        self.told = False

    def most(self, more_s: float) -> int:
        """Return how many orders there is time for, with so much more of it."""
        self.credit_s = min(self.credit_s + more_s, _CREDIT_MAX_S)
        if self.credit_s <= 0:
            return 0
        return int(self.credit_s / self.cost_s) if self.cost_s else _FIRST

    def used(self, seconds: float, orders: int) -> None:
        """Take time off, and learn from it."""
        self.credit_s -= seconds
        cost = seconds / orders
        self.cost_s += (cost - self.cost_s) * (_LEARN if self.cost_s else 1.0)


class _Batch(NamedTuple):
    """Orders, and what the active plan decided of those that were bound or parked."""

    orders: Sequence[Order]
    ended: Mapping[str, Decision]

    @property
    def size(self) -> int:
        """How many of them there is something to be compared with."""
        return sum(order.order_id in self.ended for order in self.orders)


class Shadows:
    """The SHADOW plans of one tenant, for one router; `run` is to go on beside it."""

    def __init__(self, pool: Pool, tenant: Tenant, time: Clock, plans: CurrentPlans) -> None:
        """Begin without any; `plans` are asked who is active by the router."""
        self._pool, self._tenant, self._clock, self._plans = pool, tenant, time, plans
        self._tried: list[_Tried] = []
        self._kept: dict[tuple[Name, str], Kept] = {}
        self._omitted: dict[Name, Omitted] = {}
        self.asked: frozenset[str] = frozenset()  # what a snapshot must have of measured numbers

    def decide(
        self,
        made: Made,
        orders: Sequence[Order],
        ended: Mapping[str, Decision],
        carriage: Carriage,
        routed_s: float,
    ) -> None:
        """Decide what the active plan did, by the same snapshot; never raises.

        `orders` are all that it decided at once, as it was given them; `ended` what was bound or
        parked of it, by order. `routed_s` is how long that took.
        """
        active, known = Name(made.plan, made.version), made.snap.metrics.keys()
        tried = [one for one in self._tried if one.name != active and one.asked <= known]
        for one in tried:
            share = [order for order in orders if _mark(order) < one.share]
            if share:
                more_s = routed_s * _TIME_SHARE / len(tried)
                self._decide(one, made, _Batch(share, ended), carriage, more_s)

    def _decide(
        self, one: _Tried, made: Made, batch: _Batch, carriage: Carriage, more_s: float
    ) -> None:
        chosen = _Batch(_some(batch.orders, one.most(more_s)), batch.ended)
        self._omit(one.name, Omitted(skipped=batch.size - chosen.size))
        if not chosen.orders:
            return
        before = self._clock.monotonic()
        try:
            found = _compared(one, made, chosen, carriage)
        except Exception as failure:  # noqa: BLE001 - routing goes on whatever a trial comes to
            self._omit(one.name, Omitted(0, chosen.size, type(failure).__name__))
            if not one.told:
                one.told = True
                told = one.name._asdict() | without_words(failure)
                _log.error("shadow_plan_failed", **told)
        else:
            self._keep(one.name, found)
        one.used(self._clock.monotonic() - before, len(chosen.orders))

    def _keep(self, name: Name, found: Sequence[Kept]) -> None:
        for kept in found:
            if not kept.same:
                metrics.SHADOW_DIFFERENCES.add(name.plan)
            key = name, kept.order.order_id
            if len(self._kept) < _KEPT_MAX or key in self._kept:
                self._kept[key] = kept
            else:
                self._omit(name, Omitted(skipped=1))

    def _omit(self, name: Name, more: Omitted) -> None:
        if more.skipped or more.failed:
            was = self._omitted.get(name, Omitted())
            self._omitted[name] = Omitted(
                was.skipped + more.skipped, was.failed + more.failed, more.reason or was.reason
            )

    async def tend(self) -> None:
        """Find out which plans are tried by now, and write down what they decided."""
        await self._look()
        while rows := dict(list(self._kept.items())[:_ROWS_PER_CALL_MAX]):
            await store.keep(self._pool, self._tenant, list(rows.values()))
            for key, row in rows.items():
                if self._kept[key] is row:  # it was not decided again meanwhile
                    del self._kept[key]
        for name, more in list(self._omitted.items()):
            del self._omitted[name]
            try:
                await store.omit(self._pool, self._tenant, name, more)
            except BaseException:
                self._omit(name, more)
                raise

    async def _look(self) -> None:
        shadows: list[Shadow] = []
        if self._plans.shadowed:
            async with self._pool.acquire() as db:
                shadows = await self._plans.shadows(db, self._tenant)
        if [one.plan for one in self._tried] != [one.plan for one in shadows]:
            known = {id(one.plan): one for one in self._tried}
            self._tried = [known.get(id(one.plan)) or _Tried(one) for one in shadows]
            self.asked = frozenset().union(*(one.asked for one in self._tried))

    async def run(self) -> None:
        """Tend until cancelled; servers that go away are waited for."""
        while True:
            await sleep(_INTERVAL_S)
            try:
                await self.tend()
            except UNAVAILABLE as away:
                _log.warning("shadows_wait", reason=type(away).__name__)
            except Exception as failure:  # noqa: BLE001 - the router beside it goes on
                _log.error("shadows_failed", **without_words(failure))


async def forget(db: "Connection | Pool", before: datetime) -> int:
    """Delete comparisons of before an instant, at most FORGOTTEN_PER_CALL_MAX; return how many."""
    return await store.forget(db, before, FORGOTTEN_PER_CALL_MAX)


def _compared(one: _Tried, made: Made, batch: _Batch, carriage: Carriage) -> list[Kept]:
    by_id = {order.order_id: order for order in batch.orders}
    nodes = [node.node for node in made.snap.nodes]
    services = [service.service for service in made.snap.services]
    found = []
    for decision in decide(one.plan, made.snap, batch.orders, made.at_ms, carriage):
        other = batch.ended.get(decision.order_id)
        if other is None:
            continue  # it was lost to another router, and is decided again
        order = by_id[decision.order_id]
        decided, tried = (
            comparing.side(order, each, nodes, services) for each in (other, decision)
        )
        both = comparing.compared(order, made.at_ms, decided, tried)
        found.append(
            Kept(one.name, Name(made.plan, made.version), comparing.same(decided, tried), both)
        )
    return found


def _mark(order: Order) -> int:
    """Return a number below 1,000 that is an order's own, whichever plan is tried."""
    return crc32(order.order_id.encode()) % _THOUSAND


def _some(orders: Sequence[Order], most: int) -> list[Order]:
    """Return so many orders at most as they stand, whichever they are of what is asked."""
    if len(orders) <= most:
        return list(orders)
    ranked = sorted(range(len(orders)), key=lambda n: (_mark(orders[n]), n))
    return [orders[n] for n in sorted(ranked[:most])]
