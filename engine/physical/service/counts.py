"""Record what warehouses counted: pages of reports in any order, late ones, complete ones."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.kernel import clock, codec
from engine.kernel.errors import IdempotencyConflict
from engine.kernel.types import Tenant
from engine.physical.rules import lines as rules
from engine.physical.rules.lines import Placed, Told
from engine.physical.service import reading
from engine.physical.store import balances as store
from engine.physical.store import nodes
from engine.physical.store import told as kept
from engine.physical.store.balances import Counted, Locked, Move
from engine.physical.store.told import Page
from engine.physical.types.facts import Count
from engine.physical.types.stock import CONDITIONS, CountFields, CountView


class Numbered(NamedTuple):
    """One counted key and where it stood; -1: nowhere, it is one that a report left out."""

    n: int
    counted: Counted


class Outcome(NamedTuple):
    """What became of counts, by their places; `corrected` of the applied ones moved something."""

    applied: list[int]
    stale: list[int]
    corrected: list[int]
    contradicted: list[int]


async def record(
    runtime: Runtime, tenant: Tenant, fields: CountFields, actor: str
) -> dict[str, Any]:
    """Record a page of a count and return its answer; the same page again changes nothing.

    Raises:
        ValidationFailed: also for a node, SKU or unit that does not exist.
        IdempotencyConflict: the page says something else than before, or a key was counted with
            another result under the same as_of and sequence.
    """
    fields = _checked(runtime, fields)
    page = Page(
        fields.node, fields.report, fields.page, fields.pages,
        reading.digest(replace(fields, lines=[], page=1)), reading.digest(fields),
    )  # fmt: skip
    async with runtime.pool.acquire() as connection, connection.transaction():
        known = await kept.known_pages(connection, tenant, page)
        if known.head not in {None, page.head}:
            raise IdempotencyConflict("another page of this report has another head")
        if known.answer is not None:
            if known.digest != page.digest:
                raise IdempotencyConflict("this page of the report came before with other lines")
            answer: dict[str, Any] = codec.decode_json(known.answer)
            return answer
        missing = fields.pages - known.pages - 1
        view = await _record(connection, tenant, fields, missing, actor)
        await kept.keep_page(connection, tenant, page, actor, codec.encode(view).decode())
    await nodes.hear(runtime.pool, tenant, [fields.node])
    return asdict(view)


async def apply(
    tx: Connection, tenant: Tenant, rows: Sequence[Numbered], report: str, actor: str
) -> Outcome:
    """Apply counts, at most one a key, inside the caller's transaction.

    Those that contradict what was counted at the same instant and sequence are not applied.
    """
    locked = await store.lock(tx, [one.counted.key_id for one in rows])
    outcome, newer = Outcome([], [], [], []), []
    for one in rows:
        last, what = locked[one.counted.key_id].last, one.counted.what
        if last is None or last.rank < what.rank:
            outcome.applied.append(one.n)
            newer.append(one)
        elif last.rank == what.rank and last != what:
            outcome.contradicted.append(one.n)
        else:
            outcome.stale.append(one.n)
    after = await store.count(tx, tenant, [one.counted for one in newer], report)
    moves = _corrections(newer, locked, after)
    outcome.corrected.extend(move.n for move in moves)
    await store.record(tx, tenant, store.Told(report, "count", "", actor), moves)
    dated = [one.counted for one in rows]
    await store.date_batches(tx, tenant, dated, {one.counted.key_id for one in newer})
    return outcome


async def _record(
    tx: Connection, tenant: Tenant, fields: CountFields, missing: int, actor: str
) -> CountView:
    scope = (fields.node, fields.owner or "")
    if fields.complete:
        await store.lock_scope(tx, tenant, *scope)
    lines = await _place(tx, tenant, fields)
    ids = await store.key_ids(tx, tenant, {line.key for line in lines})
    rows = [_counted(fields, line, ids[line.key]) for line in lines]
    zero = Count(fields.as_of, fields.sequence, fields.basis, 0)
    if fields.complete and not missing:
        named = set(ids.values())
        left_out = await store.older_keys(tx, tenant, scope, zero) - named
        rows += [Numbered(-1, Counted(key_id, zero)) for key_id in sorted(left_out)]
        await store.complete_scope(tx, tenant, scope, zero, fields.report)
    outcome = await apply(tx, tenant, rows, fields.report, actor)
    if outcome.contradicted:
        told = ", ".join(f"/lines/{n}" for n in outcome.contradicted[: reading.FAULTS_SHOWN_MAX])
        raise IdempotencyConflict(
            "counted before with another result at the same as_of: raise the sequence. " + told
        )
    zeroed = outcome.applied.count(-1)
    return CountView(
        fields.report, fields.page, fields.pages,
        applied=len(outcome.applied) - zeroed,
        stale=len(outcome.stale),
        corrected=len(outcome.corrected),
        zeroed=zeroed,
        pages_missing=missing,
    )  # fmt: skip


async def _place(tx: Connection, tenant: Tenant, fields: CountFields) -> list[Placed]:
    lines = [
        Told(
            n, fields.node, one.sku, fields.owner, one.condition, one.batch, one.unit,
            one.quantity, one.locked,
        )
        for n, one in enumerate(fields.lines)
    ]  # fmt: skip
    placed, faults = await reading.place(tx, tenant, lines)
    if not lines:  # a page may be empty, and its node must still be one
        _, faults = await reading.place(
            tx, tenant, [Told(0, fields.node, "", None, "good", "", "", 0)]
        )
    if any(fault.field == "node" for fault in faults):
        codec.refuse("/node", "there is no such node")
    if lines:
        reading.refuse([*faults, *rules.repeats(placed)])
    return placed


def _checked(runtime: Runtime, fields: CountFields) -> CountFields:
    """Return a page as all of its senders would spell it."""
    codec.identifier(fields.report, "/report")
    codec.identifier(fields.node, "/node")
    if fields.owner:
        codec.identifier(fields.owner, "/owner")
    if fields.complete and fields.owner is None:
        codec.refuse("/owner", "is required with complete: whose keys are counted 0")
    if fields.page > fields.pages:
        codec.refuse("/page", "must not be greater than pages")
    for n, line in enumerate(fields.lines):
        if line.quantity < 0 and fields.basis == "on_hand":
            codec.refuse(f"/lines/{n}/quantity", "must be at least 0 with basis on_hand")
        if (line.produced_on or line.expires_on) and not line.batch:
            codec.refuse(f"/lines/{n}/batch", "is required with dates: they are a batch's")
        if not rules.in_order(line.produced_on, line.expires_on):
            codec.refuse(f"/lines/{n}/expires_on", rules.NOT_IN_ORDER)
    now = clock.instant(runtime.clock.now_ms())
    return replace(
        fields,
        as_of=rules.not_ahead(fields.as_of, now, "/as_of"),
        lines=[replace(line, condition=CONDITIONS[line.condition]) for line in fields.lines],
    )


def _counted(fields: CountFields, line: Placed, key_id: int) -> Numbered:
    told = fields.lines[line.n]
    what = Count(fields.as_of, fields.sequence, fields.basis, line.quantity, line.locked)
    return Numbered(line.n, Counted(key_id, what, told.produced_on, told.expires_on))


def _corrections(
    rows: Sequence[Numbered], locked: dict[int, Locked], after: dict[int, tuple[int, int]]
) -> list[Move]:
    """Return by how much counts moved what we had, where they did."""
    moves = []
    for n, (key_id, what, *_) in rows:
        before, (on_hand, held) = locked[key_id], after[key_id]
        change = on_hand - before.on_hand, held - before.locked
        if any(change):
            moves.append(Move(key_id, n, *change, what.as_of, applied=True))
    return moves
