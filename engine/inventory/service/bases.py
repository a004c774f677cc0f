"""What may be sold of SKUs by group of nodes: the logical layer, in one place."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.inventory.types.supply import Base
from engine.kernel.types import Tenant
from engine.logical.service import bases as logical
from engine.logical.types.bases import NodeBase


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


def by_group(nodes: Iterable[NodeBase]) -> dict[str, Base] | None:
    """Add up the nodes of each group that are ours.

    A node that is switched off has nothing to sell. Its SKUs stay counted, and what it shipped
    stays shipped: those orders lack nothing.
    """
    found: dict[str, Base] = {}
    for one in nodes:
        if one.counts or one.why_not == "disabled":
            before = found.get(one.node_group, Base(0, 0))
            sellable = one.sellable if one.counts else 0
            found[one.node_group] = Base(before.sellable + sellable, before.assigned + one.assigned)
    return found or None
