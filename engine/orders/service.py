"""Life of an order after it was taken: pay, cancel; and the jobs that carry out what waits."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from engine.infra.cell import Cell
from engine.infra.http.auth import Principal
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec, limits
from engine.kernel.clock import Clock, to_ms
from engine.kernel.errors import (
    Closed,
    EngineError,
    IdempotencyConflict,
    NotCancellable,
    NotFound,
    OutcomeUnknown,
    WrongAmount,
)
from engine.kernel.types import OrderId
from engine.orders import rules, store
from engine.orders.store import SQL
from engine.orders.types import EventRow
from engine.reservation.service import Reservations, release_all
from engine.reservation.stages import Due, due
from engine.reservation.types import (
    PENDING,
    Claim,
    Held,
    HoldRecord,
    Paid,
    PaymentClaim,
    ReleaseClaim,
)

_FOLD_WAIT_S: Final = 3.0
_FOLD_POLL_S: Final = 0.02
_logger: Final = structlog.get_logger()


class PayResult(NamedTuple):
    """`state` is applied, refund_due or received (the cell is closed; applied at opening)."""

    state: str
    reason: str = ""


class CancelResult(NamedTuple):
    """What is left of the order after a cancel."""

    state: str
    payable: int
    currency: str
    log_id: str = ""


class Orders:
    """The verbs of an API process."""

    def __init__(self, reservations: Reservations, pool: Pool, clock: Clock, cell: str) -> None:
        """Bind to the process' reservations and pool."""
        self._reservations = reservations
        self._pool = pool
        self._clock = clock
        self._cell = cell

    async def pay(self, principal: Principal, payment: PaymentClaim) -> PayResult:
        """Book one payment; the same payment_id again gets the same answer.

        Raises:
            NotFound: no such order for this key.
            WrongAmount: not what the order asks for; nothing was booked.
            IdempotencyConflict: this payment_id came before with another amount.
            Closed: the cell is closed and this order is not known here yet; nothing was booked.
        """
        await self._require_visible(principal, payment.order_id)
        try:
            paid = await self._reservations.confirm(payment)
        except (Closed, OutcomeUnknown) as away:
            kept = self._reservations.kept.booked(payment.order_id, payment.payment_id)
            if kept is None:
                return await self._receive(payment, away)
            booked, paid = kept  # before the cell closed, and Postgres may not have it yet
            _require_same(booked.amount, payment)
        except WrongAmount:
            # kept from before and found not to fit: the same payment has the same answer
            known = await self._pool.fetchrow(SQL["payment"], payment.order_id, payment.payment_id)
            if known is None:
                raise
            return _as_before(known, payment)
        if paid.outcome == "unknown_order":
            return await self._pay_recorded(payment)
        return PayResult(paid.outcome, paid.reason)

    async def cancel(self, principal: Principal, claim: ReleaseClaim) -> CancelResult:
        """Cancel an order or lines of it; the same cancel_id again changes nothing.

        Raises:
            NotFound: no such order for this key.
            NotCancellable: it is not open any more, or a line has fewer units left.
            Closed: the cell is closed and the order unpaid; nothing was cancelled.
        """
        currency = await self._require_visible(principal, claim.order_id)
        try:
            word = await self._reservations.release(claim)
        except (Closed, OutcomeUnknown):
            if await self._is_pending(claim.order_id):
                raise
            word = ["ALREADY_CONFIRMED"]
        match word:
            case ["RELEASED" | "REPEATED", state, total]:
                return CancelResult("cancelled" if state == "R" else "open", total, currency)
            case ["CONFLICT", 0]:
                raise NotCancellable("a deposit is paid, or it was cut too often: cancel it whole")
            case ["CONFLICT", n]:
                raise NotCancellable(f"line {n} has fewer units left", line=n)
            case ["ALREADY_RELEASED"]:
                raise NotCancellable("the order is cancelled already")
            case ["EXPIRED"]:
                raise NotCancellable("the order has expired")
            case _:
                return await self._cancel_recorded(claim)

    async def _is_pending(self, order_id: OrderId) -> bool:
        """Whether only the cell may decide: confirmed orders are Postgres' once they are folded."""
        row = await self._row(order_id)
        return row is None or row["stock_state"] == "held"

    async def _require_visible(self, principal: Principal, order_id: OrderId) -> str:
        """Return the order's currency; an order of another tenant or channel does not exist."""
        hold, away = await self._hold(order_id)
        if hold is not None:
            found = (hold.tenant, hold.channel, hold.currency)
        else:
            row = await self._row(order_id)
            if row is None:
                if away or not self._reservations.cell.is_open:
                    raise Closed("the cell is closed and this order is not recorded yet")
                raise NotFound("no such order")
            found = (row["tenant"], row["channel"], row["currency"])
        if found[0] != principal.tenant or principal.channel not in {"", found[1]}:
            raise NotFound("no such order")
        return str(found[2])

    async def _hold(self, order_id: OrderId) -> tuple[HoldRecord | None, bool]:
        """Return what the cell remembers, and whether it did not answer."""
        try:
            return await self._reservations.hold(order_id), False
        except OutcomeUnknown:
            return None, True

    async def _row(self, order_id: OrderId) -> asyncpg.Record | None:
        row: asyncpg.Record | None = await self._pool.fetchrow(SQL["order"], order_id)
        return row

    async def _receive(self, payment: PaymentClaim, away: EngineError) -> PayResult:
        """Keep a payment that the cell could not take; it is booked when the cell opens.

        It is not judged here: what the order asks for, the cell alone knows for certain.
        """
        async with self._pool.acquire() as connection:
            known = await connection.fetchrow(SQL["payment"], payment.order_id, payment.payment_id)
            if known is not None:
                return _as_before(known, payment)
            order = await connection.fetchrow(SQL["order"], payment.order_id)
            if order is None and (await self._hold(payment.order_id))[0] is None:
                raise away
            await receive(connection, [payment])
        return PayResult("received")

    async def _pay_recorded(self, payment: PaymentClaim) -> PayResult:
        """Book on an order that only Postgres remembers: nothing is held for it any more."""
        async with self._pool.acquire() as connection, connection.transaction():
            order = await connection.fetchrow(SQL["lock_order"], payment.order_id)
            if order is None:
                raise OutcomeUnknown("the order is not recorded yet; nothing was booked")
            known = await connection.fetchrow(SQL["payment"], payment.order_id, payment.payment_id)
            if known is not None:
                return _as_before(known, payment)
            reason = "second_payment" if order["payment_state"] == "paid" else "too_late"
            await _add_refund_due(connection, payment, reason, self._clock.now_ms())
        return PayResult("refund_due", reason)

    async def _cancel_recorded(self, claim: ReleaseClaim) -> CancelResult:
        """Cancel a confirmed order where it is decided: in Postgres, once it is folded."""
        deadline = self._clock.monotonic() + _FOLD_WAIT_S
        while True:
            async with self._pool.acquire() as connection, connection.transaction():
                order = await connection.fetchrow(SQL["lock_order"], claim.order_id)
                if order is not None and order["stock_state"] != "held":
                    return await _cancel_confirmed(connection, order, claim, self._clock.now_ms())
            if self._clock.monotonic() > deadline:
                raise OutcomeUnknown("the order is paid but not recorded yet; nothing was done")
            await asyncio.sleep(_FOLD_POLL_S)


