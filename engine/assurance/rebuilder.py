"""Writes what Postgres has back into a cell that lost it; broken off anywhere, it begins anew.

The cell is emptied and filled in numbered parts under an epoch of its own, while nothing else is
accepted; with the last part it waits for API processes to hand in what Postgres does not have.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import structlog

from engine.assurance import store
from engine.assurance.rebuilding import (
    Contents,
    Offers,
    Part,
    Value,
    packed_pools,
    rules_of,
    wrong_pools,
)
from engine.assurance.store import SQL
from engine.assurance.types import Ending, Epoch
from engine.infra.cell import Cell
from engine.infra.log import position
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed
from engine.kernel.limits import IDEMPOTENCY_KEEP_MS
from engine.orders import holds

_PARTS_WAITING: Final = 4  # made while the cell writes
_READ_AHEAD: Final = 2  # thousands of orders
_RECORDED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05
_logger: Final = structlog.get_logger()


class Rebuilder:
    """One attempt after another to rebuild one cell."""

    def __init__(self, cell: Cell, pool: Pool, clock: Clock) -> None:
        """Bind to a keeper's cell and pool; nothing is sent until `run`."""
        self._cell = cell
        self._pool = pool
        self._clock = clock

    async def run(self, epoch: Epoch, reason: str, log_end: str) -> str:
        """Bring the cell to `restoring` under a new epoch; return why it could not be, or "".

        Raises:
            Closed: another keeper was faster.
            Misconfigured: the cell belongs to another database, and is not empty.
            OutcomeUnknown: the cell is away; begin anew.
        """
        began = self._clock.monotonic()
        if why := await self._wait_until_recorded(log_end):
            return why
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(SQL["allow_waiting"])
            row = await connection.fetchrow(SQL["cell_to_rebuild"], self._cell.id)
            assert row is not None, "it has an epoch"
            if row["epoch"] != epoch.epoch:
                raise Closed("another keeper began a newer epoch")
            await store.wipe(self._cell, epoch, row["last_id"], row["lived_ms"])
            _logger.warning("cell_is_rebuilt", cell=self._cell.id, reason=reason)
            await self._pool.execute(
                SQL["begin_recovery"], self._cell.id, epoch.epoch, reason, row["last_id"],
                row["lived_ms"], row["seen_accepted"],
            )  # fmt: skip
            filled = await self._fill(connection, epoch.epoch)
            if wrong := wrong_pools(filled.pools, filled.contents.held):
                return (
                    f"Postgres does not agree with itself about pools {', '.join(wrong[:10])}:"
                    " the cell was not rebuilt"
                )
            ending = Ending(
                row["recorded"], row["lived_ms"], row["shift_from"] or "",
                row["shift_to"] or "",
            )  # fmt: skip
            await store.end_rebuild(self._cell, epoch.epoch, filled.parts + 1, ending)
        await self._pool.execute(
            SQL["note_rebuilt"], self._cell.id, epoch.epoch, len(filled.pools),
            filled.contents.orders, filled.contents.pending,
        )  # fmt: skip
        _logger.warning(
            "cell_rebuilt", cell=self._cell.id, orders=filled.contents.orders,
            pending=filled.contents.pending,
            seconds=round(self._clock.monotonic() - began, 2),
        )  # fmt: skip
        return ""

    async def _wait_until_recorded(self, log_end: str) -> str:
        """Wait until Postgres has all that the log still has: it is about to go."""
        deadline = self._clock.monotonic() + _RECORDED_WITHIN_S
        while True:
            row = await self._pool.fetchrow(SQL["cell"], self._cell.id)
            if row is None or position(row["last_id"]) >= position(log_end):
                return ""
            if self._clock.monotonic() > deadline:
                return f"the recorder did not come to the end of the log, {log_end}: is it running?"
            await asyncio.sleep(_POLL_S)

    async def _fill(self, db: Connection, epoch: int) -> "_Filled":
        """Send everything: Postgres reads ahead of us by a little, and we of the cell."""
        parts: asyncio.Queue[Part | None] = asyncio.Queue(_PARTS_WAITING)
        read: asyncio.Queue[list[holds.Order] | None] = asyncio.Queue(_READ_AHEAD)
        filled = _Filled(Contents(self._cell.now_ms()))
        contents = filled.contents
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(epoch, parts, filled))
                shorts = await holds.shorts(db, self._cell.id)
                async for section, name, value in self._reference(db, filled, shorts):
                    if full := contents.add(section, name, value):
                        await parts.put(full)
                around = await holds.around(db, self._cell.id, shorts)
                tasks.create_task(self._read(db, contents.now_ms, read))
                while (some := await read.get()) is not None:
                    for order in some:
                        hold = holds.hold_of(order, around)
                        if full := contents.order(order.row["order_id"], hold):
                            await parts.put(full)
                for full in contents.replaceable():
                    await parts.put(full)
                await parts.put(contents.take())
                await parts.put(None)
                # in here: before Python 3.13 whose group fails while he waits at its end only stays
                # marked as cancelled, and the keeper would take that for its own end
                await sending
        except ExceptionGroup as failed:  # of reading or of sending: one is enough
            raise failed.exceptions[0] from None
        return filled

    async def _read(
        self, db: Connection, now_ms: int, read: "asyncio.Queue[list[holds.Order] | None]"
    ) -> None:
        kept = [tuple(row) for row in await db.fetch(SQL["remembered_campaigns"])]
        since = now_ms - IDEMPOTENCY_KEEP_MS
        async for some in holds.orders(db, self._cell.id, since, kept):
            await read.put(some)
        await read.put(None)

    async def _send(
        self, epoch: int, parts: "asyncio.Queue[Part | None]", filled: "_Filled"
    ) -> None:
        while (part := await parts.get()) is not None:
            filled.parts += 1
            await store.rebuild(self._cell, epoch, filled.parts, part)

    async def _reference(
        self, db: Connection, filled: "_Filled", shorts: Sequence[Mapping[str, Any]]
    ) -> AsyncIterator[tuple[str, Value, Value]]:
        """Yield what is not an order's: pools, rules, pauses, and what is done once."""
        cell = self._cell.id
        rules = [(row["field"], row["body"]) for row in await db.fetch(SQL["rules"], cell)]
        filled.pools = [dict(row) for row in await db.fetch(SQL["pools_to_rebuild"], cell)]
        pauses = [dict(row) for row in await db.fetch(SQL["pauses"])]
        for name, body in packed_pools(filled.pools, shorts, Offers(rules)).items():
            yield "pools", name, body
        for name, body in rules_of(rules, pauses):
            yield "rules", name, body
        for row in await db.fetch(SQL["marks"], cell):
            yield "once", row["mark"], row["at_ms"]
            yield "done", row["at_ms"] + IDEMPOTENCY_KEEP_MS, row["mark"]


class _Filled:
    """What a rebuild put into a cell."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.pools: list[dict[str, Any]] = []
        self.parts = 0
