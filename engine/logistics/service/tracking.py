"""What is told of parcels, kept; and the looks that follow from it and from other news."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from engine.infra import outbox
from engine.infra.postgres import Pool
from engine.kernel.clock import Clock, instant
from engine.logistics.service.looking import look
from engine.logistics.store import ways
from engine.logistics.types import TrackedIn, TrackedResult
from engine.shipments.service.locked import lock

_READER: Final = "logistics"
_HINTS: Final = (
    "order.routed", "order.released", "shipment.accepted", "shipment.shipped",
    "shipment.cancelled", "shipment.rejected",
)  # fmt: skip
_EVENTS_AT_ONCE: Final = 1_000
_ORDERS_AT_ONCE: Final = 200
WAITING_KEPT: Final = timedelta(days=30)


async def record(
    pool: Pool, tenant: str, told: Sequence[TrackedIn], now: datetime
) -> list[TrackedResult]:
    """Keep milestones and look at the parcels they are about; say of each what became of it."""
    async with pool.acquire() as tx, tx.transaction():
        order_ids = await ways.orders_of(tx, tenant, told)
        await lock(tx, order_ids)  # before what others who tell the same may wait for
        new = await ways.add_milestones(tx, tenant, told, now)
        await look(tx, tenant, order_ids, now)
        ours = {(one.carrier, one.waybill) for one in await ways.parcels(tx, order_ids)}
    numbers = ours | {("", waybill) for _, waybill in ours}
    answers = []
    for one in told:
        key = (one.waybill, one.carrier, one.milestone, one.at, one.source)
        fresh = key in new
        new.discard(key)  # the second of two alike in one call is a repeat
        waits = (one.carrier, one.waybill) not in numbers
        answers.append(
            TrackedResult(200, "repeated" if not fresh else "waits" if waits else "recorded")
        )
    return answers


async def follow(pool: Pool, tenant: str, clock: Clock) -> bool:
    """Look at orders of which something was told; True when there may be more of them."""
    now = instant(clock.now_ms())
    async with pool.acquire() as tx, tx.transaction():
        end = await outbox.end(tx)
        if not await ways.any_shipped(tx):
            await outbox.pass_over(tx, _READER, end)
            return False
        order_ids, more = await outbox.hints(tx, _READER, _HINTS, _EVENTS_AT_ONCE)
        await look(tx, tenant, order_ids, now)
    return more


async def catch_up(pool: Pool, tenant: str, clock: Clock) -> bool:
    """Look at orders whose parcels came after what was told of them; True when there were many."""
    now = instant(clock.now_ms())
    order_ids = await ways.waited_for(pool, _ORDERS_AT_ONCE)
    if order_ids:
        async with pool.acquire() as tx, tx.transaction():
            await look(tx, tenant, order_ids, now)
    return len(order_ids) == _ORDERS_AT_ONCE


async def forget(pool: Pool, clock: Clock) -> None:
    """Forget what was told of numbers that never were ours."""
    await ways.forget_waiting(pool, instant(clock.now_ms()) - WAITING_KEPT, _EVENTS_AT_ONCE)
