"""A remedy done of many: by the services that the single calls use, one after the other.

What is to be touched is written down before the first is touched, so a run that was broken off
goes on with the same, and one that is sent again has the same answer. Whoever does one looks first,
under the lock of what it is about where there is one, whether it still stands as it was selected:
what has changed meanwhile is skipped.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from engine.aftersales.service import Aftersales
from engine.aftersales.types import Block
from engine.assurance import letters
from engine.desk import rules, store
from engine.desk.types import (
    COUNT_MAX,
    SAMPLE,
    Outcome,
    RemedyAnswer,
    RemedyIn,
    ResultView,
    Target,
    TargetView,
    Wanted,
)
from engine.infra.http.auth import Principal
from engine.infra.runtime import Runtime
from engine.inventory.service import shortages
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.errors import EngineError, IdempotencyConflict, InConflict
from engine.kernel.types import OrderId
from engine.logistics.service import acking
from engine.orders.service import Orders
from engine.reservation.types import ReleaseClaim
from engine.routing.service import waiting
from engine.routing.service.waiting import Again

CANCEL: Final = "desk:"  # what ids of cancels begin with that a run made
_RUNS_MAX: Final = timedelta(seconds=60)  # until somebody else may go on with it
_WORKS_S: Final = 30.0  # what is not come to by then is left; well within the above
_GONE: Final = "it does not wait like that any more"


class Hands(NamedTuple):
    """Who does it, and with what."""

    runtime: Runtime
    orders: Orders
    aftersales: Aftersales
    principal: Principal

    @property
    def actor(self) -> str:
        """The key that is told as the one who did it."""
        return self.principal.key_id


async def run(hands: Hands, asked: RemedyIn) -> tuple[RemedyAnswer, bool]:
    """Say what a remedy would touch or, unless it is a dry run, do it; True: it was done before.

    Raises:
        ValidationFailed: naming the field.
        InConflict: it would touch more than `expect_max`, or is being run.
        IdempotencyConflict: this remedy_id came before and asked for something else.
    """
    rules.check(asked)
    codes = rules.codes_for(asked)
    if not asked.dry_run and (answer := await _before(hands, asked)) is not None:
        return answer, True
    targets = await _targets(hands, asked, codes)
    if asked.dry_run:
        return _answer(asked, targets, []), False
    rules.require_expected(len(targets), asked.expect_max)
    run_ = store.Run(hands.principal.tenant, asked.remedy_id, hands.actor)
    kept = await store.begin(
        hands.runtime.pool, run_, _digest(hands, asked), targets[: asked.limit], _RUNS_MAX
    )
    if kept is None:
        if (answer := await _before(hands, asked)) is not None:
            return answer, True
        raise InConflict("a remedy of this id is being run: send it again in a minute")
    results = await _each(hands, asked, kept)
    there = {one.id for one in targets} | {one.id for one in kept}
    results += [ResultView(one, "", "skipped", _GONE) for one in asked.ids if one not in there]
    answer = _answer(asked, targets, results)
    await _end(hands, run_, asked, answer)
    return answer, False


async def _before(hands: Hands, asked: RemedyIn) -> RemedyAnswer | None:
    known = await store.known(hands.runtime.pool, hands.principal.tenant, asked.remedy_id)
    if known is None:
        return None
    if known.asked != _digest(hands, asked):
        raise IdempotencyConflict("this remedy_id came before and asked for something else")
    if known.answer is None:
        return None
    return codec.typed(codec.decode_json(known.answer), RemedyAnswer)


async def _targets(hands: Hands, asked: RemedyIn, codes: Sequence[str]) -> list[Target]:
    """Return what it touches, the most urgent first, up to one more than is counted."""
    runtime, principal = hands.runtime, hands.principal
    now = instant(runtime.clock.now_ms())
    wanted = Wanted(
        principal.tenant, asked.channel or principal.channel, tuple(codes), asked.sku,
        asked.overdue, now - timedelta(seconds=asked.min_age) if asked.min_age else None,
        asked.ship_by_before, tuple(asked.ids) or None,
    )  # fmt: skip
    rows = await store.listed(runtime.pool, wanted, now, COUNT_MAX + 1)
    found = [rules.target(one) for one in rows]
    if asked.remedy != "cancel_latest":
        return found
    return [order for one in found for order in await _latest(hands, one)]


async def _latest(hands: Hands, one: Target) -> list[Target]:
    """Return the orders that go without for a shortage, the youngest first."""
    async with hands.runtime.pool.acquire() as db:
        found = await shortages.latest(
            db, hands.principal.tenant, int(one.id.removeprefix("short:"))
        )
    return [
        Target(one.id, one.code, order_id, "", "", one.subject, one.since) for order_id in found
    ]


async def _each(hands: Hands, asked: RemedyIn, targets: Sequence[Target]) -> list[ResultView]:
    clock = hands.runtime.clock
    ends = clock.monotonic() + _WORKS_S
    results = []
    for one in targets:
        outcome: Outcome = "left"
        detail = "there was no time left for it"
        if clock.monotonic() < ends:
            outcome, detail = await _safely(hands, asked, one)
        results.append(ResultView(one.id, one.order_id, outcome, detail))
    return results


async def _safely(hands: Hands, asked: RemedyIn, one: Target) -> tuple[Outcome, str]:
    """Do one; a refusal is its result, and stops none of the others."""
    try:
        return await _do(hands, asked, one)
    except EngineError as refusal:
        return ("failed" if refusal.retryable else "skipped"), refusal.detail


async def _do(hands: Hands, asked: RemedyIn, one: Target) -> tuple[Outcome, str]:
    match asked.remedy:
        case "approve" | "lift_block":
            block = Block(one.code, one.line_id, asked.reason, None)
            done = await hands.aftersales.lift_standing(
                hands.principal, OrderId(one.order_id), block, one.since
            )
        case "send_to_manual":
            done = await _waits(hands, one) and await hands.aftersales.block_once(
                hands.principal, OrderId(one.order_id), Block("manual", "", asked.reason, None)
            )
        case "route_again":
            done = await _route(hands, one)
        case "retry_letter":
            letter = one.id.removeprefix("letter:")
            tenant = hands.principal.tenant
            done = await letters.retry(hands.runtime.pool, tenant, letter, hands.actor) > 0
        case "settle_letter":
            letter, cell = one.id.removeprefix("letter:"), hands.runtime.settings.cell
            await letters.settle(hands.runtime.pool, cell, letter, asked.reason, hands.actor)
            done = True
        case "retry_ack":
            now = instant(hands.runtime.clock.now_ms())
            done = await acking.again(
                hands.runtime.pool, hands.principal.tenant, one.channel, one.subject, hands.actor,
                now,
            )  # fmt: skip
        case _:
            return await _cancel(hands, asked, one)
    return ("done", "") if done else ("skipped", _GONE)


async def _route(hands: Hands, one: Target) -> bool:
    queues = rules.QUEUE_OF
    only = {queues[one.code]} if one.code in queues else {*queues.values()}
    again = Again(one.order_id, hands.principal.channel, "", hands.actor, frozenset(only))
    if one.code == "broken_promise" and not await _waits(hands, one):
        return False
    await waiting.retry(hands.runtime, hands.principal.tenant, again)
    return True


async def _cancel(hands: Hands, asked: RemedyIn, one: Target) -> tuple[Outcome, str]:
    if one.code != "stock_short" and not await _waits(hands, one):
        return "skipped", _GONE
    claim = ReleaseClaim(
        OrderId(one.order_id), CANCEL + asked.remedy_id, "cancel", asked.reason, hands.actor, ()
    )
    left = await hands.orders.cancel(hands.principal, claim)
    if left.stop_id:
        return "requested", f"its node was asked to stop it: {left.stop_id}"
    return "done", ""


async def _waits(hands: Hands, one: Target) -> bool:
    return await store.still_waits(hands.runtime.pool, hands.principal.tenant, one)


async def _end(hands: Hands, run_: store.Run, asked: RemedyIn, answer: RemedyAnswer) -> None:
    told = {
        "remedy": asked.remedy, "remedy_id": asked.remedy_id, "reason": asked.reason,
        "outcomes": answer.outcomes,
    }  # fmt: skip
    async with hands.runtime.pool.acquire() as tx, tx.transaction():
        await store.end(tx, run_, codec.encode(answer).decode(), codec.encode(told).decode())


def _answer(asked: RemedyIn, targets: Sequence[Target], results: list[ResultView]) -> RemedyAnswer:
    sample = [TargetView(one.id, one.code, one.order_id) for one in targets[:SAMPLE]]
    return RemedyAnswer(
        asked.remedy, asked.remedy_id, asked.dry_run, min(len(targets), COUNT_MAX),
        len(targets) > COUNT_MAX, sample if asked.dry_run else [], results,
        rules.outcomes(results),
    )  # fmt: skip


def _digest(hands: Hands, asked: RemedyIn) -> str:
    """What a run is known by; asked by a channel-bound key it is another than by any other."""
    told = codec.encode([hands.principal.channel, asked])
    return hashlib.blake2b(told, digest_size=16).hexdigest()
