"""Refunds and blocks in Postgres; nothing here commits."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from engine.aftersales.types import Block, Line, Refund, Standing
from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.types import OrderId

SQL: Final = queries.load("engine.aftersales")


async def lock(tx: Connection, order_id: OrderId) -> asyncpg.Record | None:
    """Lock an order's row and return it, None when it is not recorded."""
    row: asyncpg.Record | None = await tx.fetchrow(SQL["lock_order"], order_id)
    return row


async def standing(tx: Connection, order: asyncpg.Record) -> Standing:
    """Return a locked order as a refund meets it."""
    paid = await tx.fetchrow(SQL["paid"], order["order_id"])
    assert paid is not None, "a SELECT without FROM has one row"
    lines = await tx.fetch(SQL["lines"], order["order_id"])
    return Standing(
        order["state"], order["payment_state"], order["stock_state"], order["attention"],
        order["currency"], order["payable"], order["version"], paid["applied"], paid["due_back"],
        paid["refunded"],
        {one["line_no"]: Line(one["quantity"], one["open_quantity"], one["refunded"])
         for one in lines},
    )  # fmt: skip


async def refund(tx: Connection, order_id: OrderId, refund_id: str) -> Refund | None:
    """Return a refund, None when it never came."""
    row = await tx.fetchrow(SQL["refund"], order_id, refund_id)
    if row is None:
        return None
    lines = tuple((n, units) for n, units in codec.decode_json(row["lines"]))
    return Refund(
        order_id, refund_id, row["kind"], row["state"], row["amount"], row["currency"], lines
    )


async def count(tx: Connection, order_id: OrderId) -> int:
    """Return how many refunds an order has, in any state."""
    number: int = await tx.fetchval(SQL["count_refunds"], order_id)
    return number


async def requested(tx: Connection, order_id: OrderId) -> list[str]:
    """Return the refunds that are neither done nor rejected, the oldest first."""
    return [row["refund_id"] for row in await tx.fetch(SQL["requested"], order_id)]


async def save(tx: Connection, one: Refund, actor: str) -> None:
    """Write a refund, or the state that it has now."""
    await tx.execute(
        SQL["save_refund"], one.order_id, one.refund_id, one.kind, one.state, one.amount,
        one.currency, codec.encode(one.lines).decode(), actor,
    )  # fmt: skip


async def settle(tx: Connection, order_id: OrderId, payment_state: str, attention: str) -> None:
    """Write what an order's money has become."""
    await tx.execute(SQL["settle_order"], order_id, payment_state, attention)


async def ship_to(tx: Connection, order_id: OrderId) -> dict[str, Any]:
    """Return where an order was to go when it came; empty when it did not say."""
    told = await tx.fetchval(SQL["ship_to"], order_id)
    found: dict[str, Any] = codec.decode_json(told) if told else {}
    return found or {}


async def block(
    tx: Connection, order_id: OrderId, code: str, line_id: str
) -> asyncpg.Record | None:
    """Return one block, also one that has passed; None when there is none."""
    row: asyncpg.Record | None = await tx.fetchrow(SQL["block"], order_id, code, line_id)
    return row


async def set_block(tx: Connection, order_id: OrderId, one: Block, by: str) -> None:
    """Set a block, or change the one that is there."""
    await tx.execute(
        SQL["set_block"], order_id, one.code, one.line_id, one.reason, one.until, by
    )  # fmt: skip


async def lift(tx: Connection, order_id: OrderId, code: str, line_id: str | None) -> list[str]:
    """Lift the blocks of a code, all or of one line; return the lines of those that stood."""
    return [row["line_id"] for row in await tx.fetch(SQL["lift_blocks"], order_id, code, line_id)]


async def blocks(db: "Connection | Pool", order_id: OrderId) -> Sequence[asyncpg.Record]:
    """Return the blocks that stand, the oldest first."""
    rows: list[asyncpg.Record] = await db.fetch(SQL["blocks"], order_id)
    return rows
