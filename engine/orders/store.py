"""Statements of the recorder: what a stretch of the log becomes in Postgres.

New rows go by COPY, which costs both sides least; what changes rows goes by `unnest`. Nothing here
commits; the service owns the transaction.

Where rows are counted by the thousand, a struct becomes a row by `astuple`, its fields being in the
order of the columns, and instants stay the ms that they are: `recording` makes such a connection.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg
from msgspec.structs import astuple

from engine.infra import publishing, queries
from engine.infra.log import Entry
from engine.infra.postgres import Connection, connect
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.events import Checkpoint, Granted, LogEvent, Moved, Opened, PauseSet
from engine.kernel.limits import OWNERSHIP_SECONDS
from engine.orders.synced import readdressed
from engine.orders.types import (
    CHANGE_REQUESTED,
    NOTHING,
    BlockRow,
    Changes,
    EventRow,
    Logged,
    NewLine,
    NewOrder,
    Owed,
    Patch,
    PaymentRow,
    Post,
)
from engine.shipments.service.addresses import note_told

SQL: Final = queries.load("engine.orders")

_ORDER_FIELDS: Final = NewOrder.__struct_fields__
_ORDER_COLUMNS: Final = ("cell", *_ORDER_FIELDS)
_LEDGER_COLUMNS: Final = (
    "cell", "log_id", "n", "kind", "reference", "pool_id", "granted", "owed", "available", "held",
    "sold",
)  # fmt: skip
_EVENT_COLUMNS: Final = ("at", "kind", "order_id", "log_id", "actor", "data")
_PAYMENT_COLUMNS: Final = (
    "order_id", "payment_id", "state", "reason", "amount", "currency", "method", "stage", "paid_at",
    "log_id", "actor",
)  # fmt: skip
_SNAPSHOT_FIELDS: Final = (
    "order_id", "campaign", "buyer_id", "kind", "state", "payment_state", "stock_state", "currency",
    "fulfilment_state", "payable", "pay_by", "held_until", "fingerprint", "placed_at", "draws",
    "counters", "document", "version", "source_status", "tenant", "channel", "channel_order_id",
    "attention",
)  # fmt: skip
_LINE_FIELDS: Final = NewLine.__struct_fields__
_BUNDLED_FIELDS: Final = (*_LINE_FIELDS, "part_of", "per")
_PATCH_FIELDS: Final = Patch.__struct_fields__
_PAID: Final = Patch(payment_state="paid", stock_state="committed", stages=NOTHING)
_POOL_TOTALS: Final = 5
REFERENCE: Final = (Moved, PauseSet, Checkpoint, Opened)  # what `save_reference` is about
_OWNERSHIP: Final = timedelta(seconds=OWNERSHIP_SECONDS)
_MS_AT_2000: Final = 946_684_800_000  # where Postgres counts from


async def recording(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection on which instants are ms since the epoch, not datetimes."""
    connection = await connect(dsn)
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda at_ms: ((at_ms - _MS_AT_2000) * 1_000,),
        decoder=lambda us: us[0] // 1_000 + _MS_AT_2000,
    )
    return connection


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


async def post(
    tx: Connection, cell: str, rows: Sequence[Post], grants: Sequence[tuple[Granted, str]]
) -> list[tuple[str, str]]:
    """Write the ledger and move the pools; return (tenant, sku) of pools that do not add up.

    Of `grants`, each with the id of its log entry, it is noted what came of them.
    """
    if not rows and not grants:
        return []
    ledger = [(cell, *row) for row in rows]
    await tx.copy_records_to_table("ledger", records=ledger, columns=_LEDGER_COLUMNS)
    pools = [one.subject for one, _ in grants]
    moved = await tx.fetch(
        SQL["move_pools"], cell, sorted({row[0] for row in rows}), pools,
        [one.seq for one, _ in grants],
    )  # fmt: skip
    if grants:
        await _settle(tx, grants)
    return [(row["tenant"], row["sku"]) for row in moved if row["broken"]]


