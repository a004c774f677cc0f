"""Shortages: list them, and tell which orders would go without."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory.store import shorts
from engine.inventory.store.shorts import Drawing, Standing
from engine.inventory.types import ShortView
from engine.kernel.types import Tenant

ORDERS_TOLD_MAX: Final = 500
_TOLD_AT_ONCE_MAX: Final = 20
_ORDERS_MAX: Final = 20_000  # of one channel


async def page(
    runtime: Runtime, tenant: Tenant, sku: str, *, after: int, limit: int
) -> list[tuple[int, ShortView]]:
    """Return shortages in the order in which they began; "" is any SKU."""
    async with runtime.pool.acquire() as connection:
        return await shorts.listed(connection, tenant, sku, after, limit)


async def tell(db: Connection) -> None:
    """Write an event of each shortage that is new or grew: the orders that would go without.

    Those that were accepted last go first. What a node was given of a line, the line has. Not
    `complete` is what could not be found in time: somebody has to look for the others.
    """
    for one in await shorts.untold(db, _TOLD_AT_ONCE_MAX):
        orders, complete = await _latest(db, one)
        await shorts.tell(db, one, {**_told(one, orders), "complete": complete})


async def latest(db: Connection, tenant: Tenant, short_id: int) -> list[str]:
    """Return which orders would go without for a shortage that stands, the youngest first.

    As far as they were found in time; none where it has ended.
    """
    one = await shorts.standing(db, tenant, short_id)
    return [] if one is None else [order_id for order_id, _ in (await _latest(db, one))[0]]


async def _latest(db: Connection, one: Standing) -> tuple[list[tuple[str, int]], bool]:
    """Return orders with the units they would go without, and whether all were looked at."""
    pools, channels = await shorts.pools(db, one)
    drawing: list[Drawing] = []
    complete = True
    for channel in channels:
        try:
            drawing += await shorts.newest(db, one, channel, pools, _ORDERS_MAX)
        except TimeoutError:
            complete = False
    return without(drawing, one.lacking), complete


def without(drawing: Iterable[Drawing], lacking: int) -> list[tuple[str, int]]:
    """Return which orders would go without how many units, the youngest first."""
    found = []
    for one in sorted(drawing, key=lambda one: (one.accepted_at, one.order_id), reverse=True):
        if lacking <= 0:
            break
        units = min(one.units, lacking)
        found.append((one.order_id, units))
        lacking -= units
    return found


def _told(one: Standing, orders: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {
        "tenant": one.tenant,
        "sku": one.sku,
        "node_group": one.group,
        "units": one.lacking,
        "orders": orders[:ORDERS_TOLD_MAX],
        "orders_in_all": len(orders),
    }
