"""All bundles in the memory of a process, so that no order waits for Postgres to be understood.

A process that has not yet heard of a change sells what it knew a moment ago: the claim carries what
it was expanded to, and its order keeps that.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from aiohttp import web

from engine.catalogue import store
from engine.infra.mirror import Mirror
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import Clock

Components: TypeAlias = tuple[tuple[str, int], ...]  # SKU and units of it in one of the bundle


class Bundles(Mirror):
    """What each bundle stands for."""

    what = "bundles"

    def __init__(self, pool: Pool, clock: Clock) -> None:
        """Know of no bundle yet."""
        super().__init__(pool, clock)
        self._known: dict[str, dict[str, Components]] = {}
        self._snapshot: str | None = None

    def of(self, tenant: str) -> Mapping[str, Components]:
        """Return the tenant's bundles; one that is none any more stands there with nothing."""
        return self._known.get(tenant, _NONE)

    async def _read(self, connection: Connection) -> None:
        changed = await store.changed(connection, self._snapshot)
        if changed.anew:
            self._known = {}
        for one in changed.bundles:
            known = self._known.setdefault(one.tenant, {})
            known[one.sku] = tuple((part.sku, part.quantity) for part in one.components)
        self._snapshot = changed.seen


BUNDLES: Final = web.AppKey("bundles", Bundles)
_NONE: Final[Mapping[str, Components]] = {}
