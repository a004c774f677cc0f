"""Opening a cell: after a clean restart as it is, after a loss as Postgres has it.

Anything else stays closed and says why.
"""

import asyncio
from typing import Final, cast

import structlog
from redis.exceptions import RedisError

from engine.assurance import gaps, rules, store
from engine.assurance.rebuilder import Rebuilder
from engine.assurance.store import SQL
from engine.assurance.types import Epoch
from engine.assurance.verify import certify
from engine.infra import keys
from engine.infra.cell import Cell, State
from engine.infra.postgres import UNAVAILABLE, Connection, Pool
from engine.infra.tasks import raise_if_cancelled, sleep
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed, EngineError, Misconfigured, NotFound, OutcomeUnknown

_POLL_S: Final = 0.1
_OTHER_OPENER_S: Final = 8.0
_GAP_EVERY_S: Final = 1.0
_AWAY: Final[tuple[type[Exception], ...]] = (OutcomeUnknown, Closed, *UNAVAILABLE)
_logger: Final = structlog.get_logger()


async def make_cell(db: Connection, cell: str, identity: str) -> None:
    """Give a database its row of a cell, with the identity that both will carry; once."""
    await store.make_cell(db, cell, identity)


async def require_own(cell: Cell, pool: Pool) -> None:
    """Refuse the cell of another database; one that is empty or away belongs to nobody yet.

    Raises:
        Misconfigured: the cell carries another identity.
    """
    try:
        state = await cell.refresh()
    except OutcomeUnknown:
        return
    row = await pool.fetchrow(SQL["cell"], cell.id)
    if state is not None and row is not None:
        await _require_own(cell, state, str(row["identity"]))


async def _require_own(cell: Cell, state: State, own: str) -> None:
    """Refuse a foreign cell; one that is closed and empty is nobody's loss."""
    if state.identity != own and (state.phase == "open" or not await store.is_empty(cell)):
        raise Misconfigured(
            "this cell belongs to another database: give the matching TIDEGATE_DATABASE_URL,"
            " or an empty Valkey"
        )


