"""All listings in the memory of a process, so that no order waits for Postgres to be understood.

Each look asks for what transactions wrote that the snapshot of the look before did not see. That
misses no transaction that committed late, and waits for none that takes long.
"""

import asyncio
from typing import Final

import structlog
from aiohttp import web

from engine.infra.postgres import UNAVAILABLE, Pool
from engine.infra.tasks import raise_if_cancelled
from engine.kernel.clock import Clock
from engine.listings import store
from engine.listings.store import Change

_REFRESH_SECONDS: Final = 1.0
_UNKNOWN_REFRESH_SECONDS: Final = 0.1
_ACQUIRE_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)

Mapped = tuple[tuple[str, int], ...]  # of one link: SKU and units, in the order of the SKUs
_Known = dict[tuple[str, str], dict[str, Mapped]]  # by tenant and channel, then by link


class Listings:
    """What every link stands for, looked at each second and, at most 10/s, for an unknown one."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._known: _Known = {}
        self._shared: dict[Mapped, Mapped] = {}  # thousands of links stand for the same
        self._snapshot: str | None = None
        self._tried_at = float("-inf")
        self._refreshed_at = float("-inf")
        self._one = asyncio.Lock()

    def resolve(
        self, tenant: str, channel: str, item_id: str, sku_id: str
    ) -> list[tuple[str, int]]:
        """Return the SKUs of a link and the units of each that one of it stands for.

        None may only mean: `fresh` first. Several mean that it was mapped more than once, and which
        is meant is not known.
        """
        links = self._known.get((tenant, channel))
        return list(links.get(_link(item_id, sku_id), ())) if links else []

    async def fresh(self, asked_at: float | None = None) -> bool:
        """Look again on behalf of who met an unknown link; many who ask at once share one look.

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
            raise_if_cancelled()
            await self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS)

    async def _look(self) -> None:
        begun_at = self._tried_at = self._clock.monotonic()
        try:
            await self._read()
        except UNAVAILABLE as failure:
            _log.warning("listings_not_refreshed", reason=type(failure).__name__)
        else:
            self._refreshed_at = begun_at

    async def _read(self) -> None:
        async with (
            self._pool.acquire(timeout=_ACQUIRE_SECONDS) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            seen = await store.snapshot(connection)
            since = self._snapshot
            if since is not None and _end(seen) < _end(since):
                # a database that was restored: what it forgot has to be forgotten here, too
                since = None
            known, shared = (self._known, self._shared) if since is not None else ({}, {})
            # When this breaks off in the middle, the next look begins where this one did.
            async for change in store.changed(connection, since):
                _apply(known, shared, change)
        self._known, self._shared, self._snapshot = known, shared, seen


LISTINGS: Final = web.AppKey("listings", Listings)


def _apply(known: _Known, shared: dict[Mapped, Mapped], change: Change) -> None:
    """Put a link as it is now in the place of what was known of it, in one step."""
    links = known.setdefault((change.tenant, change.channel), {})
    link = _link(change.item_id, change.sku_id)
    units_per = {**dict(links.get(link, ())), **change.units_per}
    mapped = tuple(sorted((sku, units) for sku, units in units_per.items() if units is not None))
    if mapped:
        links[link] = shared.setdefault(mapped, mapped)
    else:
        links.pop(link, None)


def _link(item_id: str, sku_id: str) -> str:
    """One text in place of two and a tuple; identifiers hold no control characters."""
    return f"{item_id}\n{sku_id}"


def _end(snapshot: str) -> int:
    """The first transaction that had not begun: `xmin:xmax:running,…`."""
    return int(snapshot.split(":")[1])
