"""What explanations read besides what the layers tell of themselves."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from engine.explanations.types import ListingView
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.explanations")


async def windows(db: Connection, tenant: Tenant, campaigns: Collection[str]) -> dict[str, str]:
    """Return which of these campaigns are `not_started` or `ended`."""
    rows = await db.fetch(SQL["windows"], tenant, list(campaigns))
    return {
        row["campaign"]: "not_started" if row["early"] else "ended"
        for row in rows
        if row["early"] or row["late"]
    }


async def shown(db: Connection, tenant: Tenant, sku: str) -> dict[str, list[ListingView]]:
    """Return what marketplaces are told of a SKU, by channel."""
    found: defaultdict[str, list[ListingView]] = defaultdict(list)
    for row in await db.fetch(SQL["shown"], tenant, sku):
        columns = dict(row)
        found[columns.pop("channel")].append(ListingView(**columns))
    return found
