"""What may be sold of SKUs by group of nodes: the logical layer, in one place."""

from collections.abc import Collection
from datetime import datetime

from engine.infra.postgres import Connection
from engine.inventory.store import supply
from engine.inventory.types.supply import Base
from engine.kernel.types import Tenant


async def of(
    tx: Connection, tenant: Tenant, skus: Collection[str], _at: datetime
) -> dict[str, dict[str, Base]]:
    """Return what there is of those of these SKUs that were ever counted at a node of ours.

    A node that is switched off gives nothing, and its SKUs stay counted.
    """
    return await supply.sellable(tx, tenant, skus)