class Keeper:
    """Watches one cell and opens it when, and only when, it is certain."""

    def __init__(self, cell: Cell, pool: Pool, clock: Clock) -> None:
        """Bind to a client of its own; nothing is sent until `run`."""
        self._cell = cell
        self._pool = pool
        self._clock = clock
        self._rebuilder = Rebuilder(cell, pool, clock)
        self._seen: State | None = None  # the cell, when it was last seen open
        self._sign_of_life: tuple[tuple[int, int], float] = ((0, 0), 0.0)
        self._refused_run_id = ""
        self._gap_looked_at = float("-inf")
        self._opened = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            Misconfigured: the cell belongs to another database.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._check_openings())
            while True:
                try:
                    await self._look()
                except _AWAY as error:
                    _logger.warning("keeper_waits", reason=type(error).__name__, detail=str(error))
                await sleep(_POLL_S)

    async def _check_openings(self) -> None:
        """After each opening compare every pool with Postgres, while orders run already."""
        while True:
            await self._opened.wait()
            raise_if_cancelled()
            self._opened.clear()
            try:
                await self.check_opening()
            except _AWAY as error:
                _logger.warning("opening_not_checked", reason=type(error).__name__)

    async def check_opening(self) -> str:
        """Compare every pool with Postgres; on a difference close the cell, and return why.

        Raises:
            Closed: it is not open.
            OutcomeUnknown: it does not answer, or nobody records.
        """
        try:
            found = await certify(self._cell, self._pool, self._clock)
        except NotFound:
            return ""  # an empty cell
        if differing := [row.name for row in found.pools if row.cell != row.recorded]:
            reason = f"cell and Postgres differ about {', '.join(differing[:10])}"
            await self.close(reason)
            return reason
        return ""

    async def close(self, reason: str) -> None:
        """Close the cell, on both sides; only somebody's `open` opens it again."""
        await self._pool.execute(SQL["note_closed"], self._cell.id, reason)
        await store.close(self._cell, self._cell.epoch, reason)
        _logger.error("cell_closed", cell=self._cell.id, reason=reason)

    async def open(self, state: State | None, rebuild: str = "") -> str:
        """Take the cell through a new epoch; return why it stays closed, "" when it is open.

        With `rebuild`, why it is asked for, the cell is made anew from Postgres, lost or not.

        Raises:
            Misconfigured: the cell belongs to another database.
        """
        async with self._pool.acquire() as connection:
            epoch = await store.next_epoch(connection, self._cell.id)
        reason, rebuilt = await self._prepare(epoch, state, rebuild)
        if not reason:
            await store.extend(self._cell, epoch.epoch)
            reason = await self._wait_for_restores(epoch)
        if reason:
            await self._stay_closed(epoch, state, reason)
            return reason
        if rebuilt:
            await self._pool.execute(SQL["ask_again"], self._cell.id)
        await store.finish_opening(self._cell, epoch)
        now = await self._cell.refresh()
        await store.extend(self._cell, epoch.epoch)
        await self._pool.execute(SQL["note_opened"], self._cell.id)
        await self._pool.execute(SQL["forget_leases"])
        if rebuilt and now is not None:
            await self._note_reopened(epoch, now)
        self._opened.set()
        _logger.info("cell_opened", cell=self._cell.id, epoch=epoch.epoch)
        return ""

    async def _prepare(self, epoch: Epoch, state: State | None, rebuild: str) -> tuple[str, bool]:
        """Bring the cell to `restoring`: as it is or, if it was lost, as Postgres has it.

        Returned is why it must stay closed, and whether it was rebuilt.
        """
        if state is not None:
            await _require_own(self._cell, state, epoch.identity)
        foreign = state is not None and state.identity != epoch.identity
        known = None if foreign else state
        log_end = "0-0"
        if known is not None and known.phase != "rebuilding":  # else nothing is in it that counts
            log_end = await store.log_end(self._cell)
        if known is not None and (why := await self._gap(epoch, known)):
            return why, False
        phase = "" if known is None else known.phase
        lost = "the cell was another database's, and is empty" if foreign else ""
        lost = lost or rules.reason_to_rebuild(epoch, phase=phase, log_end=log_end) or rebuild
        if lost:
            return await self._rebuilder.run(epoch, lost, log_end), True
        if wrong := rules.wrong_sums(await store.cell_pools(self._cell)):
            return wrong, False
        await store.begin_restoring(self._cell, epoch)
        return "", False

    async def _gap(self, epoch: Epoch, state: State) -> str:
        """Return what this database lacks of what the log had; the orders concerned are listed."""
        found = rules.gap(
            epoch, log_begin=await store.log_begin(self._cell), trimmed_to=state.trimmed_to
        )
        if not found:
            return ""
        orders = await gaps.note(self._cell, self._pool)
        return rules.what_to_do(found, state.trimmed_to, orders)

    async def _look_at_gap(self, state: State) -> None:
        """Tell of a gap that closed the cell, and open it once Postgres has what it lacked."""
        now = self._clock.monotonic()
        if not rules.is_gap(state.reason) or now < self._gap_looked_at + _GAP_EVERY_S:
            return
        self._gap_looked_at = now
        row = await self._pool.fetchrow(SQL["cell"], self._cell.id)
        assert row is not None, "it was opened once"
        epoch = Epoch(row["epoch"], row["last_id"], row["identity"])
        begin, known = await store.log_begin(self._cell), row["closed_reason"]
        if not rules.gap(epoch, log_begin=begin, trimmed_to=state.trimmed_to):
            await self.open(state)
        elif not rules.is_gap(known) and (reason := await self._gap(epoch, state)):
            await self._pool.execute(SQL["note_closed"], self._cell.id, reason)
            await store.close(self._cell, state.epoch, reason)
            _logger.error("cell_stays_closed", cell=self._cell.id, reason=reason)

    async def _note_reopened(self, epoch: Epoch, state: State) -> None:
        """Say what became of a rebuild, and how many accepted orders nobody could hand in again."""
        seen = 0 if self._seen is None else self._seen.accepted
        row = await self._pool.fetchrow(
            SQL["note_reopened"], self._cell.id, epoch.epoch, state.accepted, seen
        )
        if row is not None and row["accepted_before"] > state.accepted:
            _logger.error(
                "accepted_orders_lost", cell=self._cell.id,
                at_least=row["accepted_before"] - state.accepted,
            )  # fmt: skip

    async def _look(self) -> None:
        state = await self._cell.refresh()
        run_id, known_run_id = await self._run_ids()
        if state is not None and state.phase == "open" and run_id == known_run_id:
            self._seen = state
            return
        if state is not None and state.phase == "closed":
            await self._look_at_gap(state)
            return  # closed on purpose or by a failed write: a person, or a rebuild, decides
        if run_id == self._refused_run_id or self._another_is_opening(state, run_id, known_run_id):
            return
        if await self.open(state):
            self._refused_run_id = run_id

    def _another_is_opening(self, state: State | None, run_id: str, known: str) -> bool:
        if state is None or state.phase not in {"restoring", "rebuilding"} or run_id != known:
            return False
        now, sign = self._clock.monotonic(), (state.epoch, state.now_ms)
        if self._sign_of_life[0] != sign:
            self._sign_of_life = (sign, now)
        return now - self._sign_of_life[1] < _OTHER_OPENER_S

    async def _run_ids(self) -> tuple[str, str]:
        try:
            info = await self._cell.redis.info("server")
            known = await self._cell.redis.hget(keys.of(self._cell.id, "cell"), "run_id")
        except (RedisError, OSError) as error:
            raise OutcomeUnknown("the cell does not answer") from error
        return str(info["run_id"]), cast("bytes", known or b"").decode()

    async def _wait_for_restores(self, epoch: Epoch) -> str:
        """Wait until every living API process has put its claims back; a dead one's lease ends."""
        while True:
            row = await self._pool.fetchrow(SQL["cell"], self._cell.id)
            if row is not None and row["closed_reason"]:
                return str(row["closed_reason"])
            if not await self._pool.fetch(SQL["waited_for"], epoch.epoch):
                return ""
            await sleep(_POLL_S / 4)

    async def _stay_closed(self, epoch: Epoch, state: State | None, reason: str) -> None:
        _logger.error("cell_stays_closed", cell=self._cell.id, reason=reason)
        await self._pool.execute(SQL["note_closed"], self._cell.id, reason)
        for known in (epoch.epoch, state.epoch if state else 0):
            try:
                await store.close(self._cell, known, reason)
            except EngineError:
                continue
            return
