"""Shipments as they are shown, with their parcels and stops."""

from typing import Final

from engine.infra.postgres import Connection, Pool
from engine.shipments import store
from engine.shipments.types.views import OrderStop, ShipmentView, Wanted

# An order is tried at each node a few times at most; a list beyond that helps nobody.
_OF_ORDER_MAX: Final = 500


async def shown(pool: Pool, wanted: Wanted) -> list[ShipmentView]:
    """Return shipments, by id."""
    return await store.shown(pool, wanted)


async def of_order(
    db: Connection, tenant: str, order_id: str
) -> tuple[list[ShipmentView], list[OrderStop]]:
    """Return all shipments of an order, also those that are over, and what was to be stopped."""
    wanted = Wanted(tenant, order_id=order_id, limit=_OF_ORDER_MAX)
    return await store.shown(db, wanted), await store.stops_shown(db, order_id)
