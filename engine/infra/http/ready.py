"""What keeps an API process from taking orders: a sentence a check, "" where nothing is missing."""

from collections.abc import Mapping
from typing import Final, Protocol

import asyncpg

from engine.infra import queries
from engine.infra.cell import Cell
from engine.infra.postgres import UNAVAILABLE, Pool
from engine.kernel.limits import CELL_CALL_TIMEOUT_S

SQL: Final = queries.load("engine.infra.http")

# A call waits for a connection, then for its answer, each within the time-out; payments that come
# late take a second call in the same batch.
STUCK_AFTER_S: Final = 4 * CELL_CALL_TIMEOUT_S


class Sender(Protocol):
    """Whatever sends batches to the cell in a loop of its own."""

    @property
    def running(self) -> bool: ...  # noqa: D102 - the name says it

    @property
    def under_way_s(self) -> float: ...  # noqa: D102


async def cell_missing(cell: Cell, pool: Pool) -> str:
    """Tell why the cell takes nothing: by its own record, else by what the keeper left in Postgres.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    state = await cell.refresh()
    if cell.is_open:
        return ""
    reason = state.reason if state else ""
    if not reason:
        row = await _recorded(cell, pool)
        reason = row["closed_reason"] if row else ""
        if state is None and not reason:
            return _why_empty(row)
    # open, but not for us: of a run of the server that is over
    phase = "closed" if state is None or state.phase == "open" else state.phase
    return f"the cell is {phase}: {reason or 'it opens soon'}"


async def postgres_missing(pool: Pool) -> str:
    """Tell whether Postgres answers; its absence is what the call raises."""
    await pool.fetchval("SELECT 1")
    return ""


async def batches_missing(senders: Mapping[str, Sender]) -> str:
    """Tell which loops have ended, or wait for a call that should have come back long ago."""
    return "; ".join(told for name, one in senders.items() if (told := _stuck(name, one)))


async def _recorded(cell: Cell, pool: Pool) -> asyncpg.Record | None:
    try:
        return await pool.fetchrow(SQL["why_closed"], cell.id)
    except UNAVAILABLE:
        return None


def _why_empty(row: asyncpg.Record | None) -> str:
    if row is None:
        return "the cell is empty, and Postgres, which knows why, is away"
    if row["opened_at"]:
        return "the cell is empty, though it was open before: is a worker running?"
    return "the cell was never opened: is a worker running?"


def _stuck(name: str, one: Sender) -> str:
    if not one.running:
        return f"{name}: its loop has ended"
    if one.under_way_s > STUCK_AFTER_S:
        return f"{name}: a call has been under way for {one.under_way_s:.0f} s"
    return ""
