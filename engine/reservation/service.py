"""The verbs: reserve, sync, confirm, release; each turns what many requests ask into one call."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

from engine.infra import metrics
from engine.infra.cell import Cell
from engine.kernel import limits
from engine.kernel.errors import (
    DeadlinePassed,
    EngineError,
    IdempotencyConflict,
    OutcomeUnknown,
    Overloaded,
    SoldOut,
    WrongAmount,
)
from engine.kernel.types import OrderId
from engine.reservation import store
from engine.reservation.batcher import Batcher, Sent
from engine.reservation.kept import Kept
from engine.reservation.soldout import SoldOutFlags
from engine.reservation.types import (
    Claim,
    Held,
    HoldRecord,
    Paid,
    PaymentClaim,
    ReleaseClaim,
    Result,
    Snapshot,
    Synced,
    TicketClaim,
    Turn,
)

R = TypeVar("R")

_REFUND_REASONS: Final[Mapping[str, str]] = {
    "ALREADY_CONFIRMED": "second_payment",
    "ALREADY_RELEASED": "cancelled",
}


class _Submission(NamedTuple):
    claim: Claim
    payload: bytes
    by: float | None = None  # monotonic seconds


class Reservations:
    """One process' way into the cell: a batcher for each verb, what is kept, and the flags."""

    def __init__(self, cell: Cell, sent: Sent | None = None) -> None:
        """Bind to an API process' cell; nothing runs until `run`.

        `sent` is told of the calls that take orders, as a `Batcher` tells it.
        """
        self.cell = cell
        self.kept = Kept()
        self.flags = SoldOutFlags(cell)
        self._asking: set[OrderId] = set()
        self._timed = 0  # queued claims that have a deadline
        # what is sold already comes first: nobody else can be told that it is sold out
        self._sync = Batcher(self._send_snapshots, lambda one: one.claim.weight, verb="sync")
        self._reserve = Batcher(
            self._send_claims, lambda one: len(one.claim.lines), self._sync, verb="reserve",
            sent=sent,
        )  # fmt: skip
        self._confirm = Batcher(self._send_payments, verb="confirm")
        self._release = Batcher(self._send_releases, verb="release")
        self._look = Batcher(self._look_up, verb="look")
        self._ticket = Batcher(self._send_tickets, verb="ticket")

    @property
    def batchers(self) -> Mapping[str, Batcher[Any, Any]]:
        """What asks the cell, by verb: whoever asks for readiness looks at them."""
        return {
            "sync": self._sync,
            "reserve": self._reserve,
            "confirm": self._confirm,
            "release": self._release,
            "look": self._look,
            "ticket": self._ticket,
        }

    def count(self) -> None:
        """Show what waits and what is kept here as this process' own."""
        metrics.QUEUE_CLAIMS.reads(
            lambda: {(verb,): one.waiting for verb, one in self.batchers.items()}
        )
        metrics.KEPT_CLAIMS.reads(lambda: {(): len(self.kept)})

    async def run(self) -> None:
        """Send batches and follow the log until cancelled."""
        self.count()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.send())
            tasks.create_task(self.flags.run())

    async def send(self) -> None:
        """Send batches until cancelled; no sold-out flag is ever used."""
        async with asyncio.TaskGroup() as tasks:
            for batcher in self.batchers.values():
                tasks.create_task(batcher.run())

    async def reserve(self, claim: Claim, payload: bytes, by: float | None = None) -> Held:
        """Hold stock for a claim; a repeat of the same claim gives the same hold.

        One that is still queued when its client has left, `by` that time, is not sent.

        Raises:
            SoldOut, LimitReached, NotStarted, Ended, Paused, UnknownSku: nothing was taken.
            IdempotencyConflict: this order came before and said something else.
            Closed, Overloaded, DeadlinePassed: nothing was taken; try again.
            OutcomeUnknown: no answer came; send it again and it is done at most once.
        """
        if (
            self.flags.concern(claim)
            and await self.flags.caught_up()
            and (no := self._flagged(claim))
        ):
            raise no
        return await self._queue(_Submission(claim, payload, by))

    async def reserve_all(
        self, claims: Sequence[Claim], payloads: Sequence[bytes], by: float | None = None
    ) -> list[Held | EngineError]:
        """Hold stock for many claims; each result is what `reserve` would give or raise for it."""
        concerned = any(self.flags.concern(claim) for claim in claims)
        usable = concerned and await self.flags.caught_up()
        results: list[asyncio.Future[Held] | EngineError] = []
        for claim, payload in zip(claims, payloads, strict=True):
            refusal = self._flagged(claim) if usable else None
            results.append(refusal or self._submit(_Submission(claim, payload, by)))
        return await _outcomes(results)

    def _submit(self, one: _Submission) -> "asyncio.Future[Held] | Overloaded":
        try:
            return self._queue(one)
        except Overloaded as full:
            return full

    def _queue(self, one: _Submission) -> "asyncio.Future[Held]":
        self.kept.require_room()
        held = self._reserve.submit(one)
        self._asking.add(one.claim.order_id)
        if one.by is not None:
            self._timed += 1
        return held

    async def sync_all(self, snapshots: Sequence[Snapshot]) -> list[Synced | EngineError]:
        """Make orders what their marketplaces say; one outcome each, in order.

        A lane of its own: it waits for no claim, and claims wait for it.
        """
        results: list[asyncio.Future[Synced] | EngineError] = []
        for one in snapshots:
            try:
                self.kept.require_room()
                results.append(self._sync.submit(one))
            except Overloaded as full:
                results.append(full)
        return await _outcomes(results)

    def _flagged(self, claim: Claim) -> SoldOut | None:
        """Return a flag's answer; the same order on its way to the cell may well be accepted."""
        return None if claim.order_id in self._asking else self.flags.refusal(claim)

    async def confirm(self, payment: PaymentClaim) -> Paid:
        """Book a payment; the same payment_id again gets the same answer.

        Raises:
            WrongAmount: not what the order asks for; nothing was booked.
            IdempotencyConflict: this payment_id came before with another amount.
            Closed, Overloaded, OutcomeUnknown: send it again, it is booked at most once.
        """
        self.kept.require_room()
        return await self._confirm.submit(payment)

    async def release(self, claim: ReleaseClaim) -> Result:
        """Give a pending hold back; returns the script's words (`lua/release.lua`).

        Raises:
            Closed, Overloaded, OutcomeUnknown: send it again, it is done at most once.
        """
        return await self._release.submit(claim)

    async def ticket(self, claim: TicketClaim) -> Turn:
        """Ask for a turn in a campaign's waiting room, or whether it has come.

        Raises:
            InConflict: the campaign has none.
            Ended, ValidationFailed: it is over; the place is not one of the cell's.
            Closed, Overloaded, OutcomeUnknown: ask again.
        """
        return await self._ticket.submit(claim)

    async def hold(self, order_id: OrderId) -> HoldRecord | None:
        """Return an order as the cell remembers it, None when it does not.

        Raises:
            OutcomeUnknown: the cell does not answer; it may well remember it.
        """
        if not self._look.running:  # a command that asks for one order and ends
            return (await store.holds(self.cell, [order_id]))[0]
        return await self._look.submit(order_id)

    async def same_log(self) -> bool:
        """Whether what is kept still stands in the cell's log where it was written."""
        try:
            return await store.open_epoch(self.cell) == self.kept.epoch
        except OutcomeUnknown:
            return False

    async def book_again(self) -> list[PaymentClaim]:
        """Book kept payments once more after an opening; what the cell still has stays as it is.

        Returned are those that the cell has no order for, or one that asks for another amount by
        now: that money is here, so whoever calls this must keep it where a person sees it.

        Raises:
            Closed, Overloaded, OutcomeUnknown: call it again.
        """
        payments = self.kept.payments()
        refused = []
        for first in range(0, len(payments), limits.CLAIMS_PER_CALL_MAX):
            chunk = payments[first : first + limits.CLAIMS_PER_CALL_MAX]
            booked = [self._confirm.submit(payment) for payment in chunk]
            await asyncio.wait(booked)
            for payment, future in zip(chunk, booked, strict=True):
                wrong = isinstance(future.exception(), WrongAmount | IdempotencyConflict)
                if wrong or future.result().outcome == "unknown_order":
                    refused.append(payment)
        return refused

    async def _send_claims(self, batch: Sequence[_Submission]) -> list[Held | EngineError]:
        return await (self._send_timely(batch) if self._timed else self._send_all(batch))

    async def _send_timely(self, batch: Sequence[_Submission]) -> list[Held | EngineError]:
        """Send what somebody still waits for."""
        now = monotonic()
        self._timed -= sum(one.by is not None for one in batch)
        timely = [one for one in batch if one.by is None or one.by > now]
        late = [one.claim.order_id for one in batch if one.by is not None and one.by <= now]
        self._asking.difference_update(late)
        metrics.SHED.add("deadline", len(late))
        results = iter(await self._send_all(timely) if timely else [])
        return [
            DeadlinePassed() if one.by is not None and one.by <= now else next(results)
            for one in batch
        ]

    async def _send_all(self, batch: Sequence[_Submission]) -> list[Held | EngineError]:
        claims = [one.claim for one in batch]
        try:
            results = await store.reserve(self.cell, claims, [one.payload for one in batch])
        finally:
            self._asking.difference_update([claim.order_id for claim in claims])
        now = self.cell.now_ms()
        for one, result in zip(batch, results, strict=True):
            if isinstance(result, Held):
                if not result.repeated:
                    self.kept.claim(result, one.claim, one.payload, now)
            elif isinstance(result, store.EmptyPools):
                self.flags.raise_for(one.claim, result)
        return results

    async def _send_snapshots(self, batch: Sequence[Snapshot]) -> list[Synced | EngineError]:
        claims = [one.claim for one in batch]
        results = await store.sync(self.cell, claims, [one.payload for one in batch])
        for one, result in zip(batch, results, strict=True):
            if isinstance(result, Synced) and result.word in {"created", "updated"}:
                self.kept.snapshot(result, one.claim, one.payload)
        return results

    async def _look_up(self, batch: Sequence[OrderId]) -> list[HoldRecord | EngineError | None]:
        return [*await store.holds(self.cell, batch)]

    async def _send_tickets(self, batch: Sequence[TicketClaim]) -> list[Turn | EngineError]:
        return await store.tickets(self.cell, batch)

    async def _send_payments(self, batch: Sequence[PaymentClaim]) -> list[Paid | EngineError]:
        log_id, words = await store.confirm(self.cell, batch)
        results = [self._paid(one, word, log_id) for one, word in zip(batch, words, strict=True)]
        late = [n for n, word in enumerate(words) if word[0] == "EXPIRED"]
        if late:
            again = [batch[n] for n in late]
            log_id, words = await store.rehold(self.cell, again)
            for n, word in zip(late, words, strict=True):
                results[n] = self._paid(batch[n], word, log_id)
        return results

    def _paid(self, payment: PaymentClaim, word: Result, log_id: str) -> Paid | EngineError:
        result = _paid(word, log_id)
        if isinstance(result, Paid) and result.outcome != "unknown_order" and word[0] != "REPEATED":
            self.kept.payment(payment, result)
        return result

    async def _send_releases(self, batch: Sequence[ReleaseClaim]) -> list[Result | EngineError]:
        log_id, words = await store.release(self.cell, batch)
        for claim, word in zip(batch, words, strict=True):
            if word[0] == "RELEASED":
                self.kept.release(claim, log_id)
        return [*words]