def _as_before(known: asyncpg.Record, payment: PaymentClaim) -> PayResult:
    _require_same(known["amount"], payment)
    return PayResult(known["state"], known["reason"])


def _require_same(amount: int, payment: PaymentClaim) -> None:
    if amount != payment.amount:
        raise IdempotencyConflict(
            f"this payment_id came before with an amount of {amount}", amount=amount
        )


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


async def _add_refund_due(tx: Connection, payment: PaymentClaim, reason: str, now_ms: int) -> None:
    added = await tx.fetchval(
        SQL["add_payment"], payment.order_id, payment.payment_id, "refund_due", reason,
        payment.amount, payment.currency, payment.method, payment.stage, payment.paid_at,
        payment.actor,
    )  # fmt: skip
    if added is not None:
        data = {"payment_id": payment.payment_id, "amount": payment.amount, "reason": reason}
        await tx.execute(SQL["call_attention"], payment.order_id, rules.refund_words(reason))
        await store.write_events(
            tx,
            [EventRow(now_ms, "payment.refund_due", payment.order_id, "", payment.actor, data)],
        )


async def _cancel_confirmed(
    tx: Connection, order: asyncpg.Record, claim: ReleaseClaim, now_ms: int
) -> CancelResult:
    """Cancel under the row lock; the units go back by the script `return`, from the queue."""
    known = await tx.fetchrow(SQL["cancel"], claim.order_id, claim.cancel_id)
    if known is not None:
        return CancelResult(order["state"], order["payable"], order["currency"])
    if order["state"] != "open" or order["fulfilment_state"] not in {"unrouted", "routed"}:
        raise NotCancellable(f"the order is {order['state']}, {order['fulfilment_state']}")
    lines = await tx.fetch(SQL["order_lines"], claim.order_id)
    cut = _cut(claim, lines)
    whole = sum(line["open_quantity"] for line in lines) == sum(units for _, units, _ in cut)
    left, back = _take_back(codec.decode_json(order["draws"]), cut)
    money = sum(amount for _, _, amount in cut)
    if whole:
        money = order["payable"]
    await tx.execute(SQL["cancel_order"], claim.order_id, whole, money, codec.encode(left).decode())
    await tx.execute(
        SQL["cut_lines"], [claim.order_id] * len(cut), *map(list, zip(*cut, strict=True))
    )
    await tx.execute(
        SQL["record_cancels"], [claim.order_id], [claim.cancel_id], [claim.kind], [claim.reason],
        [codec.encode(cut).decode()], [claim.actor], [""],
    )  # fmt: skip
    return_id = f"{claim.order_id}:{claim.cancel_id}"
    await tx.execute(
        SQL["queue_return"], return_id, order["cell"], claim.order_id, codec.encode(back).decode()
    )
    kind = "order.cancelled" if whole else "order.lines_cancelled"
    data = {"cancel_id": claim.cancel_id, "reason": claim.reason, "refund": money}
    await store.write_events(tx, [EventRow(now_ms, kind, claim.order_id, "", claim.actor, data)])
    state = "cancelled" if whole else "open"
    return CancelResult(state, order["payable"] - money, order["currency"])


