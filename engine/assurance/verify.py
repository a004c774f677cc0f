"""The certificate: one position of the log, both sides of every pool, and what they add up to."""

import asyncio
from typing import Final

import asyncpg

from engine.assurance import rules, store
from engine.assurance.store import SQL
from engine.assurance.types import Certificate, PoolRow, PoolTotals
from engine.infra.cell import Cell
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import Clock
from engine.kernel.errors import NotFound, OutcomeUnknown
from engine.kernel.ids import token
from engine.routing.service import queue
from engine.shipments.service import shipped_after_stop, shipped_twice

_POLL_S: Final = 0.05
_READ_WITHIN_S: Final = 300.0  # one statement over all that was ever recorded
_NOTHING: Final = PoolTotals(0, 0, 0, 0, 0)


async def certify(cell: Cell, pool: Pool, clock: Clock, *, within_s: float = 60) -> Certificate:
    """Write a checkpoint, wait until the recorder has folded it, and compare; safe under full load.

    Raises:
        Closed: the cell is closed.
        OutcomeUnknown: the recorder did not come to the checkpoint in time.
        NotFound: there is nothing to certify.
    """
    await cell.refresh()
    checkpoint_id = token(8)
    await store.checkpoint(cell, checkpoint_id)
    deadline = clock.monotonic() + within_s
    while not await _folded(pool, cell.id, checkpoint_id):
        if clock.monotonic() > deadline:
            raise OutcomeUnknown(f"the recorder did not reach the checkpoint in {within_s:.0f} s")
        await asyncio.sleep(_POLL_S)
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        return await _read(connection, cell.id, checkpoint_id)


async def _folded(pool: Pool, cell: str, checkpoint_id: str) -> bool:
    """Whether Postgres has passed the checkpoint, and second holds of known orders are settled."""
    row = await pool.fetchrow(SQL["checkpoint"], checkpoint_id)
    if row is None or row["parts_seen"] < row["parts"]:
        return False
    return bool(await pool.fetchval(SQL["duplicates_settled"], cell))


async def _read(db: Connection, cell: str, checkpoint_id: str) -> Certificate:
    at = await db.fetchrow(SQL["checkpoint"], checkpoint_id)
    counts = await db.fetchrow(SQL["order_counts"], cell, timeout=_READ_WITHIN_S)
    assert at is not None
    assert counts is not None
    pools = {
        row["pool_id"]: _totals(row)
        for row in await db.fetch(SQL["pool_totals"], cell, timeout=_READ_WITHIN_S)
    }
    ledger = {
        row["pool_id"]: _totals(row)
        for row in await db.fetch(SQL["ledger_totals"], cell, timeout=_READ_WITHIN_S)
    }
    drawn = {
        row["pool_id"]: (row["held"], row["sold"])
        for row in await db.fetch(SQL["drawn_totals"], cell, timeout=_READ_WITHIN_S)
    }
    rows = [
        _row(row, drawn.get(row["pool_id"], (0, 0)))
        for row in await db.fetch(SQL["checkpoint_pools"], checkpoint_id, timeout=_READ_WITHIN_S)
    ]
    rows += [
        PoolRow(
            row["pool_id"], row["campaign"], row["channel"], row["sku"], None, _totals(row),
            drawn.get(row["pool_id"], (0, 0)),
        )
        for row in await db.fetch(SQL["pools_outside"], cell, checkpoint_id, timeout=_READ_WITHIN_S)
    ]  # fmt: skip
    if not rows and not counts["orders"]:
        raise NotFound("nothing to certify: no pool was granted and no order recorded yet")
    late, nowhere = await shipped_after_stop(db), await queue.nowhere(db)
    twice = await shipped_twice(db)
    numbers = {
        **counts, "accepted": at["accepted"], "recorded_then": at["recorded"],
        "shipped_after_stop": late, "shipped_twice": twice, "orders_nowhere": nowhere,
    }  # fmt: skip
    faults = [*rules.count_faults(numbers)]
    for row in rows:
        pool = pools.get(row.pool_id, _NOTHING)
        faults += rules.pool_faults(row, ledger.get(row.pool_id, _NOTHING), pool)
    sides = [side for row in rows for side in (row.cell, row.recorded) if side is not None]
    return Certificate(
        checkpoint_id=checkpoint_id,
        log_id=at["log_id"],
        position=counts["last_id"],
        accepted=at["accepted"],
        recorded_there=at["recorded"],
        recorded=counts["recorded"],
        orders=counts["orders"],
        duplicates=counts["duplicates"],
        pools=rows,
        oversold_by_us=sum(map(rules.oversold, sides)),
        sold_beyond_stock=sum(row.recorded.owed for row in rows if row.recorded),
        dead_letters=counts["dead_letters"],
        faults=faults,
        shipped_after_stop=late,
        shipped_twice=twice,
        orders_nowhere=nowhere,
    )


def _row(row: asyncpg.Record, from_orders: tuple[int, int]) -> PoolRow:
    recorded = row["recorded_totals"]
    return PoolRow(
        row["pool_id"], row["campaign"], row["channel"], row["sku"],
        PoolTotals(*row["cell_totals"]), PoolTotals(*recorded) if recorded else None, from_orders,
    )  # fmt: skip


def _totals(row: asyncpg.Record) -> PoolTotals:
    return PoolTotals(row["granted"], row["owed"], row["available"], row["held"], row["sold"])
