"""The router: leases orders that are due, decides them, and binds what it decided.

Any number of processes may run it. What one of them leased and never ended is due again when the
lease lapses; whoever wakes after that finds that its rows are not its own any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from engine.infra import metrics
from engine.infra.postgres import Connection, Pool
from engine.infra.runtime import Runtime
from engine.infra.spans import Spans
from engine.infra.tasks import raise_if_cancelled, sleep
from engine.kernel import clock
from engine.kernel.clock import Clock
from engine.kernel.expressions.judging import Judge
from engine.kernel.types import Tenant
from engine.routing.rules import recorded
from engine.routing.rules.carriage import Freight
from engine.routing.rules.compiling import measured
from engine.routing.rules.deciding import decide
from engine.routing.service import binding, capacity, ending, queue, shadowing
from engine.routing.service.binding import When
from engine.routing.service.shadowing import Shadows
from engine.routing.service.suspects import AWAY, Suspects, may_be_an_orders
from engine.routing.service.view import View
from engine.routing.store.queue import traces_of
from engine.routing.types.binding import Made, Outcome, Wish
from engine.routing.types.core import Carriage, CompiledPlan
from engine.routing.types.queue import Claimed
from engine.shipments.service import adopt

BATCH: Final = 500
KEEP: Final = timedelta(days=30)  # of what was decided, with its reasons
ALARM_S: Final = 900  # that an order may be in a queue before somebody is told
TRIES: Final = 3  # times that an order is decided again at once when others were faster
_AGAIN_S: Final = 1.0
_STALE_S: Final = 2.0  # for whoever makes facts to have made them
_IDLE_S: Final = 0.2
_CHORES_S: Final = 2.0
_SUSPECT_S: Final = 2.0  # for an order that failed while no other was there to compare it with
_log: Final = structlog.get_logger(__name__)

# Returns the plan that is in force, the same object as long as it is the same; None routes nothing.
Plans = Callable[[Connection, Tenant], Awaitable[CompiledPlan | None]]


class Turn(NamedTuple):
    """What one turn did, in orders."""

    bound: int = 0
    parked: int = 0
    stale: int = 0
    lost: int = 0  # still after all tries
    rebinds: int = 0
    again: int = 0  # that go with the next turn

    @property
    def any(self) -> bool:
        """Whether there was anything to do."""
        return any(self)


class Router:
    """One router of one tenant, with its view of the world."""

    def __init__(  # noqa: PLR0913 - what it works with, and how much at once
        self,
        pool: Pool,
        tenant: Tenant,
        time: Clock,
        plans: Plans,
        *,
        batch: int = BATCH,
        alarm_s: int = ALARM_S,
        merge_s: int = 0,
        keep: timedelta = KEEP,
        carriage: Carriage | None = None,
        shadows: Shadows | None = None,
        spans: Spans | None = None,
    ) -> None:
        """Take what it works with; it has seen nothing yet."""
        self._pool, self._tenant, self._clock, self._plans = pool, tenant, time, plans
        self._batch, self._alarm_s = batch, alarm_s
        self._merge_s, self._keep = merge_s, keep
        self._carriage: Carriage = carriage or Freight()
        self._shadows, self._spans = shadows, spans
        self._again: list[Claimed] = []
        self._tries: dict[str, int] = {}
        self._suspects = Suspects()
        self.view = View(tenant, time)

    async def turn(self) -> Turn:
        """Lease what is due and bind it; what cannot be is in a queue with its reason."""
        again, self._again = self._again, []
        async with self._pool.acquire() as db:
            plan = await self._plans(db, self._tenant)
        if plan is None:
            return Turn()
        claimed, unreadable = await queue.claim(
            self._pool, self._tenant, max(1, self._batch - len(again))
        )
        if unreadable:
            _log.error("routing_facts_unreadable", orders=len(unreadable))
        more = len(claimed) + len(again) >= self._batch
        anew = {one.order.order_id for one in claimed}  # somebody took them from us, and put back
        claimed = [*(one for one in again if one.order.order_id not in anew), *claimed]
        if not claimed:
            return Turn()
        try:
            turn = await self._route(plan, claimed, more=more)
        except Exception as failure:
            if not may_be_an_orders(failure):
                raise
            _log.exception("routing_failed", orders=len(claimed))
            return await self._one_by_one(plan, claimed)
        self._suspects.went_well(one.order.order_id for one in claimed)
        return turn

    async def _one_by_one(self, plan: CompiledPlan, claimed: Sequence[Claimed]) -> Turn:
        """Route orders each by itself, so that one which cannot be decided keeps back no other."""
        done = [0] * len(Turn._fields)
        failed: list[tuple[Claimed, Exception]] = []
        for one in claimed:
            try:
                turn = await self._route(plan, [one])
            except Exception as failure:
                if not may_be_an_orders(failure):
                    raise
                failed.append((one, failure))
                continue
            self._suspects.went_well([one.order.order_id])
            done = [a + b for a, b in zip(done, turn, strict=True)]
        again = []
        for one, why in failed:
            order_id = one.order.order_id
            if self._suspects.is_at_fault(order_id, beside_others=len(failed) < len(claimed)):
                _log.error("order_undecided", order_id=order_id, exc_info=why)
                await ending.set_aside(self._pool, self._tenant, order_id)
            else:
                again.append(one)
        await self._later(again, _SUSPECT_S)
        turn = Turn(*done)
        return turn._replace(parked=turn.parked + len(failed) - len(again))

    async def _route(
        self, plan: CompiledPlan, claimed: Sequence[Claimed], *, more: bool = False
    ) -> Turn:
        """Route orders; those that others were faster for at once again, or with `more` to come.

        A batch waits for the locks of other routers whatever its size, so a few orders go with the
        next ones if those are there.
        """
        done, again, late = Turn(), list(claimed), list[Claimed]()
        while again:
            outcome, again = await self._once(plan, again)
            again, over = self._tried(again)
            late += over
            done = Turn(
                done.bound + len(outcome.bound), done.parked + len(outcome.parked),
                done.stale + len(outcome.stale), len(late), done.rebinds + len(outcome.lost),
                len(again) if more else 0,
            )  # fmt: skip
            if more:
                self._again, again = again, []
        await self._later(late, _AGAIN_S)
        return done

    async def _once(
        self, plan: CompiledPlan, claimed: Sequence[Claimed]
    ) -> tuple[Outcome, list[Claimed]]:
        """Decide orders by what is known now and bind that; return which are to be tried again."""
        asked = measured(plan) | (self._shadows.asked if self._shadows else frozenset())
        began = self._clock.monotonic()
        skus = {line.sku for one in claimed for line in one.order.lines}
        async with self._pool.acquire() as db:
            await self.view.refresh(db, skus)
        read = self._clock.monotonic()
        made = self.view.made(plan, asked)._replace(merge_s=self._merge_s)
        wishes = self._decided(plan, made, claimed)
        thought = self._clock.monotonic()
        doubted = self.view.doubted(wishes)
        unsure = [one.claimed for one in wishes if one.order.order_id in doubted]
        wishes = [one for one in wishes if one.order.order_id not in doubted]
        when = When(clock.instant(self._clock.now_ms()), self._alarm_s)
        outcome = await binding.bind(self._pool, self._tenant, wishes, made, when)
        ended_at = self._clock.monotonic()
        if self._shadows:
            orders = [one.order for one in claimed]
            ended = {one.order.order_id: one.decision for one in (*outcome.bound, *outcome.parked)}
            self._shadows.decide(made, orders, ended, self._carriage, ended_at - began)
        self.view.learn(outcome)
        if outcome.outdated:
            self.view.forget()
        _count(outcome, read - began, thought - read, ended_at - thought)
        if self._spans is not None:
            await self._tell(self._spans, outcome, int((ended_at - began) * 1_000))
        await self._later([one.claimed for one in outcome.stale], _STALE_S)
        return outcome, [*(one.claimed for one in outcome.lost), *unsure]

    async def _tell(self, spans: Spans, outcome: Outcome, took_ms: int) -> None:
        """Tell of the orders whose traces are sampled in what batch they were decided and bound."""
        now = self._clock.now_ms()
        ended = {one.order.order_id: "bound" for one in outcome.bound}
        ended |= {one.order.order_id: "parked" for one in outcome.parked}
        for order_id, trace in (await traces_of(self._pool, ended)).items():
            spans.tell(
                trace, "route", now - took_ms, now, order_id=order_id, verdict=ended[order_id]
            )

    def _tried(self, claimed: Sequence[Claimed]) -> tuple[list[Claimed], list[Claimed]]:
        """Count one more try of orders; return who has another, and who has had all of them."""
        tries = {one.order.order_id: self._tries.get(one.order.order_id, 0) + 1 for one in claimed}
        self._tries = {name: n for name, n in tries.items() if n <= TRIES}
        found: tuple[list[Claimed], list[Claimed]] = ([], [])
        for one in claimed:
            found[one.order.order_id not in self._tries].append(one)
        return found

    def _decided(self, plan: CompiledPlan, made: Made, claimed: Sequence[Claimed]) -> list[Wish]:
        """Decide orders, and pack what each of them was decided of."""
        by_id = {one.order.order_id: one for one in claimed}
        failed = _failed(plan)
        orders = [one.order for one in claimed]
        decided = decide(plan, made.snap, orders, made.at_ms, self._carriage)
        pairs = [(by_id[one.order_id], one) for one in decided]
        inputs = recorded.packed(made.snap, made.at_ms, pairs)
        metrics.RULE_FAULTS.add(plan.plan, _failed(plan) - failed)
        return [
            Wish(by_id[one.order_id], one, data) for one, data in zip(decided, inputs, strict=True)
        ]

    async def _later(self, claimed: Sequence[Claimed], seconds: float) -> None:
        if claimed:
            due_at = clock.instant(self._clock.now_ms()) + timedelta(seconds=seconds)
            await queue.give_back(self._pool, claimed, due_at)

    async def chores(self) -> None:
        """Wake who waits for stock that came, tell of who waits too long, give capacity back.

        What waited for as long as its plan says is cancelled, what was decided long ago forgotten,
        and units of goods that were counted since they were sent are assigned.
        """
        now = clock.instant(self._clock.now_ms())
        await ending.cancel_overdue(self._pool, self._tenant, self._clock)
        await queue.wake_waiting(self._pool, self._tenant)
        await queue.raise_alarms(self._pool, self._tenant, now)
        while await capacity.give_back(self._pool) == capacity.GIVEN_BACK_PER_CALL_MAX:
            pass
        await capacity.forget(self._pool, now)
        await queue.forget_decisions(self._pool, now - self._keep)
        await shadowing.forget(self._pool, now - self._keep)
        await adopt(self._pool, self._tenant, now)


def _failed(plan: CompiledPlan) -> int:
    """Return of how many orders a condition failed so far."""
    return plan.judge.faulted if isinstance(plan.judge, Judge) else 0


def _count(outcome: Outcome, read_s: float, decide_s: float, bind_s: float) -> None:
    for stage, seconds in (("read", read_s), ("decide", decide_s), ("bind", bind_s)):
        metrics.ROUTE_SECONDS.add(stage, seconds)
    for verdict in ("bound", "parked", "lost", "stale"):
        metrics.ROUTED.add(verdict, len(getattr(outcome, verdict)))


async def router(runtime: Runtime, plans: Plans, *, shadows: Shadows | None = None) -> None:
    """Route until cancelled; servers that go away are waited for."""
    settings = runtime.settings
    one = Router(
        runtime.pool, Tenant(settings.tenant), runtime.clock, plans, batch=settings.router_batch,
        alarm_s=settings.queue_alarm_seconds, merge_s=settings.merge_seconds, shadows=shadows,
        spans=runtime.spans, keep=timedelta(days=settings.decisions_keep_days),
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        if shadows:
            tasks.create_task(shadows.run())
        await _go_on(one, runtime)


async def _go_on(one: Router, runtime: Runtime) -> None:
    chores_at = float("-inf")
    while True:
        raise_if_cancelled()
        busy = False
        try:
            busy = (await one.turn()).any
            if runtime.clock.monotonic() >= chores_at:
                await one.chores()
                chores_at = runtime.clock.monotonic() + _CHORES_S
        except AWAY as away:
            _log.warning("router_waits", reason=type(away).__name__)
        except Exception:  # noqa: BLE001 - what one order does to a chore must not end the process
            _log.exception("router_failed")
        if not busy:
            await sleep(_IDLE_S)