def _cut(claim: ReleaseClaim, lines: list[Any]) -> list[tuple[int, int, int]]:
    """Return (line, units, money) of what is asked, checked against what is left."""
    open_lines = {line["line_no"]: line for line in lines if line["open_quantity"] > 0}
    asked: dict[int, int] = {}
    for n, units in claim.lines:
        asked[n] = asked.get(n, 0) + units
    if not claim.lines:
        asked = {n: line["open_quantity"] for n, line in open_lines.items()}
    cut = []
    for n, units in asked.items():
        line = open_lines.get(n)
        if line is None or units > line["open_quantity"]:
            raise NotCancellable(f"line {n} has fewer units left", line=n)
        cut.append((n, units, line["payable"] * units // line["open_quantity"]))
    if not cut:
        raise NotCancellable("nothing of the order is left")
    return cut


def _take_back(
    draws: list[list[Any]], cut: list[tuple[int, int, int]]
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Split what an order drew into what stays and what goes back, the last drawn first."""
    left = [list(draw) for draw in draws]
    back: list[list[Any]] = []
    for n, units, _ in cut:
        wanted = units
        for draw in reversed(left):
            part = min(wanted, draw[2]) if draw[0] == n else 0
            if part:
                draw[2] -= part
                wanted -= part
                back.append([draw[1], part, n])
    return [draw for draw in left if draw[2] > 0], back


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
    )  # fmt: skip
    return held, rules.status({**row}, blocked=row["blocked"])


async def last_id(db: Connection, cell: str) -> str | None:
    """Return the log id up to which everything is recorded; None for a cell without a row."""
    return await store.last_id(db, cell)
