"""What changed since a shelver last looked."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection

SQL: Final = queries.load("engine.publications")
_MARGIN_MS: Final = 1_000


class Key(NamedTuple):
    """A SKU of a tenant: what is looked at together."""

    tenant: str
    sku: str


class Look(NamedTuple):
    """What one glance told; `pauses` and `turning` are (tenant, scope, id, since), (tenant, id)."""

    last_id: str
    snapshot: str
    listed: bool
    bundled: bool
    changed: bool
    any_published: bool
    draining: bool
    pauses: frozenset[tuple[str, ...]]
    turning: list[tuple[str, ...]]


class Taken(NamedTuple):
    """Units that were taken from a pool in a second of cell time; 0: it only moved."""

    key: Key
    pool: str
    second: int
    units: int


async def look(db: Connection, cell: str, snapshot: str, turning_s: float) -> Look:
    """Glance at everything that changes what is shown."""
    row = await db.fetchrow(SQL["look"], cell, snapshot, turning_s)
    assert row is not None, "a SELECT without FROM has one row"
    return Look(
        row["last_id"], row["snapshot"], row["listed"], row["bundled"], row["changed"],
        row["any_published"], row["draining"],
        frozenset(tuple(one.split("\x1f")) for one in row["pauses"]),
        [tuple(one.split("\x1f")) for one in row["turning"]],
    )  # fmt: skip


async def changed_listings(db: Connection, snapshot: str) -> list[Key]:
    """Return SKUs of mappings that a snapshot did not see."""
    return [Key(*row) for row in await db.fetch(SQL["changed_listings"], snapshot)]


async def changed_bundles(db: Connection, snapshot: str) -> list[Key]:
    """Return bundles whose components changed, as far as a snapshot did not see it."""
    return [Key(*row) for row in await db.fetch(SQL["changed_bundles"], snapshot)]


async def take_changes(db: Connection) -> list[tuple[str, str, str]]:
    """Return what somebody said has changed, by tenant, channel and SKU, and take it away."""
    return [tuple(row) for row in await db.fetch(SQL["take_changes"])]


async def tell_changes(tx: Connection, changes: Collection[tuple[str, str, str]]) -> None:
    """Have SKUs of channels looked at again; SKU "" is all of them."""
    columns = (list(column) for column in zip(*sorted(changes), strict=True))
    if changes:
        await tx.execute(SQL["tell_changes"], *columns)


async def skus_of_channel(db: Connection, tenant: str, channel: str) -> list[Key]:
    """Return all SKUs of a channel's listings."""
    rows = await db.fetch(SQL["skus_of_channel"], tenant, channel)
    return [Key(tenant, row["sku"]) for row in rows]


async def skus_of_campaign(db: Connection, tenant: str, campaign: str) -> list[Key]:
    """Return the published SKUs of a campaign."""
    rows = await db.fetch(SQL["skus_of_campaign"], tenant, campaign)
    return [Key(tenant, row["sku"]) for row in rows]


async def every_sku(db: Connection) -> list[Key]:
    """Return all SKUs that marketplaces show, or did."""
    return [Key(*row) for row in await db.fetch(SQL["every_sku"])]


async def moved_pools(
    db: Connection, cell: str, after: Sequence[int], upto: Sequence[int]
) -> list[Taken]:
    """Return what the ledger says of published SKUs between two positions (ms, number)."""
    first = str(max(0, after[0] - _MARGIN_MS))
    rows = await db.fetch(SQL["moved_pools"], cell, first, *after, *upto)
    return [
        Taken(Key(row["tenant"], row["sku"]), row["pool_id"], row["second"], row["taken"])
        for row in rows
    ]
