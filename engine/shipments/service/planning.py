"""Shipments written down, and what they had taken of capacity given back."""

from collections.abc import Collection, Sequence
from datetime import datetime

from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import store
from engine.shipments.service import queueing
from engine.shipments.service.locked import Locked, follow, lock, names
from engine.shipments.service.queueing import Call
from engine.shipments.types.shipments import Planned, Slot


async def next_numbers(tx: Connection, order_ids: Collection[str]) -> dict[str, int]:
    """Return `n` of the next shipment of each order; their rows are locked by the caller."""
    return await store.next_numbers(tx, order_ids)


async def next_attempts(tx: Connection, order_id: str) -> dict[str, int]:
    """Return the next attempt at each node that ever had a shipment of a locked order."""
    return await store.next_attempts(tx, order_id)


async def plan(tx: Connection, planned: Sequence[Planned], at: datetime) -> None:
    """Write shipments of locked orders, and the calls to their nodes.

    Their units are assigned by the caller, who decided them.

    Raises:
        asyncpg.UniqueViolationError: one of that number or attempt is there: the orders were not
            locked when they were counted.
    """
    first = {one.order_id for one in planned if one.n == 1}
    again = {one.order_id for one in planned} - first
    orders = await store.lock_orders(tx, again) if again else {}
    await store.insert(tx, planned, at)
    for tenant in sorted({one.tenant for one in planned}):
        calls = [
            Call(one.shipment_id, one.node, one.release_at)
            for one in planned
            if one.tenant == tenant
        ]
        await queueing.put(tx, tenant, calls)
    await store.begin_progress(tx, first)
    if orders:
        await follow(tx, orders)


async def plan_again(
    tx: Connection, order_id: str, ids: Collection[str], now: datetime
) -> list[str]:
    """Plan cancelled shipments of a locked order once more: same node, service, units, promise.

    To be called in the transaction that cancelled them, so that nobody took their units meanwhile.
    One with more units than the order lacks by now is not: what is left of it is to be routed.
    Returned are those that were planned.
    """
    locked = await lock(tx, [order_id])
    lacking = _lacking(locked, order_id)
    again = []
    n = (await store.next_numbers(tx, [order_id]))[order_id]
    attempts = await store.next_attempts(tx, order_id)
    renewed: dict[Assignment, Assignment] = {}
    calls = []
    for one in (locked.shipments[name] for name in sorted(ids)):
        if one.state != "cancelled":
            continue  # a node that rejected it is not asked again
        if any(units > lacking.get(line, 0) for line, units in one.units.items()):
            continue
        lacking = {line: units - one.units.get(line, 0) for line, units in lacking.items()}
        again.append(one.shipment_id)
        attempt = attempts[one.node]
        await store.plan_again(tx, one.shipment_id, f"{order_id}-s{n}", attempt, now)
        calls.append(Call(f"{order_id}-s{n}", one.node, one.release_at))
        renewed |= {name: name._replace(attempt=attempt) for name in names([one])}
        n, attempts[one.node] = n + 1, attempt + 1
    await queueing.put(tx, locked.orders[order_id].tenant, calls)
    if renewed:
        await assignments.again(tx, Tenant(locked.orders[order_id].tenant), renewed, now)
    await follow(tx, locked.orders)
    return again


def _lacking(locked: Locked, order_id: str) -> dict[int, int]:
    """Return the units of each line that an order is to get and no live shipment has."""
    found = dict(locked.orders[order_id].wanted)
    for one in locked.shipments.values():
        if one.live:
            for line, units in one.units.items():
                found[line] = found.get(line, 0) - units
    return found


async def capacity_to_give_back(tx: Connection, limit: int) -> list[tuple[str, Slot]]:
    """Return (tenant, capacity) taken by shipments that are cancelled or rejected, each once ever.

    To be given back in the caller's transaction.
    """
    return await store.take_back_capacity(tx, limit)
