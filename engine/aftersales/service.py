"""The verbs of after-sales: blocks are set and lifted, refunds are booked.

Both happen under the order's row lock, with their events in the same transaction. Where a refund
takes money back that the cell still counts as paid, the cell is told first: a crash between leaves
an order that is cancelled with a refund due, and the same call again goes on from there.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from engine.aftersales import rules, store
from engine.aftersales.types import (
    REFUND_REQUESTED,
    REFUNDS_PER_ORDER_MAX,
    Block,
    Refund,
    Standing,
    Step,
)
from engine.infra.http.auth import Principal
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import Clock, instant, rfc3339, to_ms
from engine.kernel.errors import InConflict, OutcomeUnknown
from engine.kernel.ids import line_id
from engine.kernel.types import OrderId
from engine.orders.service import REFUND_CANCEL, Access, cancel_confirmed, note, with_components
from engine.orders.types import OPEN, EventRow
from engine.reservation.rules import line_number
from engine.reservation.service import Reservations
from engine.reservation.types import ReleaseClaim
from engine.shipments.service import ask, has_live
from engine.shipments.types.stops import Ask, Part

_EVENT_OF = {
    "requested": "order.refund_requested",
    "done": "order.refunded",
    "rejected": "order.refund_rejected",
}


class Aftersales:
    """The verbs of an API process."""

    def __init__(self, reservations: Reservations, pool: Pool, clock: Clock, cell: str) -> None:
        """Bind to the process' reservations and pool."""
        self._reservations = reservations
        self._pool = pool
        self._clock = clock
        self._access = Access(reservations, pool, clock, cell)

    async def blocks(self, principal: Principal, order_id: OrderId) -> Sequence[asyncpg.Record]:
        """Return the blocks that stand on an order, the oldest first.

        Raises:
            NotFound: no such order for this key.
            OutcomeUnknown: it was accepted and is not recorded yet.
        """
        await self._require(principal, order_id)
        return await store.blocks(self._pool, order_id)

    async def block(self, principal: Principal, order_id: OrderId, wanted: Block) -> asyncpg.Record:
        """Set a block, or change the reason or end of one that stands; return it.

        Raises:
            NotFound: no such order for this key.
            ValidationFailed: no such line, or an end that has passed.
            OutcomeUnknown: the order was accepted and is not recorded yet.
        """
        await self._require(principal, order_id)
        async with self._pool.acquire() as tx, tx.transaction():
            order = await _locked(tx, order_id)
            await _require_line(tx, order, wanted.line_id)
            found = await store.block(tx, order_id, wanted.code, wanted.line_id)
            if found is None or (found["reason"], found["until"]) != (wanted.reason, wanted.until):
                now_ms = self._clock.now_ms()
                if wanted.until is not None and to_ms(wanted.until) <= now_ms:
                    codec.refuse("/until", "must lie in the future")
                await store.set_block(tx, order_id, wanted, principal.key_id)
                await note(tx, [_blocked(order_id, wanted, principal.key_id, now_ms)])
                found = await store.block(tx, order_id, wanted.code, wanted.line_id)
        assert found is not None, "it was just written"
        return found

    async def unblock(
        self, principal: Principal, order_id: OrderId, lifted: Block
    ) -> Sequence[asyncpg.Record]:
        """Lift the blocks of a code, of one line or all; return those that still stand.

        What does not stand is lifted already. `reason` says why it is lifted.

        Raises:
            NotFound: no such order for this key.
            OutcomeUnknown: the order was accepted and is not recorded yet.
        """
        await self._require(principal, order_id)
        async with self._pool.acquire() as tx, tx.transaction():
            await _locked(tx, order_id)
            await _lift(tx, order_id, lifted, principal.key_id, self._clock.now_ms())
            return await store.blocks(tx, order_id)

    async def lift_standing(
        self, principal: Principal, order_id: OrderId, lifted: Block, since: datetime
    ) -> bool:
        """Lift the one block that stands since that instant; False where it does not any more.

        Raises:
            NotFound, OutcomeUnknown: as `unblock`.
        """
        await self._require(principal, order_id)
        async with self._pool.acquire() as tx, tx.transaction():
            await _locked(tx, order_id)
            found = await store.block(tx, order_id, lifted.code, lifted.line_id)
            if found is None or found["since"] != since:
                return False
            lines = await store.lift(tx, order_id, lifted.code, lifted.line_id)
            await _tell_lifted(tx, order_id, lifted, lines, principal.key_id, self._clock.now_ms())
        return bool(lines)

    async def block_once(self, principal: Principal, order_id: OrderId, wanted: Block) -> bool:
        """Set a block unless one of its code stands, or the order has ended; False then.

        Raises:
            NotFound, OutcomeUnknown: as `block`.
        """
        await self._require(principal, order_id)
        async with self._pool.acquire() as tx, tx.transaction():
            order = await _locked(tx, order_id)
            standing = {row["code"] for row in await store.blocks(tx, order_id)}
            if order["state"] != OPEN or wanted.code in standing:
                return False
            await hold(tx, order_id, wanted, principal.key_id, self._clock.now_ms())
        return True

    async def refund(self, principal: Principal, asked: Refund) -> Refund:
        """Book a refund as it stands; what came before changes nothing. Returns what is recorded.

        Raises:
            NotFound: no such order for this key.
            WrongAmount: another currency, or more than was paid and not given back yet.
            IdempotencyConflict: this refund_id came before and said something else.
            InConflict: it is done and cannot be rejected, or a line has not so many units.
            NotCancellable: units of a `cancel` have left already.
            Closed, OutcomeUnknown: send it again, it is booked at most once.
        """
        await self._require(principal, asked.order_id)
        caught_up = ended = False
        while True:
            booked = await self._book(asked, principal.key_id, caught_up=caught_up, ended=ended)
            match booked:
                case Step.END_HOLD:
                    await self._end_hold(asked, principal.key_id)
                    ended = True
                case Step.CATCH_UP:
                    pass
                case _:
                    return booked
            await self._access.require_caught_up()
            caught_up = True

    async def _require(self, principal: Principal, order_id: OrderId) -> None:
        await self._access.require_visible(principal, order_id)
        await self._access.require_recorded(order_id)

    async def _end_hold(self, asked: Refund, actor: str) -> None:
        """Make the cell forget what was paid; whatever it answers, its log tells what is true."""
        cancel_id = REFUND_CANCEL + asked.refund_id
        await self._reservations.release(
            ReleaseClaim(asked.order_id, cancel_id, "refunded", "refunded", actor)
        )

    async def _book(
        self, asked: Refund, actor: str, *, caught_up: bool, ended: bool
    ) -> Refund | Step:
        """Book under the row lock, or return what must be done first; then nothing was changed."""
        async with self._pool.acquire() as tx, tx.transaction():
            order = await _locked(tx, asked.order_id)
            known = await store.refund(tx, asked.order_id, asked.refund_id)
            if known is not None and not rules.is_news(known, asked):
                return known
            if known is None and await store.count(tx, asked.order_id) >= REFUNDS_PER_ORDER_MAX:
                raise InConflict(f"an order has at most {REFUNDS_PER_ORDER_MAX} refunds")
            found = await store.standing(tx, order)
            step = rules.step_before(found, asked, caught_up=caught_up, ended=ended)
            if step is not None:
                return step
            if ended and rules.is_held(found):
                raise OutcomeUnknown("the order's end is not recorded yet; send it again")
            await self._save(tx, order, found, asked, actor)
        return asked

    async def _save(
        self, tx: Connection, order: asyncpg.Record, found: Standing, asked: Refund, actor: str
    ) -> None:
        now_ms = self._clock.now_ms()
        waits = rules.waits_for_snapshot(found, asked) or rules.lacks_snapshot(found)
        payment_state = found.payment_state
        await store.save(tx, asked, actor)
        answer = await _stop(tx, order, asked, actor, now_ms)
        if asked.state == "done":
            # units of an external order move by the snapshot that tells of it; those that a node
            # has, by its answer (answering.py)
            ours = answer in {None, "stopped"} and not found.version
            cut = to_cut(asked, actor, rules.units_to_cut(found, asked) if ours else ())
            stopped = answer is not None
            payment_state = await settle(tx, order, found, cut, now_ms, stopped=stopped)
        data: dict[str, Any] = {
            "refund_id": asked.refund_id, "kind": asked.kind, "amount": asked.amount,
            "currency": asked.currency, "payment_state": payment_state,
            "lines": [[line_id(asked.order_id, n), units] for n, units in asked.lines],
        }  # fmt: skip
        kind = _EVENT_OF[asked.state]
        await note(tx, [EventRow(now_ms, kind, asked.order_id, "", actor, data)])
        requested = await store.requested(tx, asked.order_id)
        wanted = rules.block_of(requested, waits=waits)
        await _keep_block(tx, asked, wanted, actor, now_ms)


