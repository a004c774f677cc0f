"""Where an order is to go, where that was changed after it came: revisions, each settled once."""

from datetime import datetime

from engine.infra.postgres import Connection
from engine.shipments import store
from engine.shipments.types.stops import Address, AddressState


async def changes(tx: Connection, order_id: str) -> list[Address]:
    """Return the changes of an order's address, the newest first; `applied` ones hold."""
    return await store.addresses(tx, order_id)


async def note_change(
    tx: Connection, order_id: str, one: Address, actor: str, now: datetime
) -> int:
    """Write a change of a locked order's address down, and return its revision."""
    return await store.add_address(tx, order_id, one, actor, now)


async def settle_change(tx: Connection, order_id: str, change_id: str, state: AddressState) -> bool:
    """Say what became of a change that was requested; False when that was said before."""
    return await store.settle_address(tx, order_id, change_id, state)