async def save(tx: Connection, cell: str, changes: Changes, *, anew: bool = False) -> set[str]:
    """Write what happened to orders and return those that are new; a known one is a duplicate.

    `anew` says that none is, as nearly always; if that is wrong, the transaction is lost. Where
    there are orders or events, `tx` is a connection made by `recording`.
    """
    new = await _insert_orders(tx, cell, list(changes.orders.values()), anew=anew)
    merged = await _merge_forgotten(tx, cell, changes, new)
    lines = [line for line in changes.lines.values() if line.order_id in new]
    if lines:
        values, columns = [astuple(line) for line in lines], _LINE_FIELDS
        if changes.parts:
            columns = _BUNDLED_FIELDS
            values = [(*row, *changes.parts.get(row[:2], (0, 0))) for row in values]
        await tx.copy_records_to_table("order_lines", records=values, columns=columns)
    await _adopt(tx, changes)
    await _patch(tx, changes)
    # a newer snapshot tells payments that are here once more
    await _pay(tx, changes.payments, anew=anew and not changes.snapshots)
    await _cancel(tx, changes)
    if changes.blocks:
        known = new | changes.snapshots.keys()
        rows = [block for block in changes.blocks if block.order_id in known]
        await tx.execute(SQL["set_blocks"], *_columns(rows, width=6))
    repaid = await _settle_debts(tx, changes)
    if changes.returns:
        await tx.execute(SQL["finish_returns"], *_columns(changes.returns))
    told = new | merged
    again = [order for order_id, order in changes.orders.items() if order_id not in told]
    twice = [*((o.log_id, o.order_id, o.accepted_at) for o in again), *changes.twice]
    if twice:
        await tx.execute(
            SQL["note_duplicates"], cell, [one[0] for one in twice], [one[1] for one in twice]
        )
    doubled = [
        EventRow(at, "order.duplicate", order_id, log_id, "engine", {})
        for log_id, order_id, at in twice
    ]
    first = [event for event in changes.events if not event.of_new or event.order_id in told]
    await write_events(tx, [*first, *doubled, *repaid], int)
    return new


async def _merge_forgotten(tx: Connection, cell: str, changes: Changes, new: set[str]) -> set[str]:
    """Take snapshots that the cell thought were first ones for what they are; return the orders.

    Units that the order had drawn before are sold twice as far as the cell knows: they go back.
    """
    if len(new) == len(changes.orders):
        return set()
    known = [one for one in changes.orders.values() if one.version and one.order_id not in new]
    if known:
        log_ids, order_ids = [one.log_id for one in known], [one.order_id for one in known]
        await tx.execute(SQL["return_forgotten"], log_ids, order_ids)
        await tx.execute(SQL["note_merged"], cell, log_ids, order_ids)
        changes.snapshots.update({one.order_id: one for one in known})
        lines = {key: line for key, line in changes.lines.items() if key[0] in set(order_ids)}
        changes.snapshot_lines.update(lines)
    return {one.order_id for one in known}


async def _adopt(tx: Connection, changes: Changes) -> None:
    """Write what newer snapshots say of orders that are here."""
    if changes.snapshots:
        rows = list(changes.snapshots.values())
        before = await tx.fetch(SQL["lock_told"], list(changes.snapshots))
        await tx.execute(SQL["adopt_snapshots"], *_attributes(rows, _SNAPSHOT_FIELDS))
        lines = list(changes.snapshot_lines.values())
        await tx.execute(SQL["adopt_lines"], *_attributes(lines, _LINE_FIELDS))
        parts = [(*key, *of) for key, of in changes.parts.items() if key[0] in changes.snapshots]
        if parts:
            await tx.execute(SQL["mark_parts"], *_columns(parts))
        await tx.execute(SQL["reorder_shorts"], list(changes.snapshots))
        paid = [(one.order_id, one.payment.payment_id) for one in changes.payments]
        await tx.execute(SQL["forget_payments"], list(changes.snapshots), *_columns(paid, width=2))
        marks = [(one.order_id, one.code, one.line_id) for one in changes.blocks]
        await tx.execute(SQL["clear_marks"], list(changes.snapshots), *_columns(marks, width=3))
        if before:
            await _readdress(tx, changes, {row["order_id"]: row["ship_to"] for row in before})
    if changes.unmapped:
        await tx.execute(SQL["note_unmapped"], *_columns(changes.unmapped))


