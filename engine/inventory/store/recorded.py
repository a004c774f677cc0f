"""What people do to pools by hand, and what Postgres has recorded of them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from engine.catalogue.types import Component
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.versioned import packed
from engine.inventory.types import MoveFields, OfferKey, Scope
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.inventory")
_components: Final = msgspec.json.Decoder(list[Component]).decode


class Offered(NamedTuple):
    """A channel's own pools, and the offer that the cell serves there."""

    pools: Collection[str]
    body: bytes


async def remember_move(tx: Connection, tenant: Tenant, move: MoveFields, actor: str) -> bool:
    """Write down what a move asks for; False when its id was used for something else."""
    document = packed(move)
    await tx.execute(SQL["insert_move"], tenant, move.move_id, document, actor)
    return bool(await tx.fetchval(SQL["same_move"], tenant, move.move_id, document))


async def finish_move(db: Connection, tenant: Tenant, move_id: str, units: int) -> None:
    """Note that the cell did it."""
    await db.execute(SQL["finish_move"], tenant, move_id, units)


async def position(db: Connection, cell: str) -> tuple[int, str]:
    """Return a cell's epoch and the log id up to which it is recorded."""
    row = await db.fetchrow(SQL["position"], cell)
    assert row is not None, "the database is migrated"
    return row["epoch"], row["last_id"]


async def paused_since(db: Connection, tenant: Tenant, scope: Scope, name: str) -> datetime | None:
    """Return since when a sale is paused, as far as the log is folded."""
    since: datetime | None = await db.fetchval(SQL["paused_since"], tenant, scope, name)
    return since


async def list_offers(
    db: Connection, tenant: Tenant, channel: str, sku: str, after: Sequence[Any], limit: int
) -> dict[OfferKey, list[Component]]:
    """Return what channels sell, in the order of the key; "" is any channel or SKU.

    A bundle is there with its components, which have the pools and offers; anything else has none.
    """
    rows = await db.fetch(SQL["list_offers"], tenant, channel, sku, *after, limit)
    return {_key(row): _components(row["components"]) for row in rows}


async def offers_below(
    db: Connection, tenant: Tenant, units: int, after: Sequence[Any], limit: int
) -> list[OfferKey]:
    """Return, in the same order, where a pool of its own has at most so many free units now."""
    rows = await db.fetch(SQL["offers_below"], tenant, units, *after, limit)
    return [_key(row) for row in rows]


async def offers(
    db: Connection, tenant: Tenant, wanted: Iterable[OfferKey]
) -> dict[OfferKey, Offered]:
    """Read those of these offers that the cell was told of, in no order."""
    columns = [list(column) for column in zip(*wanted, strict=True)] or [[], [], []]
    rows = await db.fetch(SQL["offers"], tenant, *columns)
    return {_key(row): Offered(row["pools"], row["body"]) for row in rows}


async def available(db: Connection, pools: Iterable[str]) -> dict[str, int]:
    """Return the free units of pools that have not ended."""
    rows = await db.fetch(SQL["available"], list(pools))
    return {row["pool_id"]: row["available"] for row in rows}


async def accounts(db: Connection, tenant: Tenant, sku: str) -> dict[str, tuple[int, int, int]]:
    """Return what is held, sold and owed of each pool of a SKU, by pool id."""
    rows = await db.fetch(SQL["accounts_of_sku"], tenant, sku)
    return {row["pool_id"]: (row["held"], row["sold"], row["owed"]) for row in rows}


async def paused(
    db: Connection, tenant: Tenant, sku: str, campaigns: Sequence[str]
) -> set[tuple[str, str]]:
    """Return which of a SKU and some campaigns are paused, as (scope, id)."""
    rows = await db.fetch(SQL["pauses_of"], tenant, sku, campaigns)
    return {(row["scope"], row["id"]) for row in rows}


async def recorded_to(db: Connection, cell: str) -> tuple[datetime, str]:
    """Return the instant, and the position of the log up to which this connection sees it."""
    row = await db.fetchrow(SQL["recorded_to"], cell)
    assert row is not None, "a SELECT without FROM has one row"
    return row["at"], row["log_id"]


def _key(row: asyncpg.Record) -> OfferKey:
    return OfferKey(row["sku"], row["channel"], row["campaign"])
