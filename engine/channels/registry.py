"""What ingest must know of a channel before it asks the cell, kept in memory by each process.

It only chooses the call that is meant; whether an order is refused or booked is read by the cell's
script from the cell's own rules.
"""

import asyncio
from typing import Final

import structlog

from engine.channels import store
from engine.infra.postgres import UNAVAILABLE, Pool
from engine.infra.tasks import sleep
from engine.kernel.clock import Clock

_REFRESH_SECONDS: Final = 1.0
_UNKNOWN_REFRESH_SECONDS: Final = 0.1
_log = structlog.get_logger(__name__)


class Registry:
    """Authority of each channel, read again every second and, at most 10/s, for an unknown one."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._authorities: dict[tuple[str, str], str] = {}
        self._refreshed_at = float("-inf")
        self._one = asyncio.Lock()

    def known(self, tenant: str, channel: str) -> str | None:
        """Return a channel's authority from memory; None may only mean: look again."""
        return self._authorities.get((tenant, channel))

    async def authority(
        self, tenant: str, channel: str, asked_at: float | None = None
    ) -> str | None:
        """Return a channel's authority; None when there is no such channel.

        `asked_at`: when the request came (monotonic seconds), so that all orders of one request
        share a reading; without it, now.
        """
        found = self.known(tenant, channel)
        if found is not None:
            return found
        if asked_at is None:
            asked_at = self._clock.monotonic()
        async with self._one:
            # a reading from before the question says nothing: the channel may be a moment old
            if self._refreshed_at < asked_at:
                pause = self._refreshed_at + _UNKNOWN_REFRESH_SECONDS - self._clock.monotonic()
                await asyncio.sleep(max(0.0, pause))
                await self.refresh()
        return self.known(tenant, channel)

    async def refresh(self) -> None:
        """Read all channels; while Postgres is away what was known stays known."""
        begun_at = self._clock.monotonic()
        try:
            async with self._pool.acquire() as connection:
                self._authorities = await store.authorities(connection)
            self._refreshed_at = begun_at
        except UNAVAILABLE as failure:
            _log.warning("channels_not_refreshed", reason=type(failure).__name__)

    async def run(self) -> None:
        """Refresh every second until cancelled."""
        while True:
            await self.refresh()
            await sleep(_REFRESH_SECONDS)
