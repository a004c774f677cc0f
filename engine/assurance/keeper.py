"""Opening a cell: a clean restart reopens by itself, anything else stays closed and says why."""

import asyncio
from typing import Final, cast

import structlog
from redis.exceptions import RedisError

from engine.assurance import rules, store
from engine.assurance.store import SQL
from engine.assurance.types import Epoch
from engine.assurance.verify import certify
from engine.infra import keys
from engine.infra.cell import Cell, State
from engine.infra.postgres import UNAVAILABLE, Connection, Pool
from engine.infra.tasks import raise_if_cancelled
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed, EngineError, Misconfigured, NotFound, OutcomeUnknown

_POLL_S: Final = 0.1
_OTHER_OPENER_S: Final = 8.0
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
        _require_same(state.identity, str(row["identity"]))


def _require_same(found: str, own: str) -> None:
    if found != own:
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
        self._restoring_since: tuple[int, float] = (0, 0.0)
        self._refused_run_id = ""
        self._opened = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            Misconfigured: the cell belongs to another database.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._check_openings())
            while True:
                raise_if_cancelled()
                try:
                    await self._look()
                except _AWAY as error:
                    _logger.warning("keeper_waits", reason=type(error).__name__, detail=str(error))
                await asyncio.sleep(_POLL_S)

    async def _check_openings(self) -> None:
        """After each opening compare every pool with Postgres, while orders run already."""
        while True:
            await self._opened.wait()
            raise_if_cancelled()
            self._opened.clear()
            try:
                found = await certify(self._cell, self._pool, self._clock)
            except NotFound:
                continue  # an empty cell
            except _AWAY as error:
                _logger.warning("opening_not_checked", reason=type(error).__name__)
                continue
            if differing := [row.name for row in found.pools if row.cell != row.recorded]:
                reason = f"cell and Postgres differ about {', '.join(differing[:10])}"
                await self._pool.execute(SQL["note_closed"], self._cell.id, reason)
                await store.close(self._cell, self._cell.epoch, reason)
                _logger.error("cell_closed", cell=self._cell.id, reason=reason)

    async def open(self, state: State | None) -> str:
        """Take the cell through a new epoch; return why it stays closed, "" when it is open."""
        async with self._pool.acquire() as connection:
            epoch = await store.next_epoch(connection, self._cell.id)
        reason = await self._compare(epoch, state)
        if not reason:
            await store.begin_restoring(self._cell, epoch)
            await store.extend(self._cell, epoch.epoch)
            reason = await self._wait_for_restores(epoch)
        if reason:
            await self._stay_closed(epoch, state, reason)
            return reason
        await store.finish_opening(self._cell, epoch)
        await self._cell.refresh()
        await store.extend(self._cell, epoch.epoch)
        await self._pool.execute(SQL["note_opened"], self._cell.id)
        await self._pool.execute(SQL["forget_leases"])
        self._opened.set()
        _logger.info("cell_opened", cell=self._cell.id, epoch=epoch.epoch)
        return ""

    async def _look(self) -> None:
        state = await self._cell.refresh()
        run_id, known_run_id = await self._run_ids()
        if state is not None and state.phase == "open" and run_id == known_run_id:
            return
        if state is not None and state.phase == "closed":
            return  # closed on purpose or by a failed write: a person, or a rebuild, decides
        if run_id == self._refused_run_id or self._another_is_opening(state, run_id, known_run_id):
            return
        if await self.open(state):
            self._refused_run_id = run_id

    def _another_is_opening(self, state: State | None, run_id: str, known: str) -> bool:
        if state is None or state.phase != "restoring" or run_id != known:
            return False
        now = self._clock.monotonic()
        if self._restoring_since[0] != state.epoch:
            self._restoring_since = (state.epoch, now)
        return now - self._restoring_since[1] < _OTHER_OPENER_S

    async def _run_ids(self) -> tuple[str, str]:
        try:
            info = await self._cell.redis.info("server")
            known = await self._cell.redis.hget(keys.of(self._cell.id, "cell"), "run_id")
        except (RedisError, OSError) as error:
            raise OutcomeUnknown("the cell does not answer") from error
        return str(info["run_id"]), cast("bytes", known or b"").decode()

    async def _compare(self, epoch: Epoch, state: State | None) -> str:
        if state is not None:
            _require_same(state.identity, epoch.identity)
        return rules.reason_to_stay_closed(
            epoch,
            known=state is not None,
            log_end=await store.log_end(self._cell),
            trimmed_to="0-0" if state is None else state.trimmed_to,
            pools=await store.cell_pools(self._cell),
        )

    async def _wait_for_restores(self, epoch: Epoch) -> str:
        """Wait until every living API process has put its claims back; a dead one's lease ends."""
        while True:
            row = await self._pool.fetchrow(SQL["cell"], self._cell.id)
            if row is not None and row["closed_reason"]:
                return str(row["closed_reason"])
            if not await self._pool.fetch(SQL["waited_for"], epoch.epoch):
                return ""
            await asyncio.sleep(_POLL_S / 4)

    async def _stay_closed(self, epoch: Epoch, state: State | None, reason: str) -> None:
        _logger.error("cell_stays_closed", cell=self._cell.id, reason=reason)
        await self._pool.execute(SQL["note_closed"], self._cell.id, reason)
        for known in (epoch.epoch, state.epoch if state else 0):
            try:
                await store.close(self._cell, known, reason)
            except EngineError:
                continue
            return
