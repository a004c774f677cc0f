"""Moves out of a marketplace's pool: asked for, waited for, carried out or refused.

Where a drain stands is a row, and the script that moves runs once per move_id: a process that dies
anywhere in here is followed by one that goes on.
"""

from typing import Final

import structlog

from engine.infra import publishing
from engine.infra.cell import Cell
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory.service import controls as inventory
from engine.inventory.types import Dimensions, MoveFields, PoolName, Short
from engine.kernel.errors import InConflict
from engine.kernel.ids import token
from engine.kernel.types import Tenant
from engine.publications.rules import draining as rules
from engine.publications.service import reaching
from engine.publications.store import drains, looking, shelves
from engine.publications.types import Drain, DrainReason, DrainState

WITHIN_SECONDS: Final = 120.0  # as TIDEGATE_MOVE_SECONDS, for who has no settings at hand
_ENGINE: Final = "engine"
_REFUSED_SECONDS: Final = 60.0  # before what a shop refused is tried again; after a drain, planned
_EXCESS_MAX: Final = 50

_log = structlog.get_logger(__name__)


async def request(  # noqa: PLR0913 - what, from where to where, by whom, how long and why
    tx: Connection,
    tenant: Tenant,
    wanted: MoveFields,
    ends: tuple[str, str],
    *,
    actor: str,
    within_s: float,
    reason: str = "",
) -> None:
    """Write a drain down; one whose listing is known to take no lower number is refused at once.

    Raises:
        IdempotencyConflict: the move_id was used for another move.
    """
    await inventory.remember_move(tx, tenant, wanted, actor)
    channel = wanted.source.channel
    drain = Drain(
        tenant, wanted.move_id, *ends, channel, wanted.sku, wanted.units, "requested",
        moving=False, listings=(), overdue=False, actor=actor,
    )  # fmt: skip
    stuck: DrainReason = ""
    if await drains.irreducible(tx, tenant, channel, wanted.sku):
        stuck = "not_reducible"
    if await drains.insert(tx, drain, within_s, stuck):
        await _tell(tx, "requested", drain, reason)
        if stuck:
            await _tell(tx, "refused", drain, stuck)
        else:
            await looking.tell_changes(tx, [(tenant, channel, wanted.sku)])


async def drain(
    tx: Connection,
    pool: Dimensions,
    units: int,
    reason: str,
    within_s: float = WITHIN_SECONDS,
) -> str | None:
    """Begin to bring units of a marketplace's pool to the shared pool; return the move_id.

    For whoever finds in a plan that such a pool has more than it should. While a drain that was
    begun by this is under way out of the pool, that one is returned. None: there is nothing to
    wait for or to move to, because no listing shows these units or a pool does not exist.
    """
    ids = await inventory.pool_ids(tx, [pool, pool.shared])
    source, target = ids.get(pool), ids.get(pool.shared)
    if source is None or target is None or units < 1:
        return None
    if standing := await drains.of_pool(tx, source, _ENGINE):
        return standing
    if not await drains.is_drained(tx, pool.tenant, pool.channel, pool.sku):
        return None
    move_id = f"drain-{token(8)}"
    wanted = MoveFields(
        move_id, pool.sku, units, PoolName(pool.channel, pool.campaign, pool.node_group),
        PoolName(node_group=pool.node_group),
    )  # fmt: skip
    await request(
        tx, pool.tenant, wanted, (source, target), actor=_ENGINE, within_s=within_s, reason=reason
    )
    return move_id


async def drain_excess(runtime: Runtime, db: Connection) -> None:
    """Begin to drain what marketplaces' pools have beyond their policies."""
    for pool, units in await drains.excess(db, _ENGINE, _REFUSED_SECONDS, _EXCESS_MAX):
        async with db.transaction():
            within_s = runtime.settings.move_seconds
            await drain(db, pool, units, "supply_policy", within_s)


async def advance(runtime: Runtime, db: Connection) -> None:
    """Take every drain as far as it can go now.

    Raises:
        Closed: the cell takes nothing now; a later call goes on.
        OutcomeUnknown: likewise.
    """
    cell = runtime.cell
    assert isinstance(cell, Cell)
    standing = await drains.standing(db)
    have = await reaching.pools(cell, {one.source for one in standing})
    for one in standing:
        listings = await drains.confirmed(db, one)
        free = have[one.source].available if one.source in have else 0
        found = rules.step(one, listings, free)
        if found.act == "refuse":
            await _end(db, one, "refused", found.reason, found.told, moving=False)
        elif found.act == "confirm":
            await drains.mark_confirmed(db, one)
        elif found.act == "move" and (one.moving or await drains.mark_moving(db, one)):
            await _move(runtime, db, one)


async def _move(runtime: Runtime, db: Connection, one: Drain) -> None:
    known = await drains.find(db, one.tenant, one.move_id)
    assert known is not None, "it was written down with the drain"
    ends = (one.source, one.target)
    try:
        await inventory.carry_out(runtime, Tenant(one.tenant), known.asked, ends, one.actor)
    except Short:
        await _end(db, one, "refused", "short", moving=True)
    except InConflict as refusal:
        await _end(db, one, "refused", "pool_ended", refusal.detail, moving=True)
    else:
        await _end(db, one, "done", moving=True)


async def _end(
    db: Connection,
    one: Drain,
    state: DrainState,
    reason: DrainReason = "",
    told: str = "",
    *,
    moving: bool,
) -> None:
    """End a drain and have numbers and pools of its SKU made anew, without it."""
    async with db.transaction():
        if await drains.end(db, one, state, reason, told, moving=moving):
            await _tell(db, state, one, reason)
            await looking.tell_changes(db, [(one.tenant, one.channel, one.sku)])
            await publishing.changed(db, Tenant(one.tenant), [one.sku])
            _log.info("drain_ended", move_id=one.move_id, state=state, reason=reason)


async def _tell(tx: Connection, state: DrainState, one: Drain, reason: str) -> None:
    data: dict[str, object] = {
        "tenant": one.tenant, "move_id": one.move_id, "channel": one.channel, "sku": one.sku,
        "units": one.units, "from": one.source, "to": one.target, "reason": reason,
    }  # fmt: skip
    await shelves.write_events(tx, f"drain_{state}", one.actor, [data])
