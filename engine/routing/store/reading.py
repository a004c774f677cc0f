"""What was decided of an order, and what came of it, as it is read."""

from collections.abc import Collection
from typing import Final

import asyncpg

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.routing.types.told import Names, Recorded

SQL: Final = queries.load("engine.routing")


async def order(
    db: Connection, tenant: Tenant, channel: str, order_id: str
) -> asyncpg.Record | None:
    """Return an order's row of the queue, without a queue if it has none; None: no such order."""
    return await db.fetchrow(SQL["order_to_explain"], tenant, channel, order_id)


async def decisions(db: Connection, order_id: str, below: int, limit: int) -> list[Recorded]:
    """Return decisions of an order below one, the last one first."""
    rows = await db.fetch(SQL["decisions"], order_id, below, limit)
    return [Recorded(*row) for row in rows]


async def names(db: Connection, tenant: Tenant, wanted: Collection[int]) -> dict[int, Names]:
    """Return what numbers are called, by what stands for it."""
    rows = await db.fetch(SQL["names"], tenant, sorted(wanted))
    return {row["names"]: Names(row["nodes"], row["services"]) for row in rows}


async def rejections(db: Connection, order_id: str, limit: int) -> list[asyncpg.Record]:
    """Return what nodes refused of an order, the last one first."""
    return await db.fetch(SQL["rejections"], order_id, limit)


async def promises(db: Connection, order_id: str, limit: int) -> list[asyncpg.Record]:
    """Return what of an order could not be kept, the last one first."""
    return await db.fetch(SQL["promises"], order_id, limit)
