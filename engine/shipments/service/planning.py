"""Shipments written down, and what they had taken of capacity given back."""

from collections.abc import Collection, Sequence
from datetime import datetime

from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import store
from engine.shipments.service.locked import follow, lock, names
from engine.shipments.types.shipments import Planned, Slot


async def next_numbers(tx: Connection, order_ids: Collection[str]) -> dict[str, int]:
    """Return `n` of the next shipment of each order; their rows are locked by the caller."""
    return await store.next_numbers(tx, order_ids)


async def next_attempts(tx: Connection, order_id: str) -> dict[str, int]:
    """Return the next attempt at each node that ever had a shipment of a locked order."""
    return await store.next_attempts(tx, order_id)


async def plan(tx: Connection, planned: Sequence[Planned], at: datetime) -> None:
    """Write shipments of locked orders; their units are assigned by the caller, who decided them.

    Raises:
        asyncpg.UniqueViolationError: one of that number or attempt is there: the orders were not
            locked when they were counted.
    """
    orders = await store.lock_orders(tx, {one.order_id for one in planned})
    await store.insert(tx, planned, at)
    await follow(tx, orders)


async def plan_again(tx: Connection, order_id: str, ids: Collection[str], now: datetime) -> None:
    """Plan cancelled shipments of a locked order once more: same node, service, units, promise.

    To be called in the transaction that cancelled them, so that nobody took their units meanwhile.
    """
    locked = await lock(tx, [order_id])
    n = (await store.next_numbers(tx, [order_id]))[order_id]
    attempts = await store.next_attempts(tx, order_id)
    renewed: dict[Assignment, Assignment] = {}
    for one in (locked.shipments[name] for name in sorted(ids)):
        if one.state != "cancelled":
            continue  # a node that rejected it is not asked again
        attempt = attempts[one.node]
        await store.plan_again(tx, one.shipment_id, f"{order_id}-s{n}", attempt, now)
        renewed |= {name: name._replace(attempt=attempt) for name in names([one])}
        n, attempts[one.node] = n + 1, attempt + 1
    if renewed:
        await assignments.again(tx, Tenant(locked.orders[order_id].tenant), renewed, now)
    await follow(tx, locked.orders)


async def capacity_to_give_back(tx: Connection, limit: int) -> list[tuple[str, Slot]]:
    """Return (tenant, capacity) taken by shipments that are cancelled or rejected, each once ever.

    To be given back in the caller's transaction.
    """
    return await store.take_back_capacity(tx, limit)
