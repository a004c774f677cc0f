"""All bundles in the memory of a process, so that no order waits for Postgres to be understood.

A process that has not yet heard of a change sells what it knew a moment ago: the claim carries what
it was expanded to, and its order keeps that.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, TypeAlias

import structlog
from aiohttp import web

from engine.catalogue import store
from engine.infra.postgres import UNAVAILABLE, Pool
from engine.infra.tasks import raise_if_cancelled
from engine.kernel.clock import Clock

_REFRESH_SECONDS: Final = 1.0
_UNKNOWN_REFRESH_SECONDS: Final = 0.1
_ACQUIRE_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)

Components: TypeAlias = tuple[tuple[str, int], ...]  # SKU and units of it in one of the bundle


class Bundles:
    """What each bundle stands for, looked at each second and, at most 10/s, for an unknown SKU."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._known: dict[str, dict[str, Components]] = {}
        self._snapshot: str | None = None
        self._tried_at = float("-inf")
        self._refreshed_at = float("-inf")
        self._one = asyncio.Lock()

    def of(self, tenant: str) -> Mapping[str, Components]:
        """Return the tenant's bundles; one that is none any more stands there with nothing."""
        return self._known.get(tenant, _NONE)

    async def fresh(self, asked_at: float | None = None) -> bool:
        """Look again on behalf of who met an unknown SKU; many who ask at once share one look.

        `asked_at`: when the request came (monotonic seconds), so that all orders of one request
        share a look; without it, now. False: Postgres could not be asked.
        """
        if asked_at is None:
            asked_at = self._clock.monotonic()
        async with self._one:
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
            raise_if_cancelled()
            await self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS)

    async def _look(self) -> None:
        begun_at = self._tried_at = self._clock.monotonic()
        try:
            await self._read()
        except UNAVAILABLE as failure:
            _log.warning("bundles_not_refreshed", reason=type(failure).__name__)
        else:
            self._refreshed_at = begun_at

    async def _read(self) -> None:
        async with (
            self._pool.acquire(timeout=_ACQUIRE_SECONDS) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            changed = await store.changed(connection, self._snapshot)
        if changed.anew:
            self._known = {}
        for one in changed.bundles:
            known = self._known.setdefault(one.tenant, {})
            known[one.sku] = tuple((part.sku, part.quantity) for part in one.components)
        self._snapshot = changed.seen


BUNDLES: Final = web.AppKey("bundles", Bundles)
_NONE: Final[Mapping[str, Components]] = {}
