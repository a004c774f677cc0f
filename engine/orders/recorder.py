"""The recorder: folds the cell's log into Postgres, one transaction a batch, each entry once.

The first statement of a transaction compares and sets the position, so two recorders that overlap,
or a commit whose reply was lost, cannot apply an entry twice. Who records is a row that only avoids
work; correctness never rests on it.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec
import structlog

from engine.infra import log, metrics
from engine.infra.cell import Cell
from engine.infra.log import Entry, position
from engine.infra.postgres import UNAVAILABLE
from engine.infra.spans import Spans
from engine.infra.tasks import raise_if_cancelled, sleep
from engine.kernel import limits
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed, EngineError, OutcomeUnknown
from engine.kernel.events import Reserved, Synced
from engine.orders import counting, rules, store
from engine.orders import stretch as stretches
from engine.orders.stretch import Stretch
from engine.orders.types import Changes, Logged

_WAIT_MS: Final = 500
_RETRY_S: Final = 0.2
_TRIM_EVERY_S: Final = 2.0
_logger: Final = structlog.get_logger()

_AWAY: Final[tuple[type[Exception], ...]] = (OutcomeUnknown, Closed, *UNAVAILABLE)
_LOST: Final[tuple[type[Exception], ...]] = (asyncpg.PostgresError, *UNAVAILABLE)

# What a row, not the server, did wrong: found by bisection and set aside.
_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.UntranslatableCharacterError,
    EngineError,
    msgspec.MsgspecError,
    ArithmeticError,  # of the driver: a number that its column cannot hold
    UnicodeError,
    ValueError,
)


class Recorder:
    """One process' attempt to record one cell; any number of them may run."""

    def __init__(
        self,
        cell: Cell,
        dsn: str,
        clock: Clock,
        owner: str,
        *,
        keep_seconds: int,
        spans: Spans | None = None,
    ) -> None:
        """Bind to a client of its own and a database; nothing is opened until `run`."""
        self._spans = spans
        self._cell = cell
        self._dsn = dsn
        self._clock = clock
        self._owner = owner
        self._keep_seconds = keep_seconds
        self._recorded: deque[tuple[float, str]] = deque()
        self._trimmed_at = clock.monotonic()

    async def run(self) -> None:
        """Record until cancelled; whatever is away is tried again."""
        while True:
            raise_if_cancelled()
            try:
                await self._session()
            except _AWAY as error:
                metrics.RECORDER_RETRIES.add(type(error).__name__)
                # what a server or driver says may quote the row
                detail = error.detail if isinstance(error, EngineError) else ""
                _logger.warning("recorder_waits", reason=type(error).__name__, detail=detail)
                await sleep(_RETRY_S)

    async def _session(self) -> None:
        connection = await store.recording(self._dsn)
        try:
            while True:
                await self._turn(connection)
        finally:
            await _give_up(connection, self._cell.id, self._owner)

    async def _turn(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        row = await connection.fetchrow(store.SQL["position"], self._cell.id)
        if row is None or not await store.own(connection, self._cell.id, self._owner):
            await sleep(_RETRY_S)
            return
        epoch, at = row["epoch"], row["last_id"]
        await self._refuse_a_gap(connection, at)
        self._recorded.append((self._clock.monotonic(), at))
        while True:
            raise_if_cancelled()
            entries = await log.read(
                self._cell.redis, self._cell.id, at, limits.RECORDER_ENTRIES_MAX, wait_ms=_WAIT_MS
            )
            if not entries:
                await self._trim()
                return
            moved = await self.record(connection, epoch, at, entries)
            if moved is None:
                return
            at = moved
            self._recorded.append((self._clock.monotonic(), at))
            await self._trim()
            if len(entries) < limits.RECORDER_ENTRIES_MAX:
                await sleep(limits.RECORDER_PAUSE_S)

    async def record(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        epoch: int,
        start: str,
        entries: Sequence[Entry],
    ) -> str | None:
        """Fold entries that follow `start` in one transaction; return the new position.

        None means that the position was another one: read it again. A checkpoint ends the batch,
        because what it compares is the position right behind it.
        """
        stretch = stretches.read(entries)
        try:
            broken = await self._write(connection, epoch, start, stretch)
        except _REFUSED:  # the transaction is lost, nothing was written: find the row it was
            metrics.RECORDER_RETRIES.add("refused")
            broken = await self._write(connection, epoch, start, stretch, carefully=True)
        if broken:
            await self._stop_selling(broken)
        if broken is None:
            metrics.RECORDER_RETRIES.add("position")
        return None if broken is None else stretch.end

    async def _write(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        epoch: int,
        start: str,
        stretch: Stretch,
        *,
        carefully: bool = False,
    ) -> list[tuple[str, str]] | None:
        """Write a stretch in one transaction; return pools that do not add up, None if not ours."""
        changes = None if carefully else rules.fold(stretch.logged)
        began, tally = self._clock.monotonic(), counting.Tally()
        async with connection.transaction():
            recorded = await store.advance(
                connection, self._cell.id, self._owner, epoch, start, stretch.end, stretch.claims
            )
            if recorded is None:
                return None
            broken = await store.post(connection, self._cell.id, stretch.posts, stretch.grants)
            if changes is None:
                await self._fold(connection, stretch.logged, tally)
            else:
                tally.note(changes, await store.save(connection, self._cell.id, changes, anew=True))
            for entry, why in stretch.unreadable:
                await store.bury_entry(connection, self._cell.id, entry, why)
                _logger.error("dead_letter", log_id=entry.log_id, reason=why)
            for log_id, found in stretch.reference:
                await store.save_reference(connection, self._cell.id, recorded, log_id, found)
        tally.count(stretch, self._clock.monotonic() - began, self._clock.now_ms())
        if self._spans is not None and changes is not None:
            self._tell(self._spans, changes)
        return broken

    def _tell(self, spans: Spans, changes: Changes) -> None:
        """Tell how long orders of sampled traces waited to be recorded."""
        now = self._clock.now_ms()
        for order in changes.orders.values():
            spans.tell(order.trace, "record", order.accepted_at, now, order_id=order.order_id)

    async def _fold(
        self,
        tx: "asyncpg.Connection[asyncpg.Record]",
        logged: Sequence[Logged],
        tally: counting.Tally,
    ) -> None:
        """Fold all, or halve until the events that Postgres refuses stand alone."""
        if not logged:
            return
        try:
            changes = rules.fold(logged)
            async with tx.transaction():
                new = await store.save(tx, self._cell.id, changes)
            tally.note(changes, new)
        except _REFUSED as error:
            if len(logged) == 1:
                await self._set_aside(tx, logged[0], f"{type(error).__name__}: {error}"[:500])
                return
            middle = len(logged) // 2
            await self._fold(tx, logged[:middle], tally)
            await self._fold(tx, logged[middle:], tally)

    async def _set_aside(
        self, tx: "asyncpg.Connection[asyncpg.Record]", logged: Logged, reason: str
    ) -> None:
        """Keep a refused event as a dead letter and, if it is a claim, as an order to look at."""
        reason = reason.replace("\x00", "")
        packed = msgspec.msgpack.encode(logged.event)
        await store.bury(tx, self._cell.id, logged, reason, packed)
        _logger.error("dead_letter", order_id=logged.event.subject, log_id=logged.log_id)
        if isinstance(logged.event, Reserved | Synced):
            try:
                async with tx.transaction():
                    await store.save(tx, self._cell.id, rules.set_aside(logged, reason))
            except _REFUSED as error:  # then the dead letter alone tells of it
                _logger.warning("not_even_set_aside", reason=type(error).__name__)

    async def _refuse_a_gap(
        self, connection: "asyncpg.Connection[asyncpg.Record]", at: str
    ) -> None:
        """Close the cell when the log was cut beyond what Postgres has; else note how far it came.

        That note, once whenever the log is idle, tells a rebuild how long a lost cell lived.

        Raises:
            Closed: with the gap in words.
        """
        state = await self._cell.refresh()
        if state is not None and position(at) < position(state.trimmed_to):
            reason = (
                f"Postgres stands at log id {at}, the log was cut at {state.trimmed_to}:"
                " what lies between is not in this database"
            )
            if state.phase == "open":
                await self._cell.call("close", [reason], argument="0", epoch=state.epoch)
            raise Closed(reason)
        if state is not None and state.phase == "open":
            seen = (self._cell.id, state.now_ms, state.accepted)
            await connection.execute(store.SQL["note_seen"], *seen)

    async def _stop_selling(self, broken: Sequence[tuple[str, str]]) -> None:
        """Pause the SKUs of pools that do not add up; the orders themselves are recorded."""
        pauses = [
            (tenant, "sku", sku, 1, "engine", "its pool does not add up")
            for tenant, sku in set(broken)
        ]
        _logger.error("pool_broken", skus=[sku for _, sku in broken])
        await self._cell.call("pause", pauses)

    async def _trim(self) -> None:
        """Cut the log below what was recorded long enough ago."""
        now = self._clock.monotonic()
        if now - self._trimmed_at < _TRIM_EVERY_S:
            return
        self._trimmed_at = now
        oldest = None
        while self._recorded and now - self._recorded[0][0] >= self._keep_seconds:
            oldest = self._recorded.popleft()[1]
        if oldest not in {None, "0-0"} and self._cell.is_open:
            await self._cell.call("trim", [oldest])


async def _give_up(connection: "asyncpg.Connection[asyncpg.Record]", cell: str, owner: str) -> None:
    """Let another recorder go on at once; a lost connection lets it go on a little later."""
    try:
        await connection.execute(store.SQL["disown"], cell, owner)
        await connection.close(timeout=2)
    except _LOST:
        pass
    finally:
        connection.terminate()
