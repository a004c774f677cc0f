"""Record what happened to units in places: received, lost, moved, locked, found to be broken."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from msgspec.structs import asdict, replace

from engine.infra.postgres import Connection, Pool
from engine.infra.runtime import Runtime
from engine.kernel import codec, limits
from engine.kernel.clock import Clock, instant, rfc3339, to_ms
from engine.kernel.errors import IdempotencyConflict, NotFound
from engine.kernel.ids import fingerprint
from engine.kernel.types import Tenant
from engine.physical.rules import lines as rules
from engine.physical.rules.folding import applies
from engine.physical.rules.lines import Placed, Told
from engine.physical.service import reading
from engine.physical.store import assignments as assigned
from engine.physical.store import balances as store
from engine.physical.store import lists, nodes
from engine.physical.store import told as kept
from engine.physical.store.balances import Move
from engine.physical.types.facts import Assignment
from engine.physical.types.stock import CONDITIONS, MovementFields, MovementView, Posted

FORGOTTEN_PER_CALL_MAX: Final = 1_000


class WriteOff(NamedTuple):
    """By what name units are taken off, and when, by the node's clock, it was seen."""

    reference: str
    kind: Literal["adjustment", "damage"]
    reason: str
    actor: str
    happened_at: datetime


async def record(
    runtime: Runtime, tenant: Tenant, fields: MovementFields, actor: str
) -> dict[str, Any]:
    """Record a movement, all lines of it or none, and return its answer; once per reference.

    Raises:
        ValidationFailed: also for a node, SKU or unit that does not exist.
        IdempotencyConflict: the reference stands for something else.
    """
    codec.identifier(fields.reference, "/reference")
    codec.plain_text(fields.reason, "/reason", 256)
    now = instant(runtime.clock.now_ms())
    told = fields.happened_at
    happened_at = now if told is None else rules.not_ahead(told, now, "/happened_at")
    same = replace(
        fields,
        happened_at=told and happened_at,
        lines=[replace(line, condition=CONDITIONS[line.condition]) for line in fields.lines],
    )
    async with runtime.pool.acquire() as connection, connection.transaction():
        try:
            before = await kept.take_reference(
                connection, tenant, fields.reference, reading.digest(same), actor
            )
        except LookupError:
            raise IdempotencyConflict("the reference stands for another movement") from None
        if before is not None:
            return {"lines_kept": True, **codec.decode_json(before)}
        view = await _record(connection, tenant, same, happened_at, actor)
        text = codec.encode(view).decode()
        await kept.answer_reference(connection, tenant, fields.reference, text)
    await nodes.hear(runtime.pool, tenant, (line.node for line in same.lines))
    return asdict(view)


async def write_off(
    tx: Connection, tenant: Tenant, told: WriteOff, lost: Mapping[Assignment, int]
) -> bool:
    """Take units that a node was to ship, and does not have, off what is there; once a reference.

    It follows `assignments.cancel` or `ship_part` of the same names in the same transaction: their
    keys are locked by it, so that this locks nothing out of turn. A later count, as of after that
    instant, says again what is there. Units below 0 are put back: they were there. False when it
    was done before, or the reference is taken.

    Raises:
        NotFound: there is no such assignment.
    """
    content = sorted((*name, units) for name, units in lost.items())
    same = fingerprint(codec.encode([told.kind, content]))
    try:
        if await kept.take_reference(tx, tenant, told.reference, same, told.actor) is not None:
            return False
    except LookupError:
        return False
    found = await assigned.find(tx, tenant, lost)
    if missing := [name for name in lost if name not in found]:
        raise NotFound("there is no such assignment", assignment=list(missing[0]))
    locked = await store.lock(tx, {one.key_id for one in found.values()})
    moves = []
    for n, (name, units) in enumerate(sorted(lost.items())):
        key_id = found[name].key_id
        last = locked[key_id].last
        applied = applies(told.happened_at, last and last.as_of)
        moves.append(Move(key_id, n, -units, 0, told.happened_at, applied))
    await store.move(tx, tenant, moves)
    named = store.Told(told.reference, told.kind, told.reason, told.actor)
    await store.record(tx, tenant, named, moves)
    view = MovementView(told.reference, told.kind, rfc3339(to_ms(told.happened_at)), [])
    text = codec.encode(view).decode()
    await kept.answer_reference(tx, tenant, told.reference, text)
    return True


async def forget(pool: Pool, clock: Clock) -> int:
    """Forget the lines of old answers, at most FORGOTTEN_PER_CALL_MAX; return of how many.

    A reference stays taken, and what it stands for known. What a page of a count was answered is
    no longer than what is left of these, and stays.
    """
    until = instant(clock.now_ms() - limits.IDEMPOTENCY_KEEP_MS)
    async with pool.acquire() as connection:
        return await kept.prune_references(connection, until, FORGOTTEN_PER_CALL_MAX)


async def _record(
    tx: Connection, tenant: Tenant, fields: MovementFields, happened_at: datetime, actor: str
) -> MovementView:
    lines = await _effects(tx, tenant, fields)
    ids = await store.key_ids(tx, tenant, {line.key for line in lines})
    locked = await store.lock(tx, ids.values())
    moves = []
    for line in lines:
        last = locked[ids[line.key]].last
        applied = applies(happened_at, last and last.as_of)
        key_id = ids[line.key]
        moves.append(Move(key_id, line.n, line.quantity, line.locked, happened_at, applied))
    await store.move(tx, tenant, moves)
    told = store.Told(fields.reference, fields.kind, fields.reason, actor)
    await store.record(tx, tenant, told, moves)
    shown = await lists.balances_of(tx, ids.values())
    posted = [
        Posted(
            *line.key,
            quantity=move.quantity,
            locked=move.locked,
            applied=move.applied,
            why_not="" if move.applied else "before_count",
            balance=shown[move.key_id],
        )
        for line, move in zip(lines, moves, strict=True)
    ]
    return MovementView(fields.reference, fields.kind, rfc3339(to_ms(happened_at)), posted)


async def _effects(tx: Connection, tenant: Tenant, fields: MovementFields) -> list[Placed]:
    lines = [
        Told(n, one.node, one.sku, one.owner, one.condition, one.batch, one.unit, one.quantity)
        for n, one in enumerate(fields.lines)
    ]
    placed, faults = await reading.place(tx, tenant, lines)
    reading.refuse(faults)
    done, faults = rules.effects(fields.kind, placed)
    reading.refuse(faults)
    return done
