"""What follows from the answer to a stop, in the transaction that gives it.

Whoever reports what a node said (`engine.shipments.service.report`) calls `act` with each stop that
got its answer by it; the order's row is locked by then. A stop that was answered when it was asked
for was acted on by who asked.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, Final

import structlog

from engine.aftersales import addresses, rules, store
from engine.aftersales.service import settle, to_cut
from engine.infra.postgres import UNAVAILABLE, Connection, Pool
from engine.kernel.clock import Clock, instant
from engine.kernel.errors import NotCancellable
from engine.kernel.types import OrderId
from engine.orders.service import cancel_confirmed, note
from engine.orders.types import EventRow
from engine.reservation.types import ReleaseClaim
from engine.shipments.service import ask_for_ended, give_up
from engine.shipments.service.addresses import to_ask
from engine.shipments.types.stops import Stop

_TOLD_AT_ONCE: Final = 100
_log: Final = structlog.get_logger(__name__)


async def act(tx: Connection, stops: Iterable[Stop], now_ms: int) -> None:
    """Cancel, or cut what was refunded, where it was stopped; else say that it was refused.

    Changes of address come last: what is planned again then is what the others left.
    """
    for stop in sorted(stops, key=lambda one: one.cause == "address"):
        match stop.cause:
            case "cancel":
                await _cancel(tx, stop, now_ms)
            case "refund":
                await _refund(tx, stop, now_ms)
            case "address":
                await addresses.answer(tx, stop, now_ms)
            case "manual":
                pass  # who asked reads the answer


async def _nothing(_tx: Connection, _stops: Iterable[Stop]) -> None:
    """Do nothing more."""


async def settle_stops(
    pool: Pool, clock: Clock, within_s: int,
    then: Callable[[Connection, Iterable[Stop]], Awaitable[None]] = _nothing,
) -> int:  # fmt: skip
    """Ask for stops that nobody else asks for, and answer those that no node answered in time.

    Returns how many it gave up; `not_stopped` is the answer that is always safe. `then` is what
    follows elsewhere from these answers, in their transaction.
    """
    now_ms = clock.now_ms()
    asked = True
    while asked:  # an order a transaction, as locks are taken orders first
        async with pool.acquire() as tx, tx.transaction():
            asked = await ask_for_ended(tx, instant(now_ms)) is not None
    async with pool.acquire() as tx, tx.transaction():
        late = await give_up(tx, instant(now_ms), timedelta(seconds=within_s))
        await act(tx, late, now_ms)
        await then(tx, late)
    return len(late)


async def settle_told(pool: Pool, clock: Clock) -> int:
    """Ask for stops of what goes to an address that its marketplace changed; return how many.

    What a snapshot changed is written down with it, so whoever comes first asks, and asks once; an
    order of which that fails is tried again and keeps no other waiting.
    """
    found = await to_ask(pool, _TOLD_AT_ONCE)
    for order_id in found:  # one a transaction, as locks are taken orders first
        try:
            async with pool.acquire() as tx, tx.transaction():
                await addresses.follow_told(tx, OrderId(order_id), clock.now_ms())
        except UNAVAILABLE:
            raise
        except Exception:  # noqa: BLE001 - it is logged, and tried again
            _log.exception("address_not_asked", order_id=order_id)
    return len(found)


async def _cancel(tx: Connection, stop: Stop, now_ms: int) -> None:
    why = "it has left, or is too far to be stopped"
    if stop.answer == "stopped":
        order = await store.lock(tx, OrderId(stop.order_id))
        assert order is not None, "it was recorded before, and no order is ever deleted"
        lines = tuple((n, units) for n, units in stop.detail["lines"])
        claim = ReleaseClaim(
            OrderId(stop.order_id), stop.cause_id, stop.detail["kind"], stop.detail["reason"],
            stop.actor, lines,
        )  # fmt: skip
        try:
            await cancel_confirmed(tx, order, claim, now_ms, stopped=True)
        except NotCancellable as refused:
            why = refused.detail  # a refund took the units meanwhile
        else:
            return
    data: dict[str, Any] = {"cancel_id": stop.cause_id, "answer": stop.answer, "reason": why}
    await note(tx, [EventRow(now_ms, "order.cancel_refused", stop.order_id, "", stop.actor, data)])


async def _refund(tx: Connection, stop: Stop, now_ms: int) -> None:
    """Cut the units of a refund that is done; of one that is not yet, the block stays."""
    order_id = OrderId(stop.order_id)
    refund = await store.refund(tx, order_id, stop.detail["refund_id"])
    if stop.answer != "stopped" or refund is None or refund.state != "done":
        return
    order = await store.lock(tx, order_id)
    assert order is not None, "it was recorded before, and no order is ever deleted"
    found = await store.standing(tx, order)
    cut = () if found.version else rules.units_left_to_cut(found, refund)
    await settle(tx, order, found, to_cut(refund, stop.actor, cut), now_ms, stopped=True)
