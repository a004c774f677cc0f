"""Parcels whose carriers are asked where they are, and when next."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection, Pool

SQL: Final = queries.load("engine.logistics")


class Poll(NamedTuple):
    """A parcel that is to be asked for now."""

    parcel_id: str
    service: str
    carrier: str
    waybill: str


async def begin(tx: Connection, parcel_ids: Collection[str], due_at: datetime) -> None:
    """Ask for parcels of locked orders from now on, where their carriers can be asked."""
    if parcel_ids:
        await tx.execute(SQL["begin_polls"], sorted(parcel_ids), due_at)


async def put_off(db: "Connection | Pool", parcel_ids: Collection[str], due_at: datetime) -> None:
    """Say when parcels are asked for next; those that nobody asks for stay so."""
    if parcel_ids:
        await db.execute(SQL["put_off_polls"], sorted(parcel_ids), due_at)


async def end(tx: Connection, parcel_ids: Collection[str]) -> None:
    """Ask for these parcels no more."""
    if parcel_ids:
        await tx.execute(SQL["end_polls"], sorted(parcel_ids))


async def claim(
    db: "Connection | Pool", tenant: str, now: datetime, limit: int, next_at: datetime
) -> list[Poll]:
    """Take parcels that are due; they come again at `next_at`, whatever becomes of this."""
    return [Poll(*row) for row in await db.fetch(SQL["claim_polls"], tenant, now, limit, next_at)]
