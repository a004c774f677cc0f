"""Buyers over real HTTP who never give up: each remembers what it was told, for the reckoning."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import msgspec

from tests.fault.engines import ADMIN, an_order, id_of

ANSWER_S = 4.0  # longer than the engine's own patience with its cell
PAUSE_S = 0.05
QUICK = "quick"  # a channel whose holds end after a second
SETTLED = {200, 201, 202, 400, 404, 409, 422}


@dataclass
class Bought:
    """One order as its buyer knows it; `accepted` None means it was never settled."""

    body: dict[str, Any]
    accepted: bool | None = None
    paid: str = ""
    cancelled: bool = False
    answers: list[dict[str, Any]] = field(default_factory=list)


class Buyers:
    """Some buyers at once; `strange` collects answers that no fault excuses.

    With `shared` half of them want this SKU, which a marketplace sells too: through the mall, or
    through a quick channel that they leave unpaid.
    """

    def __init__(
        self,
        base: str,
        rng: random.Random,
        *,
        prefix: str = "",
        cancels: bool = True,
        shared: str = "",
    ) -> None:
        self.base = base
        self.prefix = prefix
        self._cancels = cancels
        self._shared = shared
        self.bought: dict[str, Bought] = {}
        self.strange: list[str] = []
        self.statuses: Counter[str] = Counter()
        self.stopped = asyncio.Event()
        self._rng = rng
        self._number = 0

    async def run(self, buyers: int = 6) -> None:
        """Buy until stopped; every order that was begun is settled before this returns."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(buyers):
                tasks.create_task(self._buyer(session))

    async def _buyer(self, session: aiohttp.ClientSession) -> None:
        while not self.stopped.is_set():
            await self._one(session)
            await asyncio.sleep(self._rng.uniform(0, 2 * PAUSE_S))

    async def _one(self, session: aiohttp.ClientSession) -> None:
        self._number += 1
        number = f"{self.prefix}{self._number}"
        lines, fields = self._wants()
        one = self.bought[number] = Bought(an_order(number, *lines, **fields))
        await self._order(session, number, one)
        if not one.accepted or fields.get("channel"):
            return
        then = self._rng.random()
        order_id, total = id_of(number), 100 * sum(units for _, units in lines)
        if then < 0.4:
            await self._pay(session, order_id, one, total)
        returns = one.paid == "applied" and self._shared and self._rng.random() < 0.4
        if (0.4 <= then < 0.6 or returns) and self._cancels:
            if self._shared:  # meanwhile the marketplace sells on, and then these units repay
                await asyncio.sleep(self._rng.uniform(0, 1))
            body = {"cancel_id": "c"}
            answer = await self._settle(session, f"/v1/orders/{order_id}/cancel", body)
            one.cancelled = self._expect(answer, {200}, f"cancel of {number}")
        if self._rng.random() < 0.2:
            await self._order(session, number, one)

    def _wants(self) -> tuple[list[tuple[str, int]], dict[str, Any]]:
        kind = self._rng.random()
        if self._shared and kind < 0.5:
            quick = {"channel": QUICK} if self._rng.random() < 0.4 else {}
            return [(self._shared, self._rng.randint(1, 2))], {"campaign": "", **quick}
        kind = self._rng.random()
        if kind < 0.1:
            return [("HOT", 1)], {}
        return ([("A", 1), ("B", 2)] if kind < 0.4 else [("A", 1)]), {}

    async def _order(self, session: aiohttp.ClientSession, number: str, one: Bought) -> None:
        status, document = await self._settle(session, "/v1/orders", one.body)
        refused = status == 409 and document["code"] == "sold_out"
        if refused and one.accepted:
            self.strange.append(f"{number} was accepted and then answered sold_out")
        if not refused and self._expect((status, document), {200, 202}, f"order {number}"):
            one.answers.append(document)
        one.accepted = not refused

    async def _pay(
        self, session: aiohttp.ClientSession, order_id: str, one: Bought, total: int
    ) -> None:
        body = {"payment_id": "p", "amount": {"amount": total, "currency": "CNY"}}
        answer = await self._settle(session, f"/v1/orders/{order_id}/payments", body)
        if self._expect(answer, {200, 202}, f"payment of {order_id}"):
            one.paid = answer[1]["state"]

    def _expect(self, answer: tuple[int, dict[str, Any]], wanted: set[int], what: str) -> bool:
        if answer[0] not in wanted:
            self.strange.append(f"{what}: {answer[0]} {answer[1]}")
        return answer[0] in wanted

    async def _settle(
        self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Ask the same again until there is an answer that says what happened."""
        headers = {"Authorization": f"Bearer {ADMIN}"}
        while True:
            try:
                async with session.post(self.base + path, json=body, headers=headers) as answer:
                    text = await answer.text()
            except (aiohttp.ClientError, TimeoutError, OSError) as lost:
                self.statuses[type(lost).__name__] += 1
            else:
                told = _document(text)
                what = path.rpartition("/")[2]
                self.statuses[f"{what} {answer.status} {told.get('code', '')}".strip()] += 1
                if answer.status in SETTLED:
                    return answer.status, told
                if answer.status == 500 or not told:
                    self.strange.append(f"{answer.status} {path}: {text[:200]}")
            await asyncio.sleep(PAUSE_S)


def _document(text: str) -> dict[str, Any]:
    try:
        return dict(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return {}


async def reckon(pg: asyncpg.Connection, buyers: Buyers) -> list[str]:
    """Compare what buyers were told with what is recorded; return what does not agree."""
    orders = await pg.fetch(
        "SELECT channel_order_id, count(*), min(state) AS state, min(payment_state) AS money"
        " FROM orders WHERE starts_with(channel_order_id, $1) GROUP BY channel_order_id",
        buyers.prefix,
    )
    recorded = {row["channel_order_id"]: row for row in orders}
    payments = {
        row["order_id"]: (row["count"], row["state"])
        for row in await pg.fetch(
            "SELECT order_id, count(*), min(state) AS state FROM payments GROUP BY order_id"
        )
    }
    wrong = list(buyers.strange)
    for number, one in buyers.bought.items():
        row = recorded.pop(number, None)
        if one.accepted is None:
            wrong.append(f"{number} was never settled")
        elif not one.accepted:
            wrong += [f"{number} was refused and is recorded"] if row else []
        elif row is None or row["count"] != 1:
            wrong.append(f"{number} was accepted and is recorded {row and row['count']} times")
        else:
            wrong += _details(number, one, row, payments.get(id_of(number), (0, "")))
    return wrong + [f"{number} is recorded and nobody ordered it" for number in recorded]


def _details(number: str, one: Bought, row: asyncpg.Record, payment: tuple[int, str]) -> list[str]:
    wrong = []
    money = "refund_due" if one.cancelled else "paid"
    if one.paid and (payment != (1, "applied") or row["money"] != money):
        wrong.append(f"{number} was paid ({one.paid}): {payment}, {row['money']}")
    if not one.paid and payment[0]:
        wrong.append(f"{number} was not paid and has payments: {payment}")
    if one.cancelled != (row["state"] == "cancelled"):
        wrong.append(f"{number} was cancelled: {one.cancelled}, recorded is {row['state']}")
    same = ("order_id", "lines", "pay_by")
    first = [one.answers[0][name] for name in same]
    # a closed time moves pay_by, so here only the rest must be the same
    other = [answer for answer in one.answers if [answer[name] for name in same][:2] != first[:2]]
    return wrong + [f"{number} got two answers: {first}, {answer}" for answer in other]
