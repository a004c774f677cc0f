"""Codes for collecting goods; only their digests are kept."""

from datetime import datetime
from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection, Pool

SQL: Final = queries.load("engine.logistics")


class Kept(NamedTuple):
    """What is kept of a code, locked."""

    digest: str
    tries: int
    expires_at: datetime
    redeemed_at: datetime | None


async def order_of(
    db: "Connection | Pool", tenant: str, channel: str, shipment_id: str
) -> str | None:
    """Return the order of a shipment; None where there is none, or it is another channel's."""
    found: str | None = await db.fetchval(SQL["pickup"], tenant, channel, shipment_id)
    return found


async def put(tx: Connection, shipment_id: str, digest: str, expires_at: datetime) -> bool:
    """Keep a new code instead of the one before; False when the goods were handed out."""
    return bool(await tx.fetchval(SQL["put_code"], shipment_id, digest, expires_at))


async def lock(tx: Connection, shipment_id: str) -> Kept | None:
    """Lock a code; None while none was made."""
    row = await tx.fetchrow(SQL["lock_code"], shipment_id)
    return None if row is None else Kept(**row)


async def note_wrong(tx: Connection, shipment_id: str) -> None:
    """Count a wrong try."""
    await tx.execute(SQL["note_wrong_code"], shipment_id)


async def redeem(tx: Connection, shipment_id: str, at: datetime, by: str) -> bool:
    """Use a code up; False when it was."""
    return bool(await tx.fetchval(SQL["redeem"], shipment_id, at, by))


async def is_blocked(tx: Connection, order_id: str) -> bool:
    """Whether a block stands on an order."""
    return bool(await tx.fetchval(SQL["is_blocked"], order_id))
