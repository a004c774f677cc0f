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
from engine.inventory.types import MoveFields, Scope
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.inventory")
_components: Final = msgspec.json.Decoder(list[Component]).decode


class StockRow(NamedTuple):
    """A channel's own pools with the offer that the cell serves there, or a bundle's components."""

    sku: str
    channel: str
    campaign: str
    pools: Collection[str]
    body: bytes
    components: list[Component]


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


async def stock(
    db: Connection, tenant: Tenant, channel: str, sku: str, after: Sequence[Any], limit: int
) -> list[StockRow]:
    """Read what channels sell, in the order (sku, channel, campaign); "" is any channel or SKU."""
    rows = await db.fetch(SQL["list_stock"], tenant, channel, sku, *after, limit)
    return [_stock_row(row) for row in rows]


async def stock_of(
    db: Connection, tenant: Tenant, wanted: Iterable[tuple[str, str, str]]
) -> list[StockRow]:
    """Read the pools of these (SKU, channel, campaign), in no order."""
    columns = [list(column) for column in zip(*wanted, strict=True)] or [[], [], []]
    rows = await db.fetch(SQL["stock_of"], tenant, *columns)
    return [_stock_row(row) for row in rows]


async def offers_below(
    db: Connection, tenant: Tenant, units: int, after: Sequence[Any], limit: int
) -> list[StockRow]:
    """Read, in the same order, what channels sell now from pools of at most so many free units."""
    rows = await db.fetch(SQL["offers_below"], tenant, units, *after, limit)
    return [_stock_row(row) for row in rows]


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


def _stock_row(row: asyncpg.Record) -> StockRow:
    components = _components(row["components"])
    return StockRow(
        row["sku"], row["channel"], row["campaign"], row["pools"], row["body"], components
    )
