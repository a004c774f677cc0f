"""The watcher: a loop that looks at stock, in one process of a cell at a time."""

from typing import Final

import structlog

from engine.alerts.service.watching import QUICK, SLOW, look
from engine.infra import duties
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import Runtime
from engine.infra.tasks import sleep
from engine.kernel.errors import EngineError

_EVERY_S: Final = 2.0  # well within what a duty lasts
_SLOW_EVERY_S: Final = 900.0
_REST: Final = 30  # times as long as a look took: it stays below 4 % of a core

_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)

_log = structlog.get_logger(__name__)


async def watcher(runtime: Runtime) -> None:
    """Run until cancelled; servers that go away are waited for."""
    look_at = slow_at = float("-inf")
    while True:
        now = runtime.clock.monotonic()
        try:
            turn = await duties.take(runtime.pool, runtime.settings.cell, "watch", runtime.process)
            if turn and now >= look_at:
                slow = now >= slow_at
                async with runtime.pool.acquire() as connection:
                    await look(runtime, connection, (*QUICK, *SLOW) if slow else QUICK)
                slow_at = now + _SLOW_EVERY_S if slow else slow_at
                look_at = now + _REST * (runtime.clock.monotonic() - now)
        except _AWAY as away:
            _log.warning("watcher_waits", reason=type(away).__name__)
        await sleep(_EVERY_S)