async def _readdress(tx: Connection, changes: Changes, before: Mapping[str, str | None]) -> None:
    """Hold orders of which nodes have something that goes to another address by now.

    Whoever settles it asks that it be stopped; until that is answered nothing of them is sent.
    """
    told = [
        moved
        for order_id, ship_to in before.items()
        if (moved := readdressed(changes.snapshots[order_id], ship_to))
    ]
    for order_id, one in await note_told(tx, told) if told else ():
        row, reason = changes.snapshots[order_id], CHANGE_REQUESTED.format(one.change_id)
        at, log_id = row.accepted_at, row.log_id
        changes.blocks.append(BlockRow(order_id, "address_change", "", reason, at, row.actor))
        data = {"change_id": one.change_id, "revision": one.revision, "region": one.region}
        blocked = {"code": "address_change", "line_id": "", "reason": reason}
        changes.events += [
            EventRow(at, "order.address_told", order_id, log_id, row.actor, data),
            EventRow(at, "order.blocked", order_id, log_id, row.actor, blocked),
        ]


async def _settle_debts(tx: Connection, changes: Changes) -> list[EventRow]:
    """Book what is owed and repaid in the order of the log; return what to tell of it."""
    touched, told = set(changes.snapshots), []
    newly = sorted({one.order_id for one in changes.debts if isinstance(one, Owed)})
    waiting: dict[tuple[str, str], Owed] = {}
    for debt in changes.debts:
        if isinstance(debt, Owed):
            touched.add(debt.order_id)
            key = (debt.order_id, debt.pool_id)
            before = waiting[key].units if key in waiting else 0
            waiting[key] = debt._replace(units=debt.units + before)
            continue
        await _owe(tx, waiting)
        for row in await tx.fetch(SQL["repay"], debt.pool_id, debt.units, debt.order_id):
            touched.add(row["order_id"])
            if row["order_id"] != debt.order_id:
                data = {"units": row["part"], "lacking": row["lacking"], "pool_id": debt.pool_id}
                kind = "order.short_repaid"
                told.append(EventRow(debt.at, kind, row["order_id"], debt.log_id, "engine", data))
    await _owe(tx, waiting)
    if others := sorted(touched - changes.snapshots.keys()):  # these were locked to be adopted
        await tx.execute(SQL["lock_orders"], others)
    if touched:
        await tx.execute(SQL["settle_shorts"], sorted(touched), newly)
    return told


async def _owe(tx: Connection, waiting: dict[tuple[str, str], Owed]) -> None:
    if waiting:
        rows = [(one.order_id, one.pool_id, one.line_no, one.units) for one in waiting.values()]
        await tx.execute(SQL["owe"], *_columns(rows))
        waiting.clear()


async def write_events(
    tx: Connection, events: Sequence[EventRow], moment: Callable[[int], object] = instant
) -> None:
    """Append events to timelines and outbox; `moment` makes of ms what `tx` takes."""
    if events:
        rows = [
            (moment(one.at), one.kind, one.order_id, one.log_id, one.actor, _json(one.data))
            for one in events
        ]
        await tx.copy_records_to_table("events", records=rows, columns=_EVENT_COLUMNS)


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
    """Write what one entry of the log says of moves, pauses and the cell."""
    for event in events:
        match event:
            case Moved():
                await _move(tx, cell, event)
            case PauseSet():
                await _pause(tx, event)
            case Opened() if event.shift_to:
                await tx.execute(SQL["note_shift"], cell, event.shift_from, event.shift_to)
            case Checkpoint():
                await _compare(tx, cell, recorded, log_id, event)
            case _:
                pass


