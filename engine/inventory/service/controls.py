"""What a person does during a sale: pause, resume, move units between pools; one script call."""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from engine.campaigns import service as campaigns
from engine.catalogue import service as catalogue
from engine.infra.log import position
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory import rules
from engine.inventory.store import intentions, recorded
from engine.inventory.types import (
    Dimensions,
    MoveFields,
    PauseView,
    PoolName,
    Scope,
    Short,
)
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import IdempotencyConflict, InConflict, NotFound, OutcomeUnknown
from engine.kernel.types import Tenant

_SEPARATOR: Final = rules.SEPARATOR
_RECORDED_WITHIN_S: Final = 1.0
_POLL_S: Final = 0.01
_log: Final = structlog.get_logger()


async def pause(
    runtime: Runtime, tenant: Tenant, name: str, *, scope: Scope, by: str, reason: str
) -> PauseView:
    """Stop a sale with the next claim; pausing a paused one changes nothing.

    Raises:
        NotFound: no such campaign or SKU.
        Closed: the cell is closed, so nothing is sold anyway.
    """
    word, now_ms = await _switch(runtime, tenant, scope, name, (1, by, reason))
    if word == "REPEATED":
        async with runtime.pool.acquire() as connection:
            since = await recorded.paused_since(connection, tenant, scope, name)
        now_ms = to_ms(since) if since else now_ms
    return PauseView(paused=True, since=rfc3339(now_ms))


async def resume(
    runtime: Runtime, tenant: Tenant, name: str, *, scope: Scope, by: str, reason: str
) -> PauseView:
    """Let a sale go on; resuming one that runs changes nothing.

    Raises:
        NotFound: no such campaign or SKU.
        Closed: the cell is closed.
    """
    await _switch(runtime, tenant, scope, name, (0, by, reason))
    return PauseView(paused=False, since=None)


async def move(runtime: Runtime, tenant: Tenant, wanted: MoveFields, actor: str) -> int:
    """Move free units between two pools of a SKU and return how many; a repeat moves nothing more.

    Raises:
        Short: fewer units are free.
        NotFound: no such SKU or pool.
        IdempotencyConflict: the move_id was used for another move.
        InConflict: the same pool twice, one that has ended, or one the cell does not have yet.
    """
    rules.check_move(wanted)
    async with runtime.pool.acquire() as connection, connection.transaction():
        source, target = await ends_of_move(connection, tenant, wanted)
        await remember_move(connection, tenant, wanted, actor)
    await carry_out(runtime, tenant, wanted, (source, target), actor)
    return wanted.units


async def ends_of_move(db: Connection, tenant: Tenant, wanted: MoveFields) -> tuple[str, str]:
    """Return the ids of the pools between which units are to move.

    Raises:
        ValidationFailed: the SKU is a bundle.
        NotFound: no such SKU or pool.
    """
    found = await catalogue.stocked(db, tenant, [wanted.sku])
    if wanted.sku in found and found[wanted.sku].is_bundle:
        codec.refuse("/sku", "is a bundle and has no pools: move units of its components")
    owners = {sku: one.owner for sku, one in found.items()}
    names = [_named(tenant, owners, wanted.sku, one) for one in (wanted.source, wanted.target)]
    ids = await intentions.pools_by_name(db, names)
    if missing := [name for name in names if name not in ids]:
        raise NotFound(f"there is no pool of {_shown(missing[0])}")
    return ids[names[0]], ids[names[1]]


async def remember_move(tx: Connection, tenant: Tenant, wanted: MoveFields, actor: str) -> None:
    """Write down what a move asks for, once.

    Raises:
        IdempotencyConflict: its move_id was used for another one.
    """
    if not await recorded.remember_move(tx, tenant, wanted, actor):
        raise IdempotencyConflict("this move_id was used for another move")


async def carry_out(
    runtime: Runtime, tenant: Tenant, wanted: MoveFields, ends: tuple[str, str], actor: str
) -> None:
    """Have the cell move what was written down, between pools by their ids; done once, if ever.

    Raises:
        Short: fewer units are free.
        InConflict: the same pool twice, one that has ended, or one the cell does not have yet.
        OutcomeUnknown: it may have been done; ask again.
    """
    key = f"{tenant}{_SEPARATOR}{wanted.move_id}"
    claim = [key, *ends, wanted.units, 0, f"moved by {actor}", wanted.keep]
    epoch, _ = await _recorded(runtime)
    reply = await runtime.cell.call("move", [claim])
    _check_moved(*reply.results[0])
    await _until_recorded(runtime, epoch, reply.log_id)
    async with runtime.pool.acquire() as connection:
        await recorded.finish_move(connection, tenant, wanted.move_id, wanted.units)


async def pool_ids(db: Connection, names: Iterable[Dimensions]) -> dict[Dimensions, str]:
    """Return the ids of those of these pools that exist."""
    return await intentions.pools_by_name(db, names)


async def _switch(
    runtime: Runtime, tenant: Tenant, scope: Scope, name: str, how: tuple[int, str, str]
) -> tuple[str, int]:
    if scope == "campaign":
        await campaigns.get(runtime, tenant, name)
    else:
        await catalogue.get(runtime, tenant, name)
    epoch, _ = await _recorded(runtime)
    reply = await runtime.cell.call("pause", [[tenant, scope, name, *how]])
    await _until_recorded(runtime, epoch, reply.log_id)
    return str(reply.results[0][0]), reply.now_ms


async def _until_recorded(runtime: Runtime, epoch: int, log_id: str) -> None:
    """Wait until Postgres has what the cell did: a cell that is lost before forgets it.

    Of orders the processes that accepted them know; of this nobody would. The wait is short: a sale
    can be stopped also while nothing is recorded.

    Raises:
        OutcomeUnknown: the cell was opened anew meanwhile; asked again, it is done once.
    """
    until = runtime.clock.monotonic() + _RECORDED_WITHIN_S
    while True:
        known, last_id = await _recorded(runtime)
        if known > epoch:
            raise OutcomeUnknown("the cell was opened anew meanwhile; ask again")
        if position(last_id) >= position(log_id):
            return
        if runtime.clock.monotonic() > until:
            _log.warning("answered_before_it_is_recorded", log_id=log_id)
            return
        await asyncio.sleep(_POLL_S)


async def _recorded(runtime: Runtime) -> tuple[int, str]:
    async with runtime.pool.acquire() as connection:
        return await recorded.position(connection, runtime.settings.cell)


def _check_moved(word: object, *detail: object) -> None:
    match word:
        case "MOVED" | "REPEATED":
            return
        case "SHORT":
            raise Short(available=detail[0])
        case "UNKNOWN_POOL":
            raise InConflict("the cell does not have one of these pools yet")
        case _:
            raise InConflict("a pool has ended, or both are the same")


def _named(tenant: Tenant, owners: dict[str, str], sku: str, pool: PoolName) -> Dimensions:
    if sku not in owners:
        raise NotFound("there is no such SKU")
    return Dimensions(tenant, owners[sku], sku, pool.channel, pool.campaign, pool.node_group)


def _shown(name: Dimensions) -> str:
    where = f"channel {name.channel}" if name.channel else "the shared units"
    where += f" in campaign {name.campaign}" if name.campaign else ""
    return f"{where} of the nodes {name.node_group}" if name.node_group else where
