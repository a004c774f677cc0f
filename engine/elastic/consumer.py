"""The rebalancer: a loop that looks at the pools of sales that lend, once a second."""

from typing import Final

import structlog

from engine.elastic.rules import LOOK_S
from engine.elastic.service.carrying import carry_out
from engine.elastic.service.deciding import Position, decide
from engine.elastic.service.movers import Mover, Publishing
from engine.infra.cell import Cell
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import Runtime
from engine.infra.tasks import sleep
from engine.kernel.errors import EngineError

_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)
_log: Final = structlog.get_logger()


class Rebalancer:
    """One process' part in it; of several, one decides at a time."""

    def __init__(self, runtime: Runtime, cell: Cell, mover: Mover | None = None) -> None:
        self._runtime, self._cell = runtime, cell
        self._mover = mover or Publishing(runtime)
        self._last = Position()

    async def run(self) -> None:
        """Run until cancelled; a closed cell and servers that are away are waited for."""
        while True:
            await self._cell.wait_open()
            try:
                await self.look()
            except _AWAY as away:
                self._last = Position()
                _log.warning("rebalancer_waits", reason=getattr(away, "code", repr(away)))
            except Exception:  # noqa: BLE001 - lending must not end the process that records
                self._last = Position()
                _log.exception("rebalancer_failed")
            await sleep(LOOK_S)

    async def look(self) -> bool:
        """Look once, decide and carry out; False when another process does."""
        pool, name = self._runtime.pool, self._runtime.process
        async with pool.acquire() as connection, connection.transaction():
            found = await decide(
                connection, self._cell.id, name, self._last, drains=self._mover.drains
            )
        self._last = found or Position()
        if found is None:
            return False
        await carry_out(pool, self._cell.id, self._mover)
        return True
