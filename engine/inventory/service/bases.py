"""What may be sold of SKUs by group of nodes: the logical layer, in one place."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.inventory.rules.supply import by_group
from engine.inventory.types.supply import Base
from engine.kernel.types import Tenant
from engine.logical.service import bases as logical


class Counted(NamedTuple):
    """What there is of a SKU by group; None: it was never counted at a node of ours.

    `changes_at` is when time alone changes it next.
    """

    bases: dict[str, Base] | None
    changes_at: datetime | None


async def of(
    tx: Connection, tenant: Tenant, skus: Collection[str], at: datetime
) -> dict[str, Counted]:
    """Return what there is of these SKUs, for whoever plans by it until the transaction ends."""
    chains = await logical.chains(tx, tenant, skus, at)
    return {sku: Counted(by_group(one.nodes), one.changes_at) for sku, one in chains.items()}
