"""Orders under their lock, decisions, and promises that were broken, in Postgres."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.routing")
_DECISION: Final = (
    "order_id", "n", "tenant", "at", "plan", "version", "stage", "rule", "verdict", "queue",
    "reason", "snapshot_hash", "inputs", "trace",
)  # fmt: skip


class Standing(NamedTuple):
    """A locked order: whether something holds it, and its next decision and shipment."""

    held: bool
    decision: int
    shipment: int


class Recorded(NamedTuple):
    """Columns of a decision."""

    order_id: str
    n: int
    tenant: str
    at: datetime
    plan: str
    version: int
    stage: int
    rule: int
    verdict: str
    queue: str
    reason: str
    snapshot_hash: int
    inputs: bytes
    trace: bytes


class Lack(NamedTuple):
    """Columns of a promise that cannot be kept."""

    order_id: str
    line_no: int
    sku: str
    node_group: str
    units: int
    reason: str


class Changed(NamedTuple):
    """A promise that is broken now, or kept again."""

    order_id: str
    line_no: int
    sku: str
    units: int


async def lock_orders(tx: Connection, order_ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Lock orders, in the order of their ids; return (version of the row, state)."""
    rows = await tx.fetch(SQL["lock_orders"], sorted(order_ids))
    return {row["order_id"]: (row["row_version"], row["state"]) for row in rows}


async def standing(tx: Connection, order_ids: Collection[str]) -> dict[str, Standing]:
    """Return how locked orders stand."""
    rows = await tx.fetch(SQL["standing"], sorted(order_ids))
    return {
        row["order_id"]: Standing(row["held"], row["decision"], row["shipment"]) for row in rows
    }


async def record(tx: Connection, rows: Sequence[Recorded]) -> None:
    """Append decisions, in one COPY."""
    if rows:
        await tx.copy_records_to_table("routing_decisions", records=rows, columns=_DECISION)


async def break_promises(
    tx: Connection, tenant: Tenant, lacks: Sequence[Lack], at: datetime
) -> list[Changed]:
    """Write promises that cannot be kept; return those that were not broken before."""
    if not lacks:
        return []
    rows = await tx.fetch(SQL["break_promises"], tenant, at, *_columns(lacks))
    return [_changed(row) for row in rows]


async def keep_promises(
    tx: Connection, order_ids: Collection[str], still: Collection[tuple[str, int]], at: datetime
) -> list[Changed]:
    """End what is broken of orders but of those (order, line); return what is kept after all."""
    if not order_ids:
        return []
    waiting = sorted(f"{order_id}:{line_no}" for order_id, line_no in still)
    rows = await tx.fetch(SQL["keep_promises"], sorted(order_ids), waiting, at)
    return [_changed(row) for row in rows]


async def add_rejection(  # noqa: PLR0913 - the columns of a row
    tx: Connection, tenant: Tenant, order_id: str, node: str, units: Sequence[tuple[int, int]],
    *, reason: str, stock_effect: str, until: datetime | None, actor: str, at: datetime,
    shipment_id: str = "",
) -> None:  # fmt: skip
    """Note that a node refused (line_no, units) of a locked order."""
    await tx.execute(
        SQL["add_rejection"], order_id, node, tenant, reason, stock_effect, until, actor, at,
        shipment_id, *_columns(units),
    )  # fmt: skip


async def taken_off(tx: Connection, order_id: str, shipment_id: str) -> dict[int, int]:
    """Return the units by line that were taken off stock because a shipment of them was refused."""
    rows = await tx.fetch(SQL["taken_off"], order_id, shipment_id)
    return {row["line_no"]: row["units"] for row in rows}


async def excluded(
    tx: Connection, order_ids: Collection[str]
) -> dict[str, list[tuple[int, str, datetime]]]:
    """Return (line_no, node, until) that are not to be asked, of each order that has any.

    The greatest instant there is stands for good.
    """
    found: dict[str, list[tuple[int, str, datetime]]] = {}
    for row in await tx.fetch(SQL["excluded"], sorted(order_ids)):
        one = row["line_no"], row["node"], row["until"]
        found.setdefault(row["order_id"], []).append(one)
    return found


async def forget_decisions(db: "Connection | Pool", before: datetime, limit: int) -> int:
    """Delete decisions of before; return how many."""
    done = await db.execute(SQL["forget_decisions"], before, limit)
    return int(done.rpartition(" ")[2])


def _changed(row: Any) -> Changed:
    return Changed(row["order_id"], row["line_no"], row["sku"], row["units"])


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
