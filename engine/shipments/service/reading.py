"""Shipments as they are shown, with their parcels and stops."""

from engine.infra.postgres import Pool
from engine.shipments import store
from engine.shipments.types.views import ShipmentView, Wanted


async def shown(pool: Pool, wanted: Wanted) -> list[ShipmentView]:
    """Return shipments, by id."""
    return await store.shown(pool, wanted)
