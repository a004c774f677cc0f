"""Postgres' side of what is compared, and what was found."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from engine.assurance.reconciling.types import Drift, Hold, OrderRow, PoolAt, PoolRow
from engine.assurance.rules import position
from engine.assurance.types import PoolTotals
from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec

SQL: Final = queries.load("engine.assurance.reconciling")
_NO_POOL: Final = (0, 0, 0, 0, 0, 0, "", 0)
_unpack: Final = msgspec.msgpack.Decoder(list[Any]).decode
_encode: Final = msgspec.json.Encoder().encode
PAGES_A_STEP: Final = 256  # 2 MB of the table
FOUND_MAX: Final = 100  # drifts of one statement: whoever has more has one cause


async def recorded_to(db: Pool, cell: str) -> tuple[int, str]:
    """Return epoch and position of the log in Postgres."""
    row = await db.fetchrow(SQL["recorded_to"], cell)
    return (0, "0-0") if row is None else (row["epoch"], row["last_id"])


async def pools_at(
    db: Pool, cell: str, pool_ids: Sequence[str], log_id: str, sent: dict[str, int]
) -> list[PoolRow]:
    """Return pools as they stood at a position that Postgres has passed."""
    rows = await db.fetch(SQL["pools_at"], cell, pool_ids, log_id, *position(log_id))
    return [
        PoolRow(
            row["pool_id"], row["tenant"], row["sku"], name_of(row),
            PoolAt(
                PoolTotals(
                    row["granted"], row["owed"], row["available"], row["held"], row["sold"]
                ),
                row["seq"], row["ended"], row["successor"],
            ),
            sent.get(row["pool_id"], 0), 0,
        )
        for row in rows
    ]  # fmt: skip


def name_of(row: asyncpg.Record) -> str:
    """Return what a person calls a pool."""
    campaign = f" of {row['campaign']}" if row["campaign"] else ""
    return f"{row['sku']} {row['channel'] or 'shared'}{campaign}"


async def pools_differing(
    db: Pool, pool_ids: Sequence[str], packed: Sequence[bytes | None]
) -> list[str]:
    """Return which of these pools are not the same on both sides, at whatever positions."""
    there = [_NO_POOL if one is None else _unpack(one) for one in packed]
    *numbers, successors, ended = zip(*[one[:8] for one in there], strict=True)
    rows = await db.fetch(
        SQL["pools_differing"], pool_ids, *map(_array, numbers), _array(ended), list(successors)
    )
    return [row["pool_id"] for row in rows]


async def holds_differing(db: Pool, holds: Mapping[str, Hold]) -> list[str]:
    """Return which of these holds are not what Postgres has of their orders by now."""
    told = holds.values()
    rows = await db.fetch(
        SQL["holds_differing"], list(holds), _array(one.state for one in told),
        _array(one.attempt for one in told), _array(one.until for one in told),
        [_encode(one.draws).decode() for one in told],
    )  # fmt: skip
    return [row["order_id"] for row in rows]


def _array(values: Iterable[object]) -> str:
    """Return numbers or words as Postgres writes an array."""
    return "{" + ",".join(map(str, values)) + "}"


async def sent_grants(db: Pool) -> dict[str, int]:
    """Return the last number, by pool, that is marked as sent and not told of by the log."""
    return {row["pool_id"]: row["seq"] for row in await db.fetch(SQL["sent_grants"])}


async def untold_grants(db: Pool, cell: str, pool_ids: Sequence[str]) -> dict[str, int]:
    """Return the last number, by pool, that is marked as applied without a row of the ledger."""
    rows = await db.fetch(SQL["untold_grants"], cell, pool_ids)
    return {row["pool_id"]: row["seq"] for row in rows}


async def orders_of(db: Pool, order_ids: Sequence[str]) -> dict[str, OrderRow]:
    """Return those of these orders that Postgres has."""
    return {
        row["order_id"]: OrderRow(
            row["order_id"], row["tenant"], row["pending"], row["state"], row["attempt"],
            row["asked_for"], row["held_until"], codec.decode_json(row["draws"]),
        )
        for row in await db.fetch(SQL["orders_of"], order_ids)
    }  # fmt: skip


async def raise_drift(tx: Connection, cell: str, drift: Drift) -> tuple[int, str]:
    """Write a drift down; return its number and what was done about it before.

    One that was not open before becomes the event `drift_found`.
    """
    row = await tx.fetchrow(
        SQL["raise_drift"], cell, drift.tenant, drift.kind, *map(_clean, drift[2:5]), drift.units,
        _clean(drift.detail), drift.repair, drift.unsafe,
    )  # fmt: skip
    assert row is not None, "an upsert returns its row"
    if row["fresh"]:
        told = {
            "kind": drift.kind, "subject": _clean(drift.subject), "units": drift.units,
            "detail": _clean(drift.detail), "repair": drift.repair, "tenant": drift.tenant,
        }  # fmt: skip
        await tell(tx, "drift_found", told)
    return row["drift_id"], row["done"]


async def resolve(tx: Connection, cell: str, kinds: Iterable[str], began: Any) -> int:
    """End the drifts of these kinds that a whole pass has not seen any more."""
    rows = await tx.fetch(SQL["resolve_drifts"], cell, list(kinds), began)
    for row in rows:
        await tell(tx, "drift_resolved", dict(row))
    return len(rows)


async def tell(tx: Connection, kind: str, data: dict[str, Any]) -> None:
    """Write an event; the engine did it."""
    await tx.execute(SQL["tell"], kind, "reconciler", codec.encode(data).decode())


async def unsafe(db: Pool, cell: str) -> str:
    """Tell where stock is unsafe, for /readyz; "" where it is not."""
    row = await db.fetchrow(SQL["unsafe_drifts"], cell)
    if row is None or not row["drifts"]:
        return ""
    more = row["drifts"] - 1
    return str(row["one"]) + (f"; and {more} more" if more else "")


def _clean(text: str) -> str:
    """Fields of the cell hold a separator that people would not see; Postgres takes it as it is."""
    return text.replace("\x00", "")
