"""The shelver: a loop that keeps what every shop is to show true, and drains carried out.

Of several one works; a second takes over when the first is silent, and begins by looking at
everything. Two at once would only do the same twice: a number is written where none was since.
"""

from contextlib import suppress
from typing import Final

import structlog

from engine.infra import duties, postgres
from engine.infra.cell import Cell
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.tasks import raise_if_cancelled, sleep
from engine.kernel.errors import EngineError
from engine.publications.service import draining
from engine.publications.service.shelving import Shelver

_DUTY: Final = "shelver"
_LOOK_SECONDS: Final = 0.2
_RENEW_SECONDS: Final = 1.0
_EXCESS_SECONDS: Final = 1.0
_BACKOFF_SECONDS: Final = 0.5

_log = structlog.get_logger(__name__)


async def shelver(runtime: Runtime) -> None:
    """Run until cancelled; servers that go away are waited for."""
    while True:
        try:
            await _connected(runtime)
        except postgres.UNAVAILABLE as failure:
            _log.warning("shelver_waits", reason=repr(failure))
        except EngineError as refusal:
            _log.info("shelver_waits", reason=refusal.detail)
        except Exception:  # noqa: BLE001 - a listing that nobody can number must not end the process
            _log.exception("shelver_failed")
        await sleep(_BACKOFF_SECONDS)


async def _connected(runtime: Runtime) -> None:
    cell = runtime.cell
    assert isinstance(cell, Cell)
    connection = await postgres.connect(runtime.settings.database_url or "")
    try:
        await _work(runtime, cell, connection)
    finally:
        with suppress(*postgres.UNAVAILABLE):
            await connection.close(timeout=1)


async def _work(runtime: Runtime, cell: Cell, db: Connection) -> None:
    shelves, mine_at, begun = Shelver(cell, runtime.clock), float("-inf"), False
    excess_at = float("-inf")
    while True:
        await cell.wait_open()
        raise_if_cancelled()
        now = runtime.clock.monotonic()
        if now - mine_at >= _RENEW_SECONDS:
            # what another one may have done meanwhile, this one did not see
            begun = begun and now - mine_at < duties.DUTY_SECONDS
            if not await duties.take(db, cell.id, _DUTY, runtime.process):
                begun = False
                await sleep(_BACKOFF_SECONDS)
                continue
            mine_at = now
        if not begun:
            await shelves.begin(db)
            begun = True
        await shelves.notice(db)
        more = await shelves.shelve(db)
        if now - excess_at >= _EXCESS_SECONDS:
            excess_at = now
            await draining.drain_excess(runtime, db)
        if shelves.draining:
            await draining.advance(runtime, db)
        if not more:
            await sleep(_LOOK_SECONDS)
