"""What a process keeps in memory of some tables, so that no order waits for Postgres."""

import asyncio
from abc import ABC, abstractmethod
from typing import Final

import structlog

from engine.infra.postgres import UNAVAILABLE, Connection, Pool
from engine.infra.tasks import sleep
from engine.kernel.clock import Clock

_REFRESH_SECONDS: Final = 1.0
_UNKNOWN_REFRESH_SECONDS: Final = 0.1
_ACQUIRE_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)


class Mirror(ABC):
    """Looks each second and, at most ten times a second, for whoever met something unknown."""

    what: str  # is mirrored, as the log calls it

    def __init__(self, pool: Pool, clock: Clock) -> None:
        """Take where to look; nothing is known before the first look."""
        self._pool = pool
        self._clock = clock
        self._tried_at = float("-inf")
        self._refreshed_at = float("-inf")
        self._one = asyncio.Lock()

    async def fresh(self, asked_at: float | None = None) -> bool:
        """Look again on behalf of who met something unknown; many who ask at once share one look.

        `asked_at`: when the request came (monotonic seconds), so that all orders of one request
        share a look; without it, now. False: Postgres could not be asked, so what is unknown here
        may well be known there.
        """
        if asked_at is None:
            asked_at = self._clock.monotonic()
        async with self._one:
            # a look from before the question says nothing, one that failed since then says it all
            if self._tried_at < asked_at:
                pause = self._tried_at + _UNKNOWN_REFRESH_SECONDS - self._clock.monotonic()
                await asyncio.sleep(max(0.0, pause))
                await self._look()
        return self._refreshed_at >= asked_at

    async def refresh(self) -> None:
        """Look now; while Postgres is away what was known stays known."""
        async with self._one:
            await self._look()

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            await self.refresh()
            await sleep(_REFRESH_SECONDS)

    @abstractmethod
    async def _read(self, connection: Connection) -> None:
        """Take in what changed, from a connection that sees one snapshot."""

    async def _look(self) -> None:
        begun_at = self._tried_at = self._clock.monotonic()
        try:
            async with (
                self._pool.acquire(timeout=_ACQUIRE_SECONDS) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await self._read(connection)
        except UNAVAILABLE as failure:
            _log.warning(f"{self.what}_not_refreshed", reason=type(failure).__name__)
        else:
            self._refreshed_at = begun_at