async def hold(tx: Connection, order_id: OrderId, wanted: Block, by: str, now_ms: int) -> None:
    """Set a block on a locked order, inside the caller's transaction, and tell of it."""
    await store.set_block(tx, order_id, wanted, by)
    await note(tx, [_blocked(order_id, wanted, by, now_ms)])


async def _locked(tx: Connection, order_id: OrderId) -> asyncpg.Record:
    order = await store.lock(tx, order_id)
    assert order is not None, "it was recorded before, and no order is ever deleted"
    return order


async def _require_line(tx: Connection, order: asyncpg.Record, wanted: str) -> None:
    if wanted:
        number = line_number(order["order_id"], wanted)
        if number not in (await store.standing(tx, order)).lines:
            codec.refuse("/line_id", "is not a line of this order")


async def _stop(
    tx: Connection, order: asyncpg.Record, asked: Refund, actor: str, now_ms: int
) -> Part | None:
    """Ask that what a refund before shipment is for be stopped; return the answer so far.

    None: no shipment of the order is live, so there is nothing to ask. What was stopped before and
    routed again since, because somebody lifted the block, is asked for once more when the refund is
    done.
    """
    if asked.kind != "cancel" or asked.state == "rejected":
        return None
    if not await has_live(tx, asked.order_id):
        return None
    lines = await with_components(tx, asked.order_id, asked.lines)
    wanted = Ask(
        order["tenant"], asked.order_id, "refund", asked.refund_id, lines, actor,
        {"refund_id": asked.refund_id},
    )  # fmt: skip
    found = await ask(tx, wanted, instant(now_ms))
    if asked.state == "done" and not found.new and found.stop.answer == "stopped":
        again = wanted._replace(cause_id=f"{asked.refund_id}:done")
        found = await ask(tx, again, instant(now_ms))
    return found.stop.answer


