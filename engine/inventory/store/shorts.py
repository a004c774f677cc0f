"""Units that orders have and nodes do not, in Postgres."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.inventory.types import ShortView
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.inventory")
BEGUN: Final = "stock_short"
ENDED: Final = "stock_short_ended"
_LOOK_SECONDS: Final = 1.0  # whoever looks for orders lets everybody wait who has stock to publish


class Place(NamedTuple):
    """A SKU in a group of nodes."""

    sku: str
    group: str


class Standing(NamedTuple):
    """A shortage of which no event has named the orders yet."""

    id: int
    tenant: Tenant
    sku: str
    group: str
    lacking: int


class Drawing(NamedTuple):
    """Units that an order has of some pools."""

    order_id: str
    accepted_at: datetime
    units: int


async def write(
    tx: Connection, tenant: Tenant, skus: Collection[str], found: Mapping[Place, int]
) -> None:
    """Keep what these SKUs lack now; of what lacks nothing any more an event says so."""
    rows = await tx.fetch(SQL["standing_shorts"], tenant, list(skus))
    standing = {Place(row["sku"], row["node_group"]): row["lacking"] for row in rows}
    changed = {place: units for place, units in found.items() if standing.get(place) != units}
    if changed:
        columns = [one.sku for one in changed], [one.group for one in changed]
        await tx.execute(SQL["begin_shorts"], tenant, *columns, list(changed.values()))
    if over := standing.keys() - found.keys():
        columns = [one.sku for one in over], [one.group for one in over]
        await tx.execute(SQL["end_shorts"], tenant, *columns, ENDED)


async def listed(
    db: Connection, tenant: Tenant, sku: str, after: int, limit: int
) -> list[tuple[int, ShortView]]:
    """Read shortages in the order in which they began; "" is any SKU."""
    rows = await db.fetch(SQL["list_shorts"], tenant, sku, after, limit)
    return [
        (
            row["id"],
            ShortView(
                row["sku"], row["node_group"], row["units"], row["lacking"],
                rfc3339(to_ms(row["since"])), row["until"] and rfc3339(to_ms(row["until"])),
            ),
        )
        for row in rows
    ]  # fmt: skip


async def untold(db: Connection, limit: int) -> list[Standing]:
    """Return shortages that grew since an event named their orders, or were never told."""
    return [Standing(*row.values()) for row in await db.fetch(SQL["untold_shorts"], limit)]


async def standing(db: Connection, tenant: Tenant, short_id: int) -> Standing | None:
    """Return a shortage that stands, None where it has ended."""
    row = await db.fetchrow(SQL["standing_short"], tenant, short_id)
    return None if row is None else Standing(*row.values())


async def pools(db: Connection, one: Standing) -> tuple[list[str], list[str]]:
    """Return the pools in which its orders have units, and the channels they may be of."""
    rows = await db.fetch(SQL["short_pools"], one.tenant, one.sku, one.group)
    channels = await db.fetch(SQL["offering_channels"], one.tenant, one.sku)
    return [row["pool_id"] for row in rows], [row["channel"] for row in channels]


async def newest(
    db: Connection, one: Standing, channel: str, pools: Sequence[str], limit: int
) -> list[Drawing]:
    """Return the newest orders of a channel that have units of its pools which no node has yet.

    Raises:
        TimeoutError: they are so rare that it would take too long to find them.
    """
    rows = await db.fetch(
        SQL["newest_drawing"], one.tenant, channel, list(pools), limit, one.group,
        timeout=_LOOK_SECONDS,
    )  # fmt: skip
    return [Drawing(*row.values()) for row in rows]


async def tell(db: Connection, one: Standing, data: Mapping[str, Any]) -> None:
    """Write the event of a shortage, once for so many units."""
    text = msgspec.json.encode(data).decode()
    await db.execute(SQL["tell_short"], one.id, one.lacking, BEGUN, text)
