"""What is read of calls to nodes' systems for who watches them."""

from engine.infra import jobs, metrics
from engine.infra.metrics import Values
from engine.infra.postgres import Pool
from engine.kernel.types import Tenant
from engine.shipments.service.queueing import QUEUES


async def read(pool: Pool, tenant: Tenant) -> Values:
    """Return how many calls wait and were given up, and which nodes are only probed.

    A node shows while it has calls, or did not answer.
    """
    async with pool.acquire() as db:
        found = await jobs.counts(db, tenant)
        shut = await jobs.open_breakers(db, tenant)
    queues = {queue for queue, _ in found} | shut
    return {
        metrics.JOBS: {labels: float(n) for labels, n in found.items()},
        metrics.WMS_BREAKER_OPEN: {
            (queue.removeprefix(QUEUES),): float(queue in shut)
            for queue in queues
            if queue.startswith(QUEUES)
        },
    }
