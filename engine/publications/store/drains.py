"""Moves out of marketplaces' pools, in Postgres."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.inventory.types import Dimensions, MoveFields
from engine.kernel import codec
from engine.publications.store.looking import Key
from engine.publications.types import (
    LAG_SECONDS_DEFAULT,
    Confirmed,
    Drain,
    DrainReason,
    DrainState,
    Found,
)

SQL: Final = queries.load("engine.publications")
_asked: Final = codec.Decoder(MoveFields)
_listings: Final = msgspec.json.Decoder(tuple[tuple[str, str, int], ...]).decode


async def is_drained(db: Connection, tenant: str, channel: str, sku: str) -> bool:
    """Tell whether a marketplace shows what a channel's pools have of a SKU."""
    return bool(await db.fetchval(SQL["is_drained"], tenant, channel, sku))


async def find(db: Connection, tenant: str, move_id: str) -> Found | None:
    """Read a move, with its drain if it is one."""
    row = await db.fetchrow(SQL["find_move"], tenant, move_id)
    if row is None:
        return None
    return Found(
        _asked(row["document"].encode()), row["at"], row["moved"],
        _drain(row) if row["state"] is not None else None,
        row["reason"] or "", row["told"] or "", row["requested_at"], row["ended_at"],
        tuple(row["confirmed"]),
    )  # fmt: skip


async def insert(tx: Connection, drain: Drain, within_s: float, refused: DrainReason = "") -> bool:
    """Write a new drain; False when there is one of that id."""
    return bool(
        await tx.fetchval(
            SQL["insert_drain"], drain.tenant, drain.move_id, drain.source, drain.target,
            drain.channel, drain.sku, drain.units, within_s, drain.actor, refused,
        )
    )  # fmt: skip


async def irreducible(db: Connection, tenant: str, channel: str, sku: str) -> bool:
    """Tell whether a listing of a SKU is known to take no lower number."""
    return bool(await db.fetchval(SQL["irreducible"], tenant, channel, sku))


async def standing(db: Connection, keys: Collection[Key] | None = None) -> list[Drain]:
    """Return drains that have not ended, of these SKUs or of all."""
    tenants = None if keys is None else [key.tenant for key in keys]
    skus = None if keys is None else [key.sku for key in keys]
    return [_drain(row) for row in await db.fetch(SQL["open_drains"], tenants, skus)]


async def units_draining(db: Connection, source: str) -> int:
    """Return how many units are on their way out of a pool."""
    return int(await db.fetchval(SQL["units_draining"], source))


async def mark_draining(
    tx: Connection, drain: Drain, listings: Sequence[tuple[str, str, int]]
) -> None:
    """Note which numbers shops have to confirm; what is not `requested` stays as it is."""
    packed = codec.encode(listings).decode()
    await tx.execute(SQL["mark_draining"], drain.tenant, drain.move_id, packed)


async def mark_confirmed(db: Connection, drain: Drain) -> None:
    """Note that every listing has confirmed its number just now."""
    await db.execute(SQL["mark_confirmed"], drain.tenant, drain.move_id)


async def mark_moving(db: Connection, drain: Drain) -> bool:
    """Note that the cell is about to be asked; False when the drain has ended."""
    return bool(await db.fetchval(SQL["mark_moving"], drain.tenant, drain.move_id))


async def end(
    tx: Connection,
    drain: Drain,
    state: DrainState,
    reason: DrainReason = "",
    told: str = "",
    *,
    moving: bool,
) -> bool:
    """End a drain; False when it has ended, or when only the cell can say so (`moving`)."""
    return bool(
        await tx.fetchval(
            SQL["end_drain"], drain.tenant, drain.move_id, state, reason, told, moving
        )
    )


async def confirmed(db: Connection, drain: Drain) -> list[Confirmed]:
    """Return what shops said of a drain's listings, in their order."""
    rows = await db.fetch(
        SQL["confirmed"], drain.tenant, drain.channel,
        [item_id for item_id, *_ in drain.listings], [sku_id for _, sku_id, _ in drain.listings],
    )  # fmt: skip
    by_link = {(row["item_id"], row["sku_id"]): _confirmed(row) for row in rows}
    return [by_link[item_id, sku_id] for item_id, sku_id, _ in drain.listings]


async def excess(
    db: Connection, actor: str, pause_s: float, limit: int
) -> list[tuple[Dimensions, int]]:
    """Return pools that have more than their policy says, and by how many units."""
    rows = await db.fetch(SQL["excess"], actor, pause_s, limit)
    return [
        (
            Dimensions(
                row["tenant"], row["owner"], row["sku"], row["channel"], row["campaign"],
                row["node_group"],
            ),
            row["units"],
        )
        for row in rows
    ]  # fmt: skip


async def of_pool(tx: Connection, source: str, actor: str) -> str | None:
    """Return the open drain that an actor began out of a pool."""
    found: str | None = await tx.fetchval(SQL["drain_of_pool"], source, actor)
    return found


def _drain(row: Any) -> Drain:
    return Drain(
        row["tenant"], row["move_id"], row["source"], row["target"], row["channel"], row["sku"],
        row["units"], row["state"], row["moving"], _listings(row["listings"]), row["overdue"],
        row["actor"], row["confirmed_ago_s"],
    )  # fmt: skip


def _confirmed(row: Any) -> Confirmed:
    measured = LAG_SECONDS_DEFAULT if row["lag_measured"] is None else row["lag_measured"]
    return Confirmed(
        row["number"], row["acked_number"], row["acked"],
        row["refused_number"], row["refused"], row["reducible"], row["units_per"], row["reach"],
        measured if row["lag_told"] is None else row["lag_told"],
    )  # fmt: skip
