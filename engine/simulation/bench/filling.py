"""Fills an instance: orders of every kind through its own calls, until so many are recorded."""

import asyncio
from collections.abc import Mapping, Sequence
from math import gcd
from time import monotonic
from typing import Final, NamedTuple

from engine.infra import postgres
from engine.infra.cell import Cell
from engine.infra.log import position
from engine.simulation.bench import report as reports
from engine.simulation.bench import size
from engine.simulation.bench.meter import Meter
from engine.simulation.bench.report import Part
from engine.simulation.bench.scenarios import Scenario, Target
from engine.simulation.bench.shelf import Shelf
from engine.simulation.bench.size import SQL, Size
from engine.simulation.progress import Progress

_ORDERS_A_LOAD: Final = 10_000
_LOOK_EVERY_S: Final = 0.5
_CUT_WITHIN_S: Final = 30.0
_REWRITTEN_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.1
_STATEMENT_S: Final = 600.0  # a vacuum of everything


class _Kind(NamedTuple):
    """A part of the orders and how they are sent."""

    of_all: float
    load: Scenario


# The pending ones come last, in one piece: what the cell grows by then is theirs alone.
# fmt: off
_KINDS: Final = (
    _Kind(0.5, Scenario("sync", "orders a marketplace sold", Target.ENGINE, "sync",
                        per_request=250, connections=8, expects=frozenset({200}), wide=True)),
    _Kind(0.1, Scenario("paid", "our own, paid", Target.ENGINE, "paid", connections=64,
                        expects=frozenset({200, 202}), wide=True)),
    _Kind(0.4, Scenario("pending", "our own, not paid", Target.ENGINE, "batch",
                        per_request=250, connections=8, expects=frozenset({200}), wide=True)),
)
# fmt: on


class Filler:
    """One filling; `parts`, `sizes` and `notes` are what came of it."""

    def __init__(self, meter: Meter, cell: Cell, dsn: str, progress: Progress) -> None:
        """Take the instance."""
        self.parts: list[Part] = []
        self.notes: list[str] = []
        self._meter = meter
        self._cell = cell
        self._dsn = dsn
        self._progress = progress
        self._orders = 0
        self._began = 0.0
        self._behind_max = 0
        self._size: Size | None = None

    async def fill(self, shelf: Shelf, orders: int) -> None:
        """Send so many orders, over all campaigns and SKUs of the shelf's crowd.

        Raises:
            BenchFailed: no end was reached in time.
        """
        self._orders, self._began = orders, monotonic()
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch())
            try:
                for kind in _KINDS:
                    await self._part(kind.load, round(orders * kind.of_all), shelf)
            finally:
                watcher.cancel()

    async def settle(self) -> None:
        """Wait until nothing is done any more that only the filling left to do.

        The log is cut, tables are vacuumed and written out, and no append-only file is rewritten.
        """
        await self._cut()
        db = await postgres.connect(self._dsn, command_timeout_s=_STATEMENT_S)
        try:
            await db.execute(SQL["tidy_up"])
            await db.execute(SQL["write_out"])
        finally:
            await db.close(timeout=1)
        until = monotonic() + _REWRITTEN_WITHIN_S
        while (await self._cell.redis.info("persistence")).get("aof_rewrite_in_progress"):
            if monotonic() > until:
                self.notes.append("the append-only file was still being rewritten")
                return
            await asyncio.sleep(_POLL_S)

    async def look(self, pids: Mapping[str, Sequence[int]]) -> Size:
        """Look at the instance once its log is cut."""
        await self._cut()
        return await size.look(self._cell, self._dsn, pids)

    async def _part(self, load: Scenario, orders: int, shelf: Shelf) -> None:
        """Send the orders of one kind, a piece at a time, each recorded before the next."""
        before, began = self._size or await self.look({}), monotonic()
        sent = accepted = 0
        seconds, self._behind_max = 0.0, 0
        while sent < orders:
            piece = min(_ORDERS_A_LOAD, orders - sent)
            # requests are whole ones, and so many orders as were asked for, not a few more
            whole = load._replace(per_request=gcd(load.per_request, piece))
            sample = await self._meter.sample(whole, piece, shelf)
            sent += sample.asked
            accepted += sample.orders
            seconds += sample.orders / sample.orders_per_s if sample.orders else 0.0
            if said := reports.surprise(load, [sample]):
                self.notes.append(f"filling, {load.name}: {said}")
        self._progress.say(f"{load.title}: {accepted:,} in {monotonic() - began:.0f} s")
        self._size = after = await self.look({})
        self.parts.append(
            Part(
                kind=load.name, asked=sent, accepted=accepted, seconds=round(seconds, 1),
                orders_per_s=accepted / seconds if seconds else 0.0, behind_max=self._behind_max,
                open_holds=after.open_holds - before.open_holds,
                cell_bytes=after.cell - before.cell,
                keys={name: taken - before.keys[name] for name, taken in after.keys.items()},
            )
        )  # fmt: skip

    async def _watch(self) -> None:
        """Say how far it is while it goes on."""
        before, _ = await self._meter.counts()
        while True:
            accepted, recorded = await self._meter.counts()
            behind = max(0, accepted - recorded)
            self._behind_max = max(self._behind_max, behind)
            done, took = accepted - before, monotonic() - self._began
            rate = done / took
            self._progress.counts(
                {
                    "filled": f"{done:,} of {self._orders:,}",
                    "orders/s": f"{rate:,.0f}",
                    "to go, s": f"{(self._orders - done) / rate:,.0f}" if rate else "?",
                    "recorded behind": f"{behind:,}",
                }
            )
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _cut(self) -> None:
        """Wait until the log is cut behind all that is recorded: it is no hold's memory."""
        state = await self._cell.refresh()
        until = monotonic() + _CUT_WITHIN_S
        while state is not None and position(state.trimmed_to) < position(state.last_id):
            if monotonic() > until:
                self.notes.append("the log was not cut in time: its size is only estimated")
                return
            await asyncio.sleep(_POLL_S)
            state = await self._cell.refresh()
