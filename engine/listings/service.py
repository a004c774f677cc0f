"""Keep, remove and find listings."""

from collections.abc import Iterable, Sequence
from typing import Final

from engine.catalogue import service as catalogue
from engine.channels import service as channels
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.kernel.errors import NotFound
from engine.kernel.types import Tenant
from engine.listings import rules, store
from engine.listings.rules import Numbered
from engine.listings.store import Wanted
from engine.listings.types import AlarmView, BadRows, Kept, ListingView, RowFault

__all__ = ["Wanted", "alarms", "keep", "page", "put", "remove"]

_SLICE: Final = 5_000  # mappings in one statement


async def put(
    runtime: Runtime,
    tenant: Tenant,
    rows: Sequence[Numbered],
    faults: Iterable[RowFault],
    *,
    replace: bool,
    actor: str,
) -> Kept:
    """Keep mappings in a transaction of their own; `keep` says the rest."""
    async with runtime.pool.acquire() as connection, connection.transaction():
        return await keep(connection, tenant, rows, faults, replace=replace, actor=actor)


async def keep(
    tx: Connection,
    tenant: Tenant,
    rows: Sequence[Numbered],
    faults: Iterable[RowFault],
    *,
    replace: bool,
    actor: str,
) -> Kept:
    """Keep all of these mappings, or none; `faults` are those of rows that could not be read.

    Raises:
        BadRows: everything that is wrong with any of them; nothing was changed.
    """
    sound, found = [], list(faults)
    for number, one in rows:
        if wrong := list(rules.faults_of(number, one)):
            found += wrong
        else:
            sound.append((number, one))
    await store.lock(tx, tenant)
    known_channels = await channels.known(tx, tenant, {one.channel for _, one in sound})
    known_skus = await catalogue.owners_of(tx, tenant, {one.sku for _, one in sound})
    found += rules.contradictions(sound)
    found += rules.unknown(sound, known_channels, known_skus)
    if found:
        raise BadRows(found)
    kept = Kept()
    for part in rules.in_slices(sound, _SLICE):
        counted = await store.upsert(tx, tenant, part, actor)
        removed = await store.remove_others(tx, tenant, part, actor) if replace else 0
        doubled = await store.doubled(tx, tenant, part)
        kept = kept.plus(counted).plus(Kept(removed=removed, doubled=doubled))
    return kept


async def remove(
    runtime: Runtime, tenant: Tenant, link: tuple[str, str, str], sku: str, actor: str
) -> int:
    """Remove what a link is mapped to, or with `sku` that one; return how many mappings went.

    Raises:
        NotFound: there is no such mapping.
    """
    async with runtime.pool.acquire() as connection:
        removed = await store.remove(connection, tenant, link, sku, actor)
    if not removed:
        raise NotFound("there is no such mapping")
    return removed


async def page(runtime: Runtime, wanted: Wanted, item_id: str, sku: str) -> list[ListingView]:
    """Return mappings in the order of their keys."""
    async with runtime.pool.acquire() as connection:
        return await store.page(connection, wanted, item_id, sku)


async def alarms(runtime: Runtime, wanted: Wanted, reason: str) -> list[AlarmView]:
    """Return what stands for no SKU or for several."""
    async with runtime.pool.acquire() as connection:
        return await store.alarms(connection, wanted, reason)
