"""Listings in Postgres."""

from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant
from engine.listings.types import AlarmView, Kept, Listing, ListingView

SQL: Final = queries.load("engine.listings")
_CHUNK: Final = 2_000  # rows read at once; between them others have their turn
_LINK: Final = itemgetter("tenant", "channel", "item_id", "sku_id")


class Change(NamedTuple):
    """What a link's SKUs became: units of each, None for one that was removed."""

    tenant: str
    channel: str
    item_id: str
    sku_id: str
    units_per: dict[str, int | None]


class Wanted(NamedTuple):
    """What a list shall hold; "" is no limitation. `after` is the key of the last one seen."""

    tenant: Tenant
    channel: str
    after: Sequence[str]
    limit: int


async def lock(tx: Connection, tenant: Tenant) -> None:
    """Wait for other writers of this tenant, until the transaction ends."""
    await tx.execute(SQL["lock_listings"], tenant)


async def upsert(tx: Connection, tenant: Tenant, rows: Sequence[Listing], actor: str) -> Kept:
    """Write mappings that are new or different and count them all."""
    units = [one.units_per for one in rows]
    row = await tx.fetchrow(SQL["upsert_listings"], tenant, actor, *_columns(rows), units)
    assert row is not None, "an aggregate has one row"
    return Kept(row["created"], row["updated"], row["unchanged"])


async def remove_others(tx: Connection, tenant: Tenant, rows: Sequence[Listing], actor: str) -> int:
    """Take from these links what is not told here; return how many mappings went."""
    status = await tx.execute(SQL["remove_others"], tenant, actor, *_columns(rows))
    return int(status.rpartition(" ")[2])


async def doubled(tx: Connection, tenant: Tenant, rows: Sequence[Listing]) -> int:
    """Count those of these links that are mapped to several SKUs."""
    return int(await tx.fetchval(SQL["count_doubled"], tenant, *_columns(rows)[:3]))


async def remove(
    db: Connection, tenant: Tenant, link: tuple[str, str, str], sku: str, actor: str
) -> int:
    """Remove what a link is mapped to, or only one SKU; return how many mappings went."""
    return len(await db.fetch(SQL["remove_listings"], tenant, actor, *link, sku))


async def page(db: Connection, wanted: Wanted, item_id: str, sku: str) -> list[ListingView]:
    """Read mappings in the order of their keys."""
    rows = await db.fetch(
        SQL["list_listings"], wanted.tenant, wanted.channel, item_id, sku, *wanted.after,
        wanted.limit,
    )  # fmt: skip
    return [ListingView(**_shown(row)) for row in rows]


async def alarms(db: Connection, wanted: Wanted, reason: str) -> list[AlarmView]:
    """Read what stands for no SKU or for several, in the order of its keys."""
    rows = await db.fetch(
        SQL["list_alarms"], wanted.tenant, wanted.channel, reason, *wanted.after, wanted.limit
    )
    return [AlarmView(**_shown(row)) for row in rows]


async def snapshot(tx: Connection) -> str:
    """Return what this repeatable-read transaction sees, as Postgres writes it."""
    return str(await tx.fetchval(SQL["snapshot"]))


async def changed(tx: Connection, since: str | None) -> AsyncIterator[Change]:
    """Yield the links of which a snapshot has not seen everything; with None, all there are.

    Of a link that is yielded, only SKUs that changed are told, each once.
    """
    if since is None:
        cursor = await tx.cursor(SQL["all_listings"])
    else:
        cursor = await tx.cursor(SQL["changed_listings"], since)
    rest: list[Any] = []
    while chunk := await cursor.fetch(_CHUNK):
        groups = [list(rows) for _, rows in groupby([*rest, *chunk], _LINK)]
        rest = groups.pop()  # its link may go on in the next chunk
        for group in groups:
            yield _change(group)
    if rest:
        yield _change(rest)


def _change(rows: Sequence[Any]) -> Change:
    told = {row["sku"]: None if row["removed"] else row["units_per"] for row in rows}
    tenant, channel, item_id, sku_id = _LINK(rows[0])
    return Change(tenant, channel, item_id, sku_id, told)


def _columns(rows: Sequence[Listing]) -> tuple[list[str], list[str], list[str], list[str]]:
    return (
        [one.channel for one in rows],
        [one.item_id for one in rows],
        [one.sku_id for one in rows],
        [one.sku for one in rows],
    )


def _shown(row: Any) -> dict[str, Any]:
    return {
        name: rfc3339(to_ms(value)) if name in {"updated_at", "first_seen", "last_seen"} else value
        for name, value in row.items()
    }
