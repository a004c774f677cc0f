"""What is read of parcels for who watches them."""

from engine.infra import metrics
from engine.infra.metrics import Values
from engine.infra.postgres import Pool
from engine.kernel.types import Tenant
from engine.logistics.store import acks


async def read(pool: Pool, tenant: Tenant) -> Values:
    """Return how many parcels channels have not confirmed."""
    return {metrics.ACKS: await acks.counts(pool, tenant)}
