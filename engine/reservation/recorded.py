"""How far the recorder has come, as one API process knows it.

It lets kept claims go, and answers those who asked to wait until their order is recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from engine.infra.log import position
from engine.infra.postgres import UNAVAILABLE
from engine.infra.tasks import raise_if_cancelled, sleep
from engine.kernel import limits
from engine.kernel.errors import Overloaded
from engine.reservation.kept import Kept

_POLL_S: Final = 0.25
_POLL_WAITED_FOR_S: Final = 0.02
_logger: Final = structlog.get_logger()


class _Waiter(NamedTuple):
    at: tuple[int, int]
    recorded: "asyncio.Future[None]"


class Recorded:
    """Follows Postgres' position in the log."""

    def __init__(self, kept: Kept, read_position: Callable[[], Awaitable[str | None]]) -> None:
        """Bind to what is kept; `read_position` asks Postgres for the cell's last id."""
        self._kept = kept
        self._read_position = read_position
        self._waiters: list[_Waiter] = []
        self._wanted = asyncio.Event()

    async def wait(self, log_id: str, seconds: float) -> bool:
        """Wait until the recorder has passed an entry; False when the time is over.

        Raises:
            Overloaded: too many are waiting; the order itself stands.
        """
        if len(self._waiters) >= limits.WAITERS_MAX:
            raise Overloaded("too many requests wait for the recorder")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(position(log_id), future)
        self._waiters.append(waiter)
        self._wanted.set()
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(waiter)
        return True

    async def run(self) -> None:
        """Ask Postgres again and again until cancelled: often while somebody waits."""
        while True:
            raise_if_cancelled()
            try:
                last_id = await self._read_position()
            except UNAVAILABLE as error:
                _logger.warning("position_unknown", reason=type(error).__name__)
                last_id = None
            if last_id is not None:
                self._passed(last_id)
            await self._pause()

    def _passed(self, last_id: str) -> None:
        self._kept.passed(last_id)
        at = position(last_id)
        for waiter in self._waiters:
            if waiter.at <= at and not waiter.recorded.done():
                waiter.recorded.set_result(None)

    async def _pause(self) -> None:
        if self._waiters:
            await sleep(_POLL_WAITED_FOR_S)
            return
        self._wanted.clear()
        try:
            async with asyncio.timeout(_POLL_S):
                await self._wanted.wait()
        except TimeoutError:
            pass
