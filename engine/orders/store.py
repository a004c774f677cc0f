"""Statements of the recorder: what a stretch of the log becomes in Postgres.

Nothing here commits; the service owns the transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final

from engine.infra import queries
from engine.infra.log import Entry
from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.events import Checkpoint, Granted, LogEvent, Moved, PauseSet
from engine.kernel.limits import OWNERSHIP_SECONDS
from engine.orders.types import Changes, EventRow, Logged, NewLine, NewOrder, Patch, Post

SQL: Final = queries.load("engine.orders")

_ORDER_FIELDS: Final = tuple(field.name for field in fields(NewOrder))
_LINE_FIELDS: Final = tuple(field.name for field in fields(NewLine))
_PATCH_FIELDS: Final = tuple(field.name for field in fields(Patch))
_JSON: Final = frozenset({"draws", "counters", "stages"})
_POOL_TOTALS: Final = 5
_OWNERSHIP: Final = timedelta(seconds=OWNERSHIP_SECONDS)


async def advance(  # noqa: PLR0913, PLR0917 - the compare-and-set names all it compares
    tx: Connection, cell: str, owner: str, epoch: int, start: str, end: str, claims: int
) -> int | None:
    """Move the cell's position; return how many claims are recorded, None if it was not ours."""
    recorded: int | None = await tx.fetchval(
        SQL["advance"], cell, end, claims, owner, _OWNERSHIP, epoch, start
    )
    return recorded


async def last_id(db: Connection, cell: str) -> str | None:
    """Return the position in the log that Postgres has recorded up to."""
    row = await db.fetchrow(SQL["position"], cell)
    return None if row is None else str(row["last_id"])


async def own(tx: Connection, cell: str, owner: str) -> bool:
    """Take or keep the right to record; False while another recorder has it."""
    return await tx.fetchval(SQL["own"], cell, owner, _OWNERSHIP) is not None


async def post(tx: Connection, cell: str, rows: Sequence[Post]) -> list[tuple[str, str]]:
    """Write the ledger and move the pools; return (tenant, sku) of pools that do not add up."""
    if not rows:
        return []
    moved = await tx.fetch(SQL["post"], cell, *_columns(rows))
    return [(row["tenant"], row["sku"]) for row in moved if row["broken"]]


async def save(tx: Connection, cell: str, changes: Changes) -> None:
    """Write what happened to orders; an order that is there already becomes a duplicate."""
    new = await _insert_orders(tx, cell, list(changes.orders.values()))
    lines = [line for line in changes.lines.values() if line.order_id in new]
    if lines:
        await tx.execute(SQL["insert_lines"], *_attributes(lines, _LINE_FIELDS))
    await _patch(tx, changes)
    await _payments_and_cancels(tx, changes)
    if changes.blocks:
        rows = [block for block in changes.blocks if block.order_id in new]
        await tx.execute(SQL["set_blocks"], *_columns(rows, width=6))
    if changes.returns:
        await tx.execute(SQL["finish_returns"], *_columns(changes.returns))
    twice = [
        *(
            (o.log_id, o.order_id, o.accepted_at)
            for o in changes.orders.values()
            if o.order_id not in new
        ),
        *changes.twice,
    ]
    if twice:
        await tx.execute(
            SQL["note_duplicates"], cell, [one[0] for one in twice], [one[1] for one in twice]
        )
    again = [
        EventRow(at, "order.duplicate", order_id, log_id, "engine", {})
        for log_id, order_id, at in twice
    ]
    first = [event for event in changes.events if not event.of_new or event.order_id in new]
    await write_events(tx, [*first, *again])


async def write_events(tx: Connection, events: Sequence[EventRow]) -> None:
    """Append events to timelines and outbox."""
    if events:
        rows = [
            (event.at, event.kind, event.order_id, event.log_id, event.actor, _json(event.data))
            for event in events
        ]
        await tx.execute(SQL["write_events"], *_columns(rows))


