"""What is read of webhooks for who watches them."""

from engine.infra import metrics
from engine.infra.metrics import Values
from engine.infra.postgres import Pool
from engine.kernel.types import Tenant
from engine.webhooks.store import endpoints as store


async def read(pool: Pool, tenant: Tenant) -> Values:
    """Return how many endpoints there are, what waits for them, and for how long."""
    found = await store.measure(pool, tenant)
    return {
        metrics.WEBHOOK_BACKLOG: {(one,): float(found[one]) for one in ("waiting", "dead")},
        metrics.WEBHOOK_OLDEST: {(): found["oldest_s"]},
        metrics.WEBHOOK_ENDPOINTS: {(one,): float(found[one]) for one in ("active", "disabled")},
    }
