"""Where an order is to go, where that was changed after it came: revisions, each settled once."""

from collections.abc import Sequence
from datetime import datetime

from engine.infra.postgres import Connection, Pool
from engine.shipments import store
from engine.shipments.types.stops import Address, AddressState, ToldAddress


async def changes(tx: Connection, order_id: str) -> list[Address]:
    """Return the changes of an order's address, the newest first; `applied` ones hold."""
    return await store.addresses(tx, order_id)


async def note_change(
    tx: Connection, order_id: str, one: Address, actor: str, now: datetime
) -> int:
    """Write a change of a locked order's address down, and return its revision."""
    return await store.add_address(tx, order_id, one, actor, now)


async def note_told(tx: Connection, told: Sequence[ToldAddress]) -> list[tuple[str, Address]]:
    """Write down what marketplaces told of locked orders, and return it by order.

    Of an order that has no shipment, or none that is still on its way, nothing is written: what is
    sent of it goes where its document says.
    """
    return await store.note_told_addresses(tx, told)


async def to_ask(db: "Connection | Pool", limit: int) -> list[str]:
    """Return orders of which an address was told, and nobody asked that anything be stopped."""
    return await store.addresses_to_ask(db, limit)


async def take_unasked(tx: Connection, order_id: str) -> list[Address]:
    """Return those changes of a locked order, the oldest first; who gets them asks, or refuses."""
    return await store.take_unasked(tx, order_id)


async def settle_change(tx: Connection, order_id: str, change_id: str, state: AddressState) -> bool:
    """Say what became of a change that was requested; False when that was said before."""
    return await store.settle_address(tx, order_id, change_id, state)