async def _settle(tx: Connection, grants: Sequence[tuple[Granted, str]]) -> None:
    columns = _columns(
        [
            (one.subject, one.seq, one.applied, log_id, one.asked, one.reason, one.reference)
            for one, log_id in grants
        ]
    )
    done = await tx.execute(SQL["settle_grants"], *columns[:4])
    if done != f"UPDATE {len(grants)}":
        await tx.execute(SQL["adopt_grants"], *columns)
    if any(one.asked < 0 for one, _ in grants):  # the planner waits for what could be taken away
        await publishing.wake(tx)


async def _move(tx: Connection, cell: str, event: Moved) -> None:
    await tx.execute(SQL["note_move"], cell, event.subject, event.at)
    if event.ended:
        await tx.execute(SQL["end_pools"], [event.source], [event.target])


async def _pause(tx: Connection, event: PauseSet) -> None:
    if event.on:
        args = (event.tenant, event.subject, event.name, event.at, event.by, event.reason)
        await tx.execute(SQL["set_pause"], *args)
    else:
        await tx.execute(SQL["lift_pause"], event.tenant, event.subject, event.name)


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


async def _insert_orders(
    tx: Connection, cell: str, orders: Sequence[NewOrder], *, anew: bool
) -> set[str]:
    """Insert and return the ids of those that were not there."""
    if not orders:
        return set()
    if anew:
        rows = [(cell, *astuple(order)) for order in orders]
        await tx.copy_records_to_table("orders", records=rows, columns=_ORDER_COLUMNS)
        return {order.order_id for order in orders}
    found = await tx.fetch(SQL["insert_orders"], cell, *_attributes(orders, _ORDER_FIELDS))
    return {row["order_id"] for row in found}


async def _patch(tx: Connection, changes: Changes) -> None:
    # nearly all are payments of a whole order: one column for them, not twelve
    paid = [order_id for order_id, patch in changes.patches.items() if patch == _PAID]
    if paid:
        await tx.execute(SQL["settle_orders"], paid)
    if len(paid) < len(changes.patches):
        patches = {key: patch for key, patch in changes.patches.items() if patch != _PAID}
        columns = _attributes(list(patches.values()), _PATCH_FIELDS)
        await tx.execute(SQL["patch_orders"], list(patches), *columns)
    if changes.line_cuts:
        rows = [(*key, *cut) for key, cut in changes.line_cuts.items()]
        await tx.execute(SQL["cut_lines"], *_columns(rows))


async def _pay(tx: Connection, payments: Sequence[PaymentRow], *, anew: bool) -> None:
    if not payments:
        return
    first = {(row.order_id, row.payment.payment_id): row for row in payments[::-1]}
    rows = [
        (
            row.order_id, row.payment.payment_id, row.state, row.reason, row.payment.amount,
            row.payment.currency, row.payment.method, row.payment.stage,
            row.payment.paid_at or None, row.log_id, row.payment.actor,
        )
        for row in first.values()
    ]  # fmt: skip
    if anew:
        await tx.copy_records_to_table("payments", records=rows, columns=_PAYMENT_COLUMNS)
    else:
        await tx.execute(SQL["record_payments"], *_columns(rows))


async def _cancel(tx: Connection, changes: Changes) -> None:
    if changes.cancels:
        rows = [
            (
                row.order_id, row.cancel_id, row.kind, row.reason, _json(row.lines), row.actor,
                row.log_id,
            )
            for row in changes.cancels
        ]  # fmt: skip
        await tx.execute(SQL["record_cancels"], *_columns(rows))


def _columns(rows: Sequence[Sequence[Any]], width: int = 0) -> list[list[Any]]:
    """Turn rows into the columns that unnest takes; `width` is for when there are none."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _attributes(rows: Sequence[object], names: Sequence[str]) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]


def _json(value: object) -> str:
    return codec.encode(value).decode()
