"""What channels are to be told, and what they said to it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.logistics.types import AckState

SQL: Final = queries.load("engine.logistics")


class Standing(NamedTuple):
    """An acknowledgement as it stands, locked."""

    order_id: str
    state: AckState
    version: int
    attempts: int


class Change(NamedTuple):
    """What an answer changes."""

    state: AckState
    reason: str
    due_at: datetime


class Late(NamedTuple):
    """An acknowledgement that is missed."""

    parcel_id: str
    channel: str
    order_id: str
    state: AckState
    reason: str
    ship_by: datetime


async def open_(
    tx: Connection, parcel_ids: Collection[str], at: datetime, alarm_before: timedelta
) -> None:
    """Note that the channels of parcels are to be told; what was noted before stays."""
    if parcel_ids:
        await tx.execute(SQL["open_acks"], sorted(parcel_ids), at, alarm_before)


async def give_out(  # noqa: PLR0913 - whose, when, how many, and the waits that follow
    tx: Connection,
    tenant: str,
    channel: str,
    now: datetime,
    limit: int,
    *,
    first: timedelta,
    longest: timedelta,
) -> list[str]:
    """Give out what is due; return the parcels."""
    rows = await tx.fetch(SQL["give_out"], tenant, channel, now, limit, first, longest)
    return [row["parcel_id"] for row in rows]


async def shown(db: "Connection | Pool", *wanted: Any) -> list[asyncpg.Record]:
    """Return acknowledgements as the statement has them."""
    return await db.fetch(SQL["acks"], *wanted)


async def lock(
    tx: Connection, tenant: str, channel: str, parcel_ids: Collection[str]
) -> dict[str, Standing]:
    """Lock a channel's acknowledgements, by parcel."""
    rows = await tx.fetch(SQL["lock_acks"], tenant, channel, sorted(parcel_ids))
    return {
        row["parcel_id"]: Standing(row["order_id"], row["state"], row["version"], row["attempts"])
        for row in rows
    }


async def change(tx: Connection, channel: str, found: Mapping[str, Change]) -> None:
    """Write what answers change, by parcel."""
    if found:
        await tx.execute(
            SQL["set_acks"], channel, list(found), [one.state for one in found.values()],
            [one.reason for one in found.values()], [one.due_at for one in found.values()],
        )  # fmt: skip


async def overdue(tx: Connection, now: datetime, limit: int) -> Sequence[Late]:
    """Return acknowledgements that are missed, each once ever."""
    return [Late(**row) for row in await tx.fetch(SQL["overdue_acks"], now, limit)]


async def counts(db: "Connection | Pool", tenant: str) -> dict[tuple[str, ...], float]:
    """Return how many parcels wait for their channels, by (channel, state)."""
    rows = await db.fetch(SQL["count_acks"], tenant)
    return {(row["channel"], row["state"]): row["parcels"] for row in rows}
