"""What Postgres has of orders, for those who answer from it or add to it."""

from collections.abc import Sequence

import asyncpg

from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import to_ms
from engine.kernel.errors import IdempotencyConflict
from engine.orders import rules, store
from engine.orders.store import SQL
from engine.orders.types import EventRow
from engine.reservation.bundles import Part
from engine.reservation.stages import Due, due
from engine.reservation.types import PENDING, Claim, Held, PaymentClaim


async def recall(pool: Pool, claim: Claim) -> tuple[Held, str] | None:
    """Return an order as it stands in Postgres, and its status; None when there is none.

    Raises:
        IdempotencyConflict: it is there and said something else.
    """
    row = await pool.fetchrow(SQL["recall"], claim.order_id)
    if row is None:
        return None
    if row["fingerprint"] != claim.fingerprint:
        raise IdempotencyConflict(order_id=claim.order_id)
    pay_by = 0 if row["pay_by"] is None else to_ms(row["pay_by"])
    state = PENDING if row["stock_state"] == "held" else "C"
    held = Held(
        claim.order_id, state, pay_by, row["payable"], row["dropped"], repeated=True,
        stages=(await still_to_pay(pool, row))[1] if state == PENDING else [],
        parts=[Part(*one) for one in codec.decode_json(row["parts"])],
    )  # fmt: skip
    return held, rules.status({**row}, blocked=row["blocked"])


async def last_id(db: Connection, cell: str) -> str | None:
    """Return the log id up to which everything is recorded; None for a cell without a row."""
    return await store.last_id(db, cell)


async def still_to_pay(db: "Connection | Pool", order: asyncpg.Record) -> tuple[int, list[Due]]:
    """Return what is not paid of an unpaid order (minor units), and its stages if it has some."""
    unpaid: int = order["payable"] - await db.fetchval(SQL["applied_amount"], order["order_id"])
    stages = codec.decode_json(order["stages"])
    if not stages:
        return unpaid, []
    lines = await db.fetch(SQL["order_lines"], order["order_id"])
    return unpaid, due(stages, {one["line_no"]: one["open_quantity"] for one in lines}, unpaid)


async def receive(db: "Connection | Pool", payments: Sequence[PaymentClaim]) -> None:
    """Keep payments until the cell says what they are for; one that is known stays as it is."""
    await db.executemany(
        SQL["receive_payment"],
        [
            (one.order_id, one.payment_id, one.amount, one.currency, one.method, one.stage,
             one.paid_at, one.actor)
            for one in payments
        ],
    )  # fmt: skip


async def note(tx: Connection, events: Sequence[EventRow]) -> None:
    """Append to orders' timelines, in the transaction that did what they tell."""
    await store.write_events(tx, events)
