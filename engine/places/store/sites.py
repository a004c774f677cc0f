"""Nodes with their profiles, and regions of one's own, in Postgres."""

from collections.abc import Sequence
from typing import Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.types import Tenant
from engine.physical.types.nodes import NodeFields
from engine.places.types.profiles import ProfileFields
from engine.places.types.regions import Region

SQL: Final = queries.load("engine.places")
_node: Final = codec.Decoder(NodeFields)
_profile: Final = codec.Decoder(ProfileFields)


async def sites(db: Connection, tenant: Tenant) -> list[tuple[str, NodeFields, ProfileFields]]:
    """Read the nodes that we send from, by name; one without a profile has an empty one."""
    return [
        (
            row["node"],
            _node(row["document"].encode()),
            _profile(row["profile"].encode()) if row["profile"] else ProfileFields(),
        )
        for row in await db.fetch(SQL["sites"], tenant)
    ]


async def regions(db: Connection, tenant: Tenant) -> list[Region]:
    """Read the regions of one's own, by code."""
    rows = await db.fetch(SQL["own_regions"], tenant)
    return [Region(row["code"], row["name"], row["latitude"], row["longitude"]) for row in rows]


async def keep_regions(tx: Connection, tenant: Tenant, regions: Sequence[Region]) -> int:
    """Write regions, of which no two may have one code; return how many changed anything."""
    columns = [list(column) for column in zip(*regions, strict=True)] or [[]] * 4
    return int(await tx.fetchval(SQL["keep_regions"], tenant, *columns))