async def _outcomes(
    submitted: Sequence["asyncio.Future[R] | EngineError"],
) -> list[R | EngineError]:
    """Wait for all and return results and refusals as they stand; nothing is raised."""
    waiting = [one for one in submitted if not isinstance(one, EngineError)]
    if waiting:
        await asyncio.wait(waiting)
    results: list[R | EngineError] = []
    for one in submitted:
        if isinstance(one, EngineError):
            results.append(one)
            continue
        outcome = _outcome(one)
        results.append(outcome)
    return results


def _outcome(done: "asyncio.Future[R]") -> R | EngineError:
    if done.cancelled():
        return OutcomeUnknown("the process ends; send it again")
    failure = done.exception()
    if failure is None:
        return done.result()
    if isinstance(failure, EngineError):
        return failure
    raise failure


def _paid(word: Result, log_id: str) -> Paid | EngineError:  # noqa: PLR0911 - one case a word
    match word:
        case ["CONFIRMED"] | ["DEPOSITED", _, _] | ["REPEATED", "applied"]:
            return Paid("applied", log_id=log_id)
        case ["REPEATED", reason] | ["REFUND_DUE", reason]:
            return Paid("refund_due", reason, log_id)
        case [("ALREADY_CONFIRMED" | "ALREADY_RELEASED") as state]:
            return Paid("refund_due", _REFUND_REASONS[state], log_id)
        case ["CONFLICT", due, currency]:
            return WrongAmount(
                f"the order asks for {due} {currency}",
                expected={"amount": due, "currency": currency},
            )
        case ["CHANGED", amount]:
            return IdempotencyConflict(
                f"this payment_id came before with an amount of {amount}", amount=amount
            )
        case ["UNKNOWN_ORDER"]:
            return Paid("unknown_order")
        case ["EXPIRED"]:
            return OutcomeUnknown("it expired; nothing is booked yet")
        case _:
            raise AssertionError(f"the cell answered {word[0]!r}, which is not in a header")


async def release_all(cell: Cell, claims: Sequence[ReleaseClaim]) -> list[Result]:
    """Give holds back in one call, for jobs that have a batch of their own."""
    return (await store.release(cell, claims))[1]


async def expire(cell: Cell) -> tuple[int, int]:
    """End what is due, oldest first; return how many were (-1: not yet) and the next deadline."""
    return await store.expire(cell)


async def prune(cell: Cell) -> int:
    """Forget what was remembered long enough; return how many were looked at."""
    return await store.prune(cell)
