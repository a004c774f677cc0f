"""Judges the orders that events hint at, and hands on what becomes of them.

An event is only a reason to look: what is decided is of the order as it stands, under its lock, so
nothing depends on which event came, nor on how often. What is done with a verdict (a row of the
queue) is a function that is given in: routing stands behind this slice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog

from engine.aftersales.service import hold
from engine.aftersales.types import Block
from engine.infra import outbox
from engine.infra.outbox import Committed
from engine.infra.postgres import UNAVAILABLE, Connection
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.kernel.errors import EngineError, NotInstalled
from engine.kernel.types import OrderId, Tenant
from engine.orders.service import note
from engine.orders.types import EventRow
from engine.review.rules.compiling import compile_rules
from engine.review.rules.judging import judge
from engine.review.rules.recording import recorded
from engine.review.service.documents import kept
from engine.review.store import orders as store
from engine.review.types.judging import NEVER, NO_RULES, REVIEW, Rules
from engine.review.types.recorded import Judged, Row
from engine.shipments.service import ask_for_less

READER: Final = "fulfilment"
HINTS_MAX: Final = 1_000  # in a transaction
FORGOTTEN_PER_CALL_MAX: Final = 5_000
ACTOR: Final = "review"
_HINTS: Final = ("order.", "payment.", "shipment.")
# What is written here tells nothing new.
_OURS: Final = frozenset({"order.reviewed", "order.routed", "order.parked"})
_LIFTED: Final = "order.unblocked"
_ACTIVATED: Final = "plan.activated"
_UNJUDGED: Final = Block("unjudged", "", "what judges it failed; the log says how", None)
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, NotInstalled, *UNAVAILABLE)
_log: Final = structlog.get_logger(__name__)

Enqueue = Callable[[Connection, Tenant, Sequence[Judged]], Awaitable[None]]
Active = Callable[[Connection, Tenant], Awaitable[bool]]


class Intake:
    """One process' part in it; several take turns by the lock of the reader's place.

    `enqueue` is called within the transaction, with locked orders, also with those of which there
    is nothing to route (`none`); `active` says whether any plan decides: none does, nothing is
    written.
    """

    def __init__(self, runtime: Runtime, tenant: Tenant, enqueue: Enqueue, active: Active) -> None:
        self._runtime, self._tenant = runtime, tenant
        self._enqueue, self._active = enqueue, active
        self._rules = NO_RULES

    async def look(self) -> int:
        """Judge what the next events hint at, and the next orders of a sweep; return how many."""
        async with self._runtime.pool.acquire() as tx, tx.transaction():
            end = await outbox.end(tx)
            if not await self._active(tx, self._tenant):
                await outbox.pass_over(tx, READER, end)  # what a plan takes up, its sweep finds
                return 0
            seen = await outbox.read(tx, READER, HINTS_MAX)
            if any(_activates(one, self._tenant) for one in seen):
                await store.begin_sweep(tx, self._tenant)
            judged = 0
            if await self._active(tx, self._tenant):
                swept = await store.sweep(tx, self._tenant, HINTS_MAX)
                judged = await self._each(tx, {*_hinted(seen), *swept}, _released(seen))
            await outbox.advance(tx, READER, seen)
        return max(judged, len(seen))

    async def forget(self) -> int:
        """Delete what was said long ago, FORGOTTEN_PER_CALL_MAX at most; return how many.

        Of an order that is still to be sent the last word stays.
        """
        keep = timedelta(days=self._runtime.settings.decisions_keep_days)
        before = instant(self._runtime.clock.now_ms()) - keep
        return await store.forget(self._runtime.pool, before, FORGOTTEN_PER_CALL_MAX)

    async def _each(self, tx: Connection, order_ids: set[str], lifted: Mapping[str, str]) -> int:
        """Judge orders at once; where that fails, each by itself: one keeps nobody else waiting.

        One that fails where others do not is blocked, for a person to see; where all of them fail,
        it is not for what is in them.
        """
        try:
            async with tx.transaction():
                return await self._judge(tx, order_ids, lifted)
        except _AWAY:
            raise
        except Exception as failure:
            _log.warning("judging_one_by_one", orders=len(order_ids))
            judged, failed = 0, dict[str, Exception]()
            for one in sorted(order_ids):
                try:
                    async with tx.transaction():
                        who = {one: lifted[one]} if one in lifted else {}
                        judged += await self._judge(tx, [one], who)
                except _AWAY:
                    raise
                except Exception as alone:  # noqa: BLE001 - as above
                    failed[one] = alone
            if not judged:
                raise failure from None
        for one, why in failed.items():
            _log.error("order_unjudged", order_id=one, exc_info=why)
            await hold(tx, OrderId(one), _UNJUDGED, ACTOR, self._runtime.clock.now_ms())
        return judged

    async def _judge(
        self, tx: Connection, order_ids: Iterable[str], lifted: Mapping[str, str]
    ) -> int:
        """Judge orders, write what is new of them, and hand all on."""
        rows = await store.lock(tx, self._tenant, sorted(order_ids))
        found = [recorded(one) for one in rows]
        if not found:
            return 0
        for row in rows:
            if less := _less(row):
                now = instant(self._runtime.clock.now_ms())
                await ask_for_less(
                    tx, tenant=str(self._tenant), order_id=row.order_id, wanted=less, now=now
                )
        await store.released(tx, lifted)
        rules = await self._current(tx)
        now_ms = self._runtime.clock.now_ms()
        judged = [Judged(one, judge(rules, one.subject, now_ms)) for one in found]
        said, told = [], []
        for one in judged:
            order_id, verdict = one.order.subject.order_id, one.verdict
            for block in verdict.set:
                until = None if block.until == NEVER else instant(block.until)
                wanted = Block(block.code, "", block.reason, until)
                await hold(tx, OrderId(order_id), wanted, ACTOR, now_ms)
            if verdict.review is not None:
                review = verdict.review
                said.append((order_id, review))
                data = {
                    "revision": review.revision, "verdict": review.verdict, "rule": review.rule,
                    "rules_version": review.version,
                }  # fmt: skip
                told.append(EventRow(now_ms, "order.reviewed", order_id, "", ACTOR, data))
        await store.add(tx, said, instant(now_ms))
        await note(tx, told)
        await self._enqueue(tx, self._tenant, judged)
        return len(judged)

    async def _current(self, tx: Connection) -> Rules:
        """Return the rules as they are kept now, compiled once a version."""
        document = await kept(tx, self._tenant)
        if document is None:
            return NO_RULES
        if document.version != self._rules.version:
            self._rules = await asyncio.to_thread(
                compile_rules, document.value, document.version
            )  # fmt: skip
        return self._rules


def _less(row: Row) -> dict[int, int]:
    """Return the open units of lines of which shipments have more, of a marketplace's order.

    Of others units are taken only once they are stopped.
    """
    if row.authority != "external" or row.state != "open":
        return {}
    return {one.line_no: one.units for one in row.lines if row.sent.get(one.line_no, 0) > one.units}


def _hinted(seen: Iterable[Committed]) -> set[str]:
    return {
        one.order_id
        for one in seen
        if one.order_id and one.kind.startswith(_HINTS) and one.kind not in _OURS
    }


def _released(seen: Iterable[Committed]) -> dict[str, str]:
    return {
        one.order_id: one.actor
        for one in seen
        if one.kind == _LIFTED and one.data.get("code") == REVIEW
    }


def _activates(one: Committed, tenant: Tenant) -> bool:
    return one.kind == _ACTIVATED and one.data.get("tenant") == tenant