async def settle(
    tx: Connection,
    order: asyncpg.Record,
    found: Standing,
    cut: ReleaseClaim | None,
    now_ms: int,
    *,
    stopped: bool,
) -> str:
    """Cut what goes back to sale and settle a locked order's money; return its payment state.

    `stopped`: nodes had some of it, and ship none of what is cut.
    """
    if cut is not None:
        await cancel_confirmed(tx, order, cut, now_ms, stopped=stopped)
    after = await store.standing(tx, await _locked(tx, OrderId(order["order_id"])))
    if found.attention and not rules.is_due(found.attention):
        after = after._replace(attention=found.attention)  # it told of something else
    payment_state, attention = rules.settled(after)
    await store.settle(tx, order["order_id"], payment_state, attention)
    return payment_state


def to_cut(asked: Refund, actor: str, cut: tuple[tuple[int, int], ...]) -> ReleaseClaim | None:
    """Return the cancel that a refund is, None when nothing is to go back to sale."""
    if not cut:
        return None
    cancel_id = REFUND_CANCEL + asked.refund_id
    return ReleaseClaim(asked.order_id, cancel_id, "refunded", "refunded", actor, cut)


async def _keep_block(
    tx: Connection, asked: Refund, wanted: Block | None, actor: str, now_ms: int
) -> None:
    """Let the block say what the order's refunds come to, also where a person had lifted it."""
    if wanted is None:
        lifted = Block(REFUND_REQUESTED, "", f"refund {asked.refund_id} is {asked.state}", None)
        await _lift(tx, asked.order_id, lifted, actor, now_ms)
        return
    found = await store.block(tx, asked.order_id, wanted.code, wanted.line_id)
    if found is None or (found["reason"], found["until"]) != (wanted.reason, wanted.until):
        await store.set_block(tx, asked.order_id, wanted, actor)
        await note(tx, [_blocked(asked.order_id, wanted, actor, now_ms)])


async def _lift(tx: Connection, order_id: OrderId, lifted: Block, actor: str, now_ms: int) -> None:
    lines = await store.lift(tx, order_id, lifted.code, lifted.line_id or None)
    await _tell_lifted(tx, order_id, lifted, lines, actor, now_ms)


async def _tell_lifted(
    tx: Connection,
    order_id: OrderId,
    lifted: Block,
    lines: Sequence[str],
    actor: str,
    now_ms: int,
) -> None:
    rows = []
    for one in lines:
        data = {"code": lifted.code, "line_id": one, "reason": lifted.reason}
        rows.append(EventRow(now_ms, "order.unblocked", order_id, "", actor, data))
    await note(tx, rows)


def _blocked(order_id: OrderId, one: Block, actor: str, now_ms: int) -> EventRow:
    until = None if one.until is None else rfc3339(to_ms(one.until))
    data = {"code": one.code, "line_id": one.line_id, "reason": one.reason, "until": until}
    return EventRow(now_ms, "order.blocked", order_id, "", actor, data)
