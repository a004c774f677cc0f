"""Shipments written down, and what they had taken of capacity given back."""

from collections.abc import Collection, Sequence
from datetime import datetime

from engine.infra.postgres import Connection
from engine.shipments import store
from engine.shipments.service.locked import follow
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


async def capacity_to_give_back(tx: Connection, limit: int) -> list[tuple[str, Slot]]:
    """Return (tenant, capacity) taken by shipments that are cancelled or rejected, each once ever.

    To be given back in the caller's transaction.
    """
    return await store.take_back_capacity(tx, limit)
