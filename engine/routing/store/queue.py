"""The queue in Postgres: written anew by whoever knows an order, leased by routers."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.routing.types.queue import Late

SQL: Final = queries.load("engine.routing")
_READ_WITHIN_S: Final = 300.0  # one statement over all that is open
_EVENT: Final = ("at", "kind", "order_id", "log_id", "actor", "data")
_encode: Final = msgspec.json.Encoder().encode


class Written(NamedTuple):
    """Columns of a row of the queue."""

    order_id: str
    queue: str
    reason: str
    due_at: datetime | None
    alarm_at: datetime | None
    hops: int
    turn: int
    facts: bytes
    row_version: str


class Leased(NamedTuple):
    """A row as it was when it was leased."""

    order_id: str
    facts: bytes
    row_version: str
    hops: int
    token: int


class Parked(NamedTuple):
    """Columns of what a row becomes that is not done."""

    order_id: str
    queue: str
    reason: str
    due_at: datetime | None
    alarm_at: datetime | None
    facts: bytes
    cancel_at: datetime | None


class Event(NamedTuple):
    """What happened to an order."""

    kind: str
    order_id: str
    actor: str
    data: Mapping[str, object]


async def put(tx: Connection, tenant: Tenant, rows: Sequence[Written]) -> None:
    """Write rows of locked orders; nobody's lease of those that change holds any more."""
    if rows:
        await tx.execute(SQL["put_rows"], tenant, *_columns(rows))


async def withdraw(tx: Connection, order_ids: Collection[str]) -> None:
    """Delete rows of locked orders, and what they wait for."""
    await tx.execute(SQL["withdraw_rows"], sorted(order_ids))


async def claim(
    db: "Connection | Pool", tenant: Tenant, limit: int, lease_s: float
) -> list[Leased]:
    """Lease rows that are due, the longest due first."""
    rows = await db.fetch(SQL["claim"], tenant, limit, timedelta(seconds=lease_s))
    return [
        Leased(row["order_id"], row["facts"], row["row_version"], row["hops"], row["token"])
        for row in sorted(rows, key=lambda row: (row["due_at"], row["turn"], row["order_id"]))
    ]


async def hold(tx: Connection, order_ids: Collection[str], token: int) -> set[str]:
    """Lock rows of locked orders whose lease is this one, and return which they are."""
    return {row["order_id"] for row in await tx.fetch(SQL["hold_rows"], sorted(order_ids), token)}


async def give_back(
    db: "Connection | Pool", order_ids: Collection[str], token: int, due_at: datetime
) -> None:
    """End the lease of rows that are as they were."""
    if order_ids:
        await db.execute(SQL["give_back"], sorted(order_ids), token, due_at)


async def park(tx: Connection, rows: Sequence[Parked], seen_s: float, inputs: int) -> None:
    """Write what held rows of locked orders become, of the orders as they are now.

    They were decided by what was seen at most `seen_s` ago: stock that came since then wakes them,
    and so do other `inputs`.
    """
    if rows:
        await tx.execute(SQL["park_rows"], *_columns(rows), seen_s, inputs)


async def to_cancel(db: "Connection | Pool", tenant: Tenant, limit: int) -> list[str]:
    """Return orders of which the rest is to be cancelled by now."""
    return [row["order_id"] for row in await db.fetch(SQL["to_cancel"], tenant, limit)]


async def hold_to_cancel(tx: Connection, order_id: str) -> bytes | None:
    """Lock the row of a locked order and return its facts; None if it is not to be cancelled."""
    found: bytes | None = await tx.fetchval(SQL["hold_to_cancel"], order_id)
    return found


async def wait_for(
    tx: Connection, tenant: Tenant, order_ids: Collection[str], waits: Collection[tuple[str, str]]
) -> None:
    """Replace what orders wait for; `waits` are (sku, order_id)."""
    await tx.execute(SQL["forget_waits"], sorted(order_ids))
    if waits:
        await tx.execute(SQL["add_waits"], tenant, *_columns(sorted(waits)))


async def wake_waiting(db: "Connection | Pool", tenant: Tenant, limit: int, inputs: int) -> int:
    """Make due whose stock changed, or that were tried by other inputs; return how many."""
    done = await db.execute(SQL["wake_waiting"], tenant, limit, inputs)
    return int(done.rpartition(" ")[2])


async def overdue(tx: Connection, tenant: Tenant, limit: int) -> list[Late]:
    """Return rows whose alarm was not raised yet; it is now."""
    return [Late(*row) for row in await tx.fetch(SQL["overdue"], tenant, limit)]


async def counts(db: "Connection | Pool", tenant: Tenant) -> dict[str, tuple[int, float]]:
    """Return how many orders are in each queue, and for how many seconds the first."""
    rows = await db.fetch(SQL["count_queue"], tenant)
    return {row["queue"]: (row["orders"], row["oldest_s"]) for row in rows}


async def nowhere(db: "Connection | Pool", reader: str) -> int:
    """Return how many orders that are to be sent are neither waiting nor with a node."""
    number: int = await db.fetchval(SQL["nowhere"], reader, timeout=_READ_WITHIN_S)
    return number


async def write_events(tx: Connection, events: Sequence[Event], at: datetime) -> None:
    """Append to timelines and outbox."""
    if events:
        await tx.copy_records_to_table(
            "events",
            columns=_EVENT,
            records=[
                (at, one.kind, one.order_id, "", one.actor, _encode(one.data).decode())
                for one in events
            ],
        )


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def broken(db: "Connection | Pool", tenant: Tenant) -> int:
    """Return how many order lines were sold and cannot be sent."""
    found: int = await db.fetchval(SQL["count_broken"], tenant)
    return found


async def traces_of(db: "Connection | Pool", order_ids: Collection[str]) -> dict[str, str]:
    """Return the traceparents in which orders were placed, of those that have one."""
    rows = await db.fetch(SQL["traces_of"], [*order_ids])
    return {row["order_id"]: row["trace"] for row in rows}
