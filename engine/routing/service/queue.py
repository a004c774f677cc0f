"""The queue of orders to be routed: written by whoever knows an order, leased by routers.

Whoever writes or withdraws rows holds the locks of their orders; a lease takes none but its rows.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.review.service.intake import READER
from engine.routing.rules import facts, rejections
from engine.routing.service import rejecting
from engine.routing.store import binding, view
from engine.routing.store import queue as store
from engine.routing.store.queue import Event, Written
from engine.routing.types.queue import Claimed, Row

LEASE_S: Final = 10.0
WOKEN_PER_CALL_MAX: Final = 500
OVERDUE_PER_CALL_MAX: Final = 500
FORGOTTEN_PER_CALL_MAX: Final = 1_000


async def put(tx: Connection, tenant: Tenant, rows: Sequence[Row]) -> None:
    """Write rows of locked orders, in place of those that are there; leases of them end.

    A row that would be `NEW` for the same facts stays where a router put it: it would decide the
    same. So it may be called for any hint, as often as one likes. Nodes that refused it, and what
    was decided by hand, are added here: what would be `NEW` is `REJECTED`, or `MANUAL`, by them.
    """
    ids = [row.order.order_id for row in rows]
    excluded = await rejecting.excluded(tx, ids)
    in_hand = await rejecting.in_hand(tx, ids)
    found = [
        rejections.in_hand(row, in_hand[name], excluded.get(name, ()))
        for name, row in zip(ids, rows, strict=True)
    ]
    await store.put(
        tx,
        tenant,
        [
            Written(
                row.order.order_id, row.queue, row.reason, row.due_at, row.alarm_at,
                row.order.hops, row.turn, facts.pack(row.order), row.row_version,
            )
            for row in found
        ],
    )  # fmt: skip


async def withdraw(tx: Connection, order_ids: Collection[str]) -> None:
    """Delete rows of locked orders that wait for nothing any more."""
    await store.withdraw(tx, order_ids)


async def claim(
    db: "Connection | Pool", tenant: Tenant, limit: int, lease_s: float = LEASE_S
) -> tuple[list[Claimed], list[str]]:
    """Lease rows that are due, the longest due first; and ids of those that nobody can read.

    To be called outside of a transaction: nobody else sees the lease before it is committed. Those
    that cannot be read stay leased until their facts are written anew, or the lease lapses.
    """
    claimed, unreadable = [], []
    for row in await store.claim(db, tenant, limit, lease_s):
        try:
            order = facts.unpack(row.facts)
        except facts.UnreadableFacts:
            unreadable.append(row.order_id)
        else:
            if order.hops == row.hops:
                claimed.append(Claimed(order, row.row_version, row.token, row.facts))
            else:
                found = order._replace(hops=row.hops)
                claimed.append(Claimed(found, row.row_version, row.token))
    return claimed, unreadable


async def give_back(db: "Connection | Pool", claimed: Sequence[Claimed], due_at: datetime) -> None:
    """End the lease of orders that stay as they are; those of others are left alone."""
    for token in sorted({one.token for one in claimed}):
        ids = [one.order.order_id for one in claimed if one.token == token]
        await store.give_back(db, ids, token, due_at)


async def wake_waiting(db: "Connection | Pool", tenant: Tenant) -> int:
    """Make those due that wait for stock of which some came, or was set free; return how many."""
    inputs = sum(await view.inputs(db, tenant))
    return await store.wake_waiting(db, tenant, WOKEN_PER_CALL_MAX, inputs)


async def raise_alarms(pool: Pool, tenant: Tenant, at: datetime) -> int:
    """Tell of orders that are in a queue for too long, each once; return how many."""
    async with pool.acquire() as tx, tx.transaction():
        late = await store.overdue(tx, tenant, OVERDUE_PER_CALL_MAX)
        events = [
            Event(
                "order.queue_overdue", one.order_id, "router",
                {"queue": one.queue, "reason": one.reason, "since": one.since.isoformat()},
            )
            for one in late
        ]  # fmt: skip
        await store.write_events(tx, events, at)
    return len(late)


async def forget_decisions(db: "Connection | Pool", before: datetime) -> int:
    """Delete decisions of before an instant, at most FORGOTTEN_PER_CALL_MAX; return how many."""
    return await binding.forget_decisions(db, before, FORGOTTEN_PER_CALL_MAX)


async def nowhere(db: "Connection | Pool") -> int:
    """Return how many orders are neither in the queue nor with a node, and should be; 0 is right.

    Orders that the intake has not come to yet are left out.
    """
    return await store.nowhere(db, READER)


async def counts(db: "Connection | Pool", tenant: Tenant) -> dict[str, tuple[int, float]]:
    """Return how many orders are in each queue, and for how many seconds the oldest."""
    return await store.counts(db, tenant)
