"""Orders of which nothing came in the time that their plan gave them: the rest is cancelled.

That is a cancel like a buyer's: units go back to sale, money is due back. What only its marketplace
may cancel, or what is a part of a bundle, is left to a person.
"""

from typing import Final

import asyncpg
import structlog

from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import Clock
from engine.kernel.errors import NotCancellable
from engine.kernel.types import OrderId, Tenant
from engine.orders.service.cancelling import cancel_confirmed, locked
from engine.reservation.types import ReleaseClaim
from engine.routing.rules import facts
from engine.routing.store import hands, queue

CANCELLED_PER_CALL_MAX: Final = 100
REASON: Final = "auto_cancel"
UNDECIDED: Final = "undecided"  # what decides it failed; the log says how
_ACTOR: Final = "router"
_log: Final = structlog.get_logger(__name__)


async def cancel_overdue(pool: Pool, tenant: Tenant, clock: Clock) -> int:
    """Cancel what is left of orders whose time is up; return of how many."""
    done = 0
    for order_id in await queue.to_cancel(pool, tenant, CANCELLED_PER_CALL_MAX):
        async with pool.acquire() as tx, tx.transaction():
            done += await _cancel(tx, tenant, OrderId(order_id), clock.now_ms())
    return done


async def set_aside(pool: Pool, tenant: Tenant, order_id: str) -> None:
    """Leave an order to a person that no router can decide."""
    async with pool.acquire() as tx, tx.transaction():
        await locked(tx, order_id)
        await hands.hold(tx, tenant, {order_id}, UNDECIDED, _ACTOR)


async def _cancel(tx: Connection, tenant: Tenant, order_id: OrderId, now_ms: int) -> bool:
    """Cancel what waits of an order; False where nothing does any more, or a person has to."""
    row = await locked(tx, order_id)
    kept = await queue.hold_to_cancel(tx, order_id)
    if row is None or kept is None:
        return False
    units: dict[int, int] = {}
    try:
        lines = facts.unpack(kept).lines
    except facts.UnreadableFacts:
        await hands.hold(tx, tenant, {order_id}, REASON, _ACTOR)  # once retried, they are made anew
        return False
    for line in lines:
        units[line.line_no] = units.get(line.line_no, 0) + line.units
    claim = ReleaseClaim(
        order_id, f"unfilled:{now_ms}", "cancel", "no node could send it", _ACTOR,
        tuple(sorted(units.items())),
    )  # fmt: skip
    cancelled = not row["version"] and await _cancelled(tx, row, claim, now_ms)
    if cancelled:
        await queue.withdraw(tx, [order_id])
    else:
        await hands.hold(tx, tenant, {order_id}, REASON, _ACTOR)
    return cancelled


async def _cancelled(tx: Connection, row: asyncpg.Record, claim: ReleaseClaim, now_ms: int) -> bool:
    try:
        async with tx.transaction():
            await cancel_confirmed(tx, row, claim, now_ms, stopped=True)
    except NotCancellable as refused:
        _log.warning("not_cancelled", order_id=claim.order_id, reason=refused.detail)
        return False
    return True
