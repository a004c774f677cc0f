"""Buyers at work: every order of a demand, through real HTTP, until each got its answer.

A buyer without an answer, or told to come back, sends the same bytes again: that is all a client
has to do to be safe, and what the proof rests on.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from math import inf
from random import Random
from time import monotonic  # the clock of http.Answer.seconds
from typing import Any, Final, assert_never

from engine.kernel import codec
from engine.simulation.http import NO_ANSWER, Answer, LoadClient
from engine.simulation.seen import Seen, SeenOrder
from engine.simulation.shop import Shop
from engine.simulation.types import Again, Cancel, Changed, Demand, Order, Pay

_COME_BACK: Final = {NO_ANSWER, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_ACCEPTED: Final = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED}
# What an order may be told; anything else is a fault of the engine or of the demand.
_REFUSALS: Final = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_PATIENCE_S: Final = 45.0
_PAUSE_S: Final = 0.2
# Orders on their way at once: more of them would only let payments wait in the same queue.
_PLACING_MAX: Final = 512
_ARRIVALS_TICK_S: Final = 0.005


class Sale:
    """One demand being sold; `seen` may be read while it runs."""

    def __init__(self, client: LoadClient, shop: Shop, demand: Demand, rng: Random) -> None:
        """Take who sells what to whom; `rng` spreads retries only."""
        self.seen = Seen()
        self._client = client
        self._shop = shop
        self._demand = demand
        self._rng = rng
        self._began = 0.0
        self._closes = 0.0
        self._placing = asyncio.Semaphore(_PLACING_MAX)
        self.all_came = asyncio.Event()

    async def run(self) -> None:
        """Let all buyers come at their times, and return when the last has finished."""
        self._began = self._now()
        # an engine that answers nobody must not keep a whole queue of patient buyers for hours
        self._closes = self._began + self._demand.orders[-1].at_s + _PATIENCE_S
        last = self._began + (self._demand.lasts_s_max or inf)
        async with asyncio.TaskGroup() as tasks:
            for order in self._demand.orders:
                await self._placing.acquire()
                if self._now() > last:
                    break
                early_s = self._began + order.at_s - self._now()
                if early_s > _ARRIVALS_TICK_S:
                    await asyncio.sleep(early_s)
                tasks.create_task(self._buyer(order))
            self.all_came.set()

    async def _buyer(self, order: Order) -> None:
        raw = self._client.compose("POST", "/v1/orders", self._shop.document(order))
        came, began = self._began + order.at_s, self._now()
        self.seen.counts["orders"] += 1
        try:
            answers = await self._place(order, raw)
        finally:
            self._placing.release()
        self.seen.queued_s.append(max(0.0, began - came) + answers[0].queued_s)
        for answer in answers:
            self._told(order, answer)
        known = self.seen.orders.get(order.order_no)
        if known is None:
            self._refused(order, answers)
            return
        self.seen.slowest_s = max(self.seen.slowest_s, self._now() - came)
        for step in order.steps:
            await asyncio.sleep(step.after_s)
            await self._step(order, known, raw, step)

    async def _place(self, order: Order, raw: bytes) -> list[Answer]:
        """Send an order as its buyer does, and return all answers."""
        if order.hangs_up:
            self.seen.counts["hung up"] += 1
            await self._client.request(raw, hang_up=True)
        if order.copies == 1:
            return [await self._insist(raw)]
        async with asyncio.TaskGroup() as tasks:
            sent = [tasks.create_task(self._insist(raw)) for _ in range(order.copies)]
        return [task.result() for task in sent]

    async def _step(
        self, order: Order, known: SeenOrder, raw: bytes, step: Pay | Cancel | Again | Changed
    ) -> None:
        match step:
            case Pay():
                await self._pay(known, step)
            case Cancel():
                await self._cancel(known, step)
            case Again():
                answer = await self._insist(raw)
                self._told(order, answer)
                if answer.status not in {HTTPStatus.OK, *_COME_BACK}:
                    self.seen.fault(f"{order.order_no} sent again got {_words(answer)}")
            case Changed():
                body = self._shop.document(order, more=1)
                answer = await self._insist(self._client.compose("POST", "/v1/orders", body))
                self.seen.counts["changed bodies refused"] += 1
                if _code(answer) not in {"idempotency_conflict", ""}:
                    self.seen.fault(f"{order.order_no} with another body got {_words(answer)}")
            case _:
                assert_never(step)

    async def _insist(self, raw: bytes) -> Answer:
        """Send until there is an answer that says what became of it, or patience ends."""
        until = min(self._now() + _PATIENCE_S, self._closes)
        answer = Answer(NO_ANSWER, b"", 0.0)
        while self._now() < self._closes:
            answer = await self._client.request(raw)
            if answer.status not in _COME_BACK or self._now() > until:
                return answer
            self.seen.counts["retries"] += 1
            self.seen.counts["no answer" if answer.status == NO_ANSWER else "come back"] += 1
            pause_s = max(_PAUSE_S, answer.retry_after_s)
            await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1.0))
        return answer

    # Orders.

    def _told(self, order: Order, answer: Answer) -> None:
        """Note one answer to an order."""
        seen, now = self.seen, self._now()
        seen.answered_per_second[int(now - self._began)] += 1
        if answer.status not in _ACCEPTED:
            seen.refused_s.append(answer.seconds)
            return
        body = codec.decode_json(answer.body)
        lines = [(line["line_id"], line["sku"], line["quantity"]) for line in body["lines"]]
        known = seen.orders.get(order.order_no)
        if known is None:
            known = SeenOrder(body["order_id"], lines, body["payable"]["amount"])
            seen.orders[order.order_no] = known
        elif (known.order_id, known.lines) != (body["order_id"], lines):
            seen.fault(f"{order.order_no} is {known.order_id}, and was answered as another order")
        if answer.status == HTTPStatus.OK:
            seen.counts["replayed"] += 1
            return
        known.firsts += 1
        if known.firsts > 1:
            seen.fault(f"{order.order_no} was accepted as new twice")
        seen.accepted_s.append(answer.seconds)
        if seen.killed_at and not seen.resumed_at and now - answer.seconds >= seen.killed_at:
            seen.resumed_at = now

    def _refused(self, order: Order, answers: Sequence[Answer]) -> None:
        """Note an order none of whose copies was accepted."""
        if any(answer.status in _COME_BACK for answer in answers):
            self.seen.unknown.add(order.order_no)
            self.seen.refused["never answered"] += 1
            return
        self.seen.refused[_code(answers[-1])] += 1
        for answer in answers:
            if answer.status not in _REFUSALS:
                self.seen.fault(f"{order.order_no} got {_words(answer)}")

    # What follows an acceptance.

    async def _pay(self, known: SeenOrder, step: Pay) -> None:
        payment = {
            "payment_id": step.payment_id,
            "amount": self._shop.money(known.payable),
            "method": "alipay",
        }
        answer = await self._insist(self._post(f"{known.order_id}/payments", payment))
        if answer.status not in _ACCEPTED:
            if answer.status in _COME_BACK:
                self.seen.counts["payments never answered"] += 1
            else:
                self.seen.fault(f"payment of {known.order_id} got {_words(answer)}")
            return
        state = str(codec.decode_json(answer.body)["state"])
        key = (known.order_id, step.payment_id)
        before = self.seen.payments.get(key, state)
        if before not in {state, "received"}:
            self.seen.fault(f"payment {key} was {before} and then {state}")
        if key not in self.seen.payments:
            self.seen.counts[f"payments {state}"] += 1
        self.seen.payments[key] = state

    async def _cancel(self, known: SeenOrder, step: Cancel) -> None:
        lines = [
            {"line_id": known.lines[n - 1][0], "quantity": units}
            for n, units in step.lines
            if known.lines[n - 1][2] >= units
        ]
        if step.lines and not lines:
            self.seen.counts["cancels of dropped lines"] += 1
            return
        cancel: dict[str, Any] = {"cancel_id": step.cancel_id, "reason": "the buyer's wish"}
        if lines:
            cancel["lines"] = lines
        answer = await self._insist(self._post(f"{known.order_id}/cancel", cancel))
        if answer.status == HTTPStatus.OK:
            known.payable = codec.decode_json(answer.body)["payable"]["amount"]
            self.seen.cancels.add((known.order_id, step.cancel_id))
            self.seen.counts["cancels"] += 1
        elif answer.status == HTTPStatus.CONFLICT:
            self.seen.counts["cancels refused"] += 1  # it expired meanwhile
        elif answer.status in _COME_BACK:
            self.seen.counts["cancels never answered"] += 1
        else:
            self.seen.fault(f"cancel of {known.order_id} got {_words(answer)}")

    def _post(self, path: str, document: dict[str, Any]) -> bytes:
        return self._client.compose("POST", f"/v1/orders/{path}", codec.encode(document))

    def _now(self) -> float:
        return monotonic()


def _code(answer: Answer) -> str:
    """Return the problem code of a refusal, "" when it is none."""
    if answer.status in _ACCEPTED or not answer.body:
        return "accepted" if answer.status in _ACCEPTED else ""
    try:
        return str(codec.decode_json(answer.body).get("code", answer.status))
    except ValueError:
        return str(answer.status)


def _words(answer: Answer) -> str:
    return f"{answer.status} {answer.body.decode('utf-8', 'replace')[:200]}"
