"""All listings in the memory of a process, so that no order waits for Postgres to be understood.

Each look asks for what transactions wrote that the snapshot of the look before did not see. That
misses no transaction that committed late, and waits for none that takes long.
"""

from typing import Final

from aiohttp import web

from engine.infra.mirror import Mirror
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import Clock
from engine.listings import store
from engine.listings.store import Change

Mapped = tuple[tuple[str, int], ...]  # of one link: SKU and units, in the order of the SKUs
_Known = dict[tuple[str, str], dict[str, Mapped]]  # by tenant and channel, then by link


class Listings(Mirror):
    """What every link stands for."""

    what = "listings"

    def __init__(self, pool: Pool, clock: Clock) -> None:
        """Know of no link yet."""
        super().__init__(pool, clock)
        self._known: _Known = {}
        self._shared: dict[Mapped, Mapped] = {}  # thousands of links stand for the same
        self._snapshot: str | None = None

    def resolve(
        self, tenant: str, channel: str, item_id: str, sku_id: str
    ) -> list[tuple[str, int]]:
        """Return the SKUs of a link and the units of each that one of it stands for.

        None may only mean: `fresh` first. Several mean that it was mapped more than once, and which
        is meant is not known.
        """
        links = self._known.get((tenant, channel))
        return list(links.get(_link(item_id, sku_id), ())) if links else []

    async def _read(self, connection: Connection) -> None:
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
