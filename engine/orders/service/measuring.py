"""What is read of orders for who watches them."""

from typing import Final

from engine.infra import metrics
from engine.infra.metrics import Values
from engine.infra.postgres import Pool
from engine.kernel.types import Tenant
from engine.orders.store import SQL

_LOOKED_AT_MAX: Final = 20_000  # orders that wait to be routed; what they promise stands inside


async def of_orders(db: Pool) -> Values:
    """Return what keeps orders, and payments that wait for the cell."""
    blocks = await db.fetch(SQL["blocks_by_code"])
    waiting = await db.fetchval(SQL["payments_waiting"])
    return {
        metrics.BLOCKS: {(row["code"],): float(row["blocks"]) for row in blocks},
        metrics.BLOCKS_OLDEST: {(row["code"],): row["oldest_s"] for row in blocks},
        metrics.PAYMENTS_WAITING: {(): float(waiting)},
    }


async def of_promises(db: Pool, tenant: Tenant) -> Values:
    """Return how many orders have to leave soon, or should have left."""
    row = await db.fetchrow(SQL["ship_by_due"], tenant, _LOOKED_AT_MAX)
    assert row is not None
    due = {name.removeprefix("in_"): float(n) for name, n in row.items()}
    return {metrics.SHIP_BY_DUE: {(name,): n for name, n in due.items()}}
