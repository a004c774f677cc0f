"""What is read of the queue for who watches it."""

from typing import get_args

from engine.infra import metrics
from engine.infra.metrics import Values
from engine.infra.postgres import Pool
from engine.kernel.types import Tenant
from engine.routing.store import queue as store
from engine.routing.types.queue import Queue


async def read(pool: Pool, tenant: Tenant) -> Values:
    """Return how many orders are in each queue, for how long, and promises that are broken."""
    async with pool.acquire() as db:
        found = await store.counts(db, tenant)
        broken = await store.broken(db, tenant)
    known = {name: found.get(name, (0, 0.0)) for name in get_args(Queue)}
    return {
        metrics.ROUTE_QUEUE: {(name,): count for name, (count, _) in known.items()},
        metrics.ROUTE_QUEUE_OLDEST: {(name,): oldest_s for name, (_, oldest_s) in known.items()},
        metrics.BROKEN_PROMISES: {(): broken},
    }
