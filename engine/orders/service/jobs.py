"""What waited in Postgres for the cell, carried out by the settler."""

from typing import Final

import structlog

from engine.infra.cell import Cell
from engine.infra.postgres import Pool
from engine.kernel import codec, limits
from engine.kernel.clock import Clock
from engine.kernel.errors import IdempotencyConflict, WrongAmount
from engine.kernel.types import OrderId
from engine.orders import rules, store
from engine.orders.store import SQL
from engine.orders.types import EventRow
from engine.reservation.service import Reservations, release_all
from engine.reservation.types import Paid, PaymentClaim, ReleaseClaim

_logger: Final = structlog.get_logger()


async def apply_received(pool: Pool, reservations: Reservations, clock: Clock) -> int:
    """Book payments that came while the cell was closed; return how many were looked at.

    What the cell books comes back through the log, which settles the row; what it does not know is
    settled here.
    """
    rows = await pool.fetch(SQL["received_payments"], limits.CLAIMS_PER_CALL_MAX)
    for row in rows:
        payment = PaymentClaim(
            OrderId(row["order_id"]), row["payment_id"], row["amount"], row["currency"],
            row["method"], row["paid_at"], row["stage"], row["actor"],
        )  # fmt: skip
        try:
            paid: Paid = await reservations.confirm(payment)
        except IdempotencyConflict:
            continue  # booked with another amount since the opening: the log settles the row
        except WrongAmount:
            paid = Paid("refund_due", "wrong_amount")
        if paid.outcome == "unknown_order" or paid.reason == "wrong_amount":
            await _settle_here(pool, payment, paid.reason or "too_late", clock.now_ms())
    return len(rows)


async def _settle_here(pool: Pool, payment: PaymentClaim, reason: str, now_ms: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        settled = await connection.fetchval(
            SQL["settle_payment"], payment.order_id, payment.payment_id, "refund_due", reason
        )
        if settled is not None:
            data = {"payment_id": payment.payment_id, "amount": payment.amount, "reason": reason}
            row = EventRow(now_ms, "payment.refund_due", payment.order_id, "", payment.actor, data)
            await connection.execute(
                SQL["call_attention"], payment.order_id, rules.refund_words(reason)
            )
            await store.write_events(connection, [row])


async def give_back(cell: Cell, pool: Pool) -> int:
    """Return units of cancelled confirmed orders to sale; the log settles the rows."""
    rows = await pool.fetch(SQL["pending_returns"], limits.CLAIMS_PER_CALL_MAX)
    if rows:
        claims = [
            (row["return_id"], row["order_id"], codec.decode_json(row["draws"])) for row in rows
        ]
        reply = await cell.call("return", claims)
        for claim, result in zip(claims, reply.results, strict=True):
            if result[0] not in {"RETURNED", "REPEATED"}:
                await _set_return_aside(pool, claim[0], f"return: {result[0]} {result[1]}")
    return len(rows)


async def _set_return_aside(pool: Pool, return_id: str, reason: str) -> None:
    """Units that the cell will not take back: the order says so and the queue goes on."""
    async with pool.acquire() as connection, connection.transaction():
        order_id = await connection.fetchval(SQL["refuse_return"], return_id, reason)
        await connection.execute(SQL["call_attention"], order_id, reason)
    _logger.error("return_refused", return_id=return_id, reason=reason)


async def release_duplicates(cell: Cell, pool: Pool) -> int:
    """Give back second holds of orders that Postgres already had."""
    rows = await pool.fetch(SQL["pending_duplicates"], cell.id, limits.CLAIMS_PER_CALL_MAX)
    if rows:
        claims = [
            ReleaseClaim(
                OrderId(row["order_id"]), f"duplicate:{row['log_id']}", "duplicate", "", "engine"
            )
            for row in rows
        ]
        await release_all(cell, claims)
        await pool.execute(SQL["settle_duplicates"], cell.id, [row["order_id"] for row in rows])
    return len(rows)
