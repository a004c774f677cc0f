"""The verbs of an API process: pay and cancel, whoever decides them."""

import asyncio
from typing import Final, NamedTuple

import asyncpg

from engine.infra.http.auth import Principal
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import Clock
from engine.kernel.errors import (
    Closed,
    EngineError,
    IdempotencyConflict,
    NotCancellable,
    OutcomeUnknown,
    WrongAmount,
    WrongCall,
)
from engine.kernel.types import OrderId
from engine.orders import rules
from engine.orders.service.access import FOLD_POLL_S, FOLD_WAIT_S, Access, Seen
from engine.orders.service.cancelling import CancelResult, cancel_or_stop, is_pending
from engine.orders.service.recorded import note, receive
from engine.orders.store import SQL
from engine.orders.types import EventRow
from engine.reservation.service import Reservations
from engine.reservation.types import PaymentClaim, ReleaseClaim

_PAID: Final = frozenset({"paid", "partly_refunded"})


class PayResult(NamedTuple):
    """`state` is applied, refund_due or received (the cell is closed; applied at opening)."""

    state: str
    reason: str = ""


class Orders:
    """The verbs of an API process."""

    def __init__(self, reservations: Reservations, pool: Pool, clock: Clock, cell: str) -> None:
        """Bind to the process' reservations and pool."""
        self._reservations = reservations
        self._pool = pool
        self._clock = clock
        self._access = Access(reservations, pool, clock, cell)

    async def pay(self, principal: Principal, payment: PaymentClaim) -> PayResult:
        """Book one payment; the same payment_id again gets the same answer.

        Raises:
            NotFound: no such order for this key.
            WrongAmount: not what the order asks for; nothing was booked.
            IdempotencyConflict: this payment_id came before with another amount.
            WrongCall: a marketplace sold it, and tells of its money itself.
            Closed: the cell is closed and this order is not known here yet; nothing was booked.
        """
        _require_ours(await self._access.require_visible(principal, payment.order_id))
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

        What nodes have is asked to be stopped: its state is then "requested", and the answer comes
        as an event.

        Raises:
            NotFound: no such order for this key.
            NotCancellable: it is not open any more, a line has fewer units left, or it has left.
            WrongCall: a marketplace sold it, and tells of its end itself.
            Closed: the cell is closed and the order unpaid; nothing was cancelled.
        """
        seen = await self._access.require_visible(principal, claim.order_id)
        _require_ours(seen)
        try:
            word = await self._reservations.release(claim)
        except (Closed, OutcomeUnknown):
            if await self._is_pending(claim.order_id):
                raise
            word = ["ALREADY_CONFIRMED"]
        match word:
            case ["RELEASED" | "REPEATED", state, total]:
                return CancelResult("cancelled" if state == "R" else "open", total, seen.currency)
            case ["CONFLICT", 0]:
                raise NotCancellable("a deposit is paid, or it was cut too often: cancel it whole")
            case ["CONFLICT", n]:
                told = f"line {n} has fewer units left, or is a component: name its bundle's line"
                raise NotCancellable(told, line=n)
            case ["ALREADY_RELEASED"]:
                raise NotCancellable("the order is cancelled already")
            case ["EXPIRED"]:
                raise NotCancellable("the order has expired")
            case _:
                return await self._cancel_recorded(claim)

    async def _is_pending(self, order_id: OrderId) -> bool:
        """Whether only the cell may decide: confirmed orders are Postgres' once they are folded."""
        row = await self._access.row(order_id)
        return row is None or is_pending(row)

    async def _receive(self, payment: PaymentClaim, away: EngineError) -> PayResult:
        """Keep a payment that the cell could not take; it is booked when the cell opens.

        It is not judged here: what the order asks for, the cell alone knows for certain.
        """
        async with self._pool.acquire() as connection:
            known = await connection.fetchrow(SQL["payment"], payment.order_id, payment.payment_id)
            if known is not None:
                return _as_before(known, payment)
            order = await connection.fetchrow(SQL["order"], payment.order_id)
            if order is None and (await self._access.hold(payment.order_id))[0] is None:
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
            reason = "second_payment" if order["payment_state"] in _PAID else "too_late"
            await _add_refund_due(connection, payment, reason, self._clock.now_ms())
        return PayResult("refund_due", reason)

    async def _cancel_recorded(self, claim: ReleaseClaim) -> CancelResult:
        """Cancel a confirmed order where it is decided: in Postgres, once it is folded."""
        deadline = self._clock.monotonic() + FOLD_WAIT_S
        while True:
            async with self._pool.acquire() as connection, connection.transaction():
                order = await connection.fetchrow(SQL["lock_order"], claim.order_id)
                if order is not None and not is_pending(order):
                    return await cancel_or_stop(connection, order, claim, self._clock.now_ms())
            if self._clock.monotonic() > deadline:
                raise OutcomeUnknown("the order is paid but not recorded yet; nothing was done")
            await asyncio.sleep(FOLD_POLL_S)


def _require_ours(seen: Seen) -> None:
    if seen.version:
        raise WrongCall("orders of this channel change by POST /v1/orders:sync")


def _as_before(known: asyncpg.Record, payment: PaymentClaim) -> PayResult:
    _require_same(known["amount"], payment)
    return PayResult(known["state"], known["reason"])


def _require_same(amount: int, payment: PaymentClaim) -> None:
    if amount != payment.amount:
        raise IdempotencyConflict(
            f"this payment_id came before with an amount of {amount}", amount=amount
        )


async def _add_refund_due(tx: Connection, payment: PaymentClaim, reason: str, now_ms: int) -> None:
    added = await tx.fetchval(
        SQL["add_payment"], payment.order_id, payment.payment_id, "refund_due", reason,
        payment.amount, payment.currency, payment.method, payment.stage, payment.paid_at,
        payment.actor,
    )  # fmt: skip
    if added is not None:
        data = {"payment_id": payment.payment_id, "amount": payment.amount, "reason": reason}
        await tx.execute(SQL["call_attention"], payment.order_id, rules.refund_words(reason))
        row = EventRow(now_ms, "payment.refund_due", payment.order_id, "", payment.actor, data)
        await note(tx, [row])
