"""What a router looks at besides documents: units that are free, what nodes have to do."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.routing.types.binding import Inputs

SQL: Final = queries.load("engine.routing")


class Free(NamedTuple):
    """Units of a SKU's owner at a node, of goods without a batch; may be below 0."""

    sku: str
    owner: str
    key_id: int | None
    node: str
    units: int


async def free_of(db: "Connection | Pool", tenant: Tenant, skus: Collection[str]) -> list[Free]:
    """Return what is free of SKUs; of one without such goods nothing."""
    return [Free(*row) for row in await db.fetch(SQL["free_of"], tenant, list(skus))]


async def inputs(db: "Connection | Pool", tenant: Tenant) -> Inputs:
    """Return what is another whenever a rule of stock, a node or a profile is."""
    row = await db.fetchrow(SQL["inputs"], tenant)
    assert row is not None, "sums have a row"
    return row["rules"], row["nodes"], row["profiles"]


async def load(db: "Connection | Pool", tenant: Tenant) -> dict[str, int]:
    """Return how many shipments nodes have before them; of those without one nothing."""
    return {row["node"]: row["shipments"] for row in await db.fetch(SQL["load_of_nodes"], tenant)}


async def keep_names(
    db: "Connection | Pool",
    tenant: Tenant,
    names: int,
    nodes: Sequence[str],
    services: Sequence[str],
) -> None:
    """Keep what numbers of nodes and services are called; `names` stands for it from now on."""
    await db.execute(SQL["keep_names"], tenant, names, list(nodes), list(services))
