"""What a person does during a sale that marketplaces must follow: pause, resume, move units."""

from typing import Any

from engine.infra.cell import Cell
from engine.infra.runtime import Runtime
from engine.inventory import rules as inventory_rules
from engine.inventory.service import controls as inventory
from engine.inventory.types import MoveFields, PauseView, Short
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import IdempotencyConflict, InConflict, NotFound
from engine.kernel.types import Tenant
from engine.publications.service import draining, reaching
from engine.publications.store import drains, looking, shelves
from engine.publications.types import Found, ListingShown, SkuPauseView


async def pause_sku(
    runtime: Runtime, tenant: Tenant, sku: str, *, by: str, reason: str
) -> SkuPauseView:
    """Stop the sale of a SKU with the next claim, then have every listing of it show 0.

    Raises:
        NotFound: no such SKU.
        Closed: the cell is closed, so nothing is sold anyway.
    """
    view = await inventory.pause(runtime, tenant, sku, scope="sku", by=by, reason=reason)
    async with runtime.pool.acquire() as connection:
        await shelves.stop_sku(connection, tenant, sku)
        return await _shown(connection, tenant, sku, view)


async def resume_sku(
    runtime: Runtime, tenant: Tenant, sku: str, *, by: str, reason: str
) -> SkuPauseView:
    """Let the sale of a SKU go on; its listings are published again within a second.

    Raises:
        NotFound: no such SKU.
        Closed: the cell is closed.
    """
    view = await inventory.resume(runtime, tenant, sku, scope="sku", by=by, reason=reason)
    async with runtime.pool.acquire() as connection:
        rows = await shelves.listings_of_sku(connection, tenant, sku)
        await looking.tell_changes(connection, {(tenant, row["channel"], sku) for row in rows})
        return await _shown(connection, tenant, sku, view)


async def move(runtime: Runtime, tenant: Tenant, wanted: MoveFields, actor: str) -> Found:
    """Move free units at once, or begin to drain a pool whose units a marketplace shows.

    Raises:
        Short: fewer units are free.
        NotFound: no such SKU or pool.
        IdempotencyConflict: the move_id was used for another move.
        InConflict: the same pool twice, one that has ended, or one the cell does not have yet.
    """
    inventory_rules.check_move(wanted)
    channel = wanted.source.channel
    async with runtime.pool.acquire() as connection:
        known = await drains.find(connection, tenant, wanted.move_id)
        if known is not None and known.asked != wanted:
            raise IdempotencyConflict("this move_id was used for another move")
        drained = bool(channel) and await drains.is_drained(connection, tenant, channel, wanted.sku)
    if known is not None and known.drain is not None:
        return known
    if drained and (known is None or known.moved is None):
        await _drain(runtime, tenant, wanted, actor)
    else:
        await inventory.move(runtime, tenant, wanted, actor)
    return await get_move(runtime, tenant, wanted.move_id)


async def get_move(runtime: Runtime, tenant: Tenant, move_id: str) -> Found:
    """Return a move, whatever became of it.

    Raises:
        NotFound: nobody asked for it.
    """
    async with runtime.pool.acquire() as connection:
        found = await drains.find(connection, tenant, move_id)
    if found is None:
        raise NotFound("there is no such move")
    return found


async def _drain(runtime: Runtime, tenant: Tenant, wanted: MoveFields, actor: str) -> None:
    async with runtime.pool.acquire() as connection:
        ends = await inventory.ends_of_move(connection, tenant, wanted)
        leaving = await drains.units_draining(connection, ends[0])
    assert isinstance(runtime.cell, Cell)
    have = await reaching.pools(runtime.cell, ends)
    if ends[0] == ends[1] or len(have) < len(ends):
        raise InConflict("both pools are the same, or the cell does not have one of them yet")
    free = max(0, have[ends[0]].available - leaving)
    if free < wanted.units:
        raise Short(available=free)
    async with runtime.pool.acquire() as connection, connection.transaction():
        await draining.request(
            connection, tenant, wanted, ends, actor=actor,
            within_s=runtime.settings.move_seconds,
        )  # fmt: skip


async def _shown(db: Any, tenant: Tenant, sku: str, view: PauseView) -> SkuPauseView:
    rows = await shelves.listings_of_sku(db, tenant, sku)
    listings = []
    for row in rows:
        confirmed = row["acked_number"] >= row["number"]
        at = rfc3339(to_ms(row["acked_at"])) if confirmed else None
        listings.append(
            ListingShown(
                row["channel"], row["item_id"], row["sku_id"], row["published"], confirmed, at
            )
        )
    return SkuPauseView(paused=view.paused, since=view.since, listings=listings)