async def bury(tx: Connection, cell: str, logged: Logged, reason: str, packed: bytes) -> None:
    """Keep an event that Postgres refused, whole."""
    kind = type(logged.event).__name__.lower()
    await tx.execute(
        SQL["write_dead_letter"],
        cell,
        logged.log_id,
        logged.event.subject.replace("\x00", ""),
        kind,
        reason,
        packed,
        logged.payload,
    )


async def bury_entry(tx: Connection, cell: str, entry: Entry, reason: str) -> None:
    """Keep a log entry that cannot be read at all, whole."""
    payload = b"\n".join(entry.payloads)
    await tx.execute(
        SQL["write_dead_letter"], cell, entry.log_id, "", "entry", reason, entry.events, payload
    )


async def save_reference(
    tx: Connection, cell: str, recorded: int, log_id: str, events: Iterable[LogEvent]
) -> None:
    """Write what the log says about pools, pauses and checkpoints, one entry at a time."""
    grants = []
    for event in events:
        match event:
            case Granted():
                grants.append((event.subject, event.seq, event.applied, log_id))
            case Moved() if event.ended:
                await tx.execute(SQL["end_pools"], [event.source], [event.target])
            case PauseSet() if event.on:
                args = (event.tenant, event.subject, event.name, event.at, event.by, event.reason)
                await tx.execute(SQL["set_pause"], *args)
            case PauseSet():
                await tx.execute(SQL["lift_pause"], event.tenant, event.subject, event.name)
            case Checkpoint():
                await _compare(tx, cell, recorded, log_id, event)
            case _:
                pass
    if grants:
        await tx.execute(SQL["settle_grants"], *_columns(grants))


async def _compare(
    tx: Connection, cell: str, recorded: int, log_id: str, event: Checkpoint
) -> None:
    await tx.execute(
        SQL["open_checkpoint"],
        event.subject,
        cell,
        log_id,
        event.at,
        event.accepted,
        recorded,
        event.parts,
    )
    rows = [(pool_id, *totals[:_POOL_TOTALS]) for pool_id, totals in event.pools]
    await tx.execute(SQL["compare_pools"], event.subject, *_columns(rows, width=6))


async def _insert_orders(tx: Connection, cell: str, orders: Sequence[NewOrder]) -> set[str]:
    if not orders:
        return set()
    rows = await tx.fetch(SQL["insert_orders"], cell, *_attributes(orders, _ORDER_FIELDS))
    return {row["order_id"] for row in rows}


async def _patch(tx: Connection, changes: Changes) -> None:
    if changes.patches:
        columns = _attributes(list(changes.patches.values()), _PATCH_FIELDS)
        await tx.execute(SQL["patch_orders"], list(changes.patches), *columns)
    if changes.line_cuts:
        rows = [(*key, *cut) for key, cut in changes.line_cuts.items()]
        await tx.execute(SQL["cut_lines"], *_columns(rows))


async def _payments_and_cancels(tx: Connection, changes: Changes) -> None:
    if changes.payments:
        latest = {(row.order_id, row.payment.payment_id): row for row in changes.payments[::-1]}
        rows = [
            (
                row.order_id, row.payment.payment_id, row.state, row.reason, row.payment.amount,
                row.payment.currency, row.payment.method, row.payment.stage, row.payment.paid_at,
                row.log_id, row.payment.actor,
            )
            for row in latest.values()
        ]  # fmt: skip
        await tx.execute(SQL["record_payments"], *_columns(rows))
    if changes.cancels:
        cancels = [
            (
                row.order_id,
                row.cancel_id,
                row.kind,
                row.reason,
                _json(row.lines),
                row.actor,
                row.log_id,
            )
            for row in changes.cancels
        ]
        await tx.execute(SQL["record_cancels"], *_columns(cancels))


def _columns(rows: Sequence[Sequence[Any]], width: int = 0) -> list[list[Any]]:
    """Turn rows into the columns that unnest takes; `width` is for when there are none."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _attributes(rows: Sequence[object], names: Sequence[str]) -> list[list[Any]]:
    columns = []
    for name in names:
        values = [getattr(row, name) for row in rows]
        if name in _JSON:
            values = [None if value is None else _json(value) for value in values]
        columns.append(values)
    return columns


def _json(value: object) -> str:
    return codec.encode(value).decode()
