"""A sale that goes on whatever happens: so many orders a second, in batches, each asked once."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.kernel.clock import Clock, instant
from engine.kernel.errors import EngineError
from engine.simulation.http import NO_ANSWER, LoadClient

CHANNEL: Final = "drill"
CAMPAIGN: Final = "drill"
SKUS: Final = tuple(f"drill-{n:02}" for n in range(20))
BATCH: Final = 20

_AT_ONCE: Final = 64
_PUBLISHED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05
_LAG_MAX_S: Final = 1.0  # what is overdue by more is left out: nobody waits that long to be late


class SaleFailed(EngineError):
    """The sale could not be set up."""

    code = "sale_failed"


@dataclass(slots=True)
class Seen:
    """What buyers were told: channel_order_ids that were accepted, by when (seconds)."""

    accepted: dict[str, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    unknown: int = 0


class Selling:
    """One campaign and those who buy in it."""

    def __init__(self, client: LoadClient, clock: Clock) -> None:
        """Take a client; nothing is sent before `open`."""
        self._client = client
        self._clock = clock
        self._numbers = 0
        self.seen = Seen()

    async def open(self, units: int) -> None:
        """Put a campaign of so many units of each SKU and wait until they are for sale.

        Raises:
            SaleFailed: a document was refused, or the sale did not open.
        """
        now = instant(self._clock.now_ms())
        await self._put(f"/v1/channels/{CHANNEL}", {"name": "Drill"})
        for sku in SKUS:
            await self._put(f"/v1/skus/{sku}", {"name": sku})
        body = {
            "name": "Drill",
            "starts_at": (now - timedelta(hours=1)).isoformat(),
            "ends_at": (now + timedelta(hours=6)).isoformat(),
            "channels": [CHANNEL],
            "skus": [{"sku": sku, "quota": {CHANNEL: units}, "per_buyer_limit": 9} for sku in SKUS],
            "hold_seconds": 7_200,
        }
        await self._put(f"/v1/campaigns/{CAMPAIGN}", body)
        until = self._clock.monotonic() + _PUBLISHED_WITHIN_S
        while not await self._is_open():
            if self._clock.monotonic() > until:
                raise SaleFailed("the sale did not open")
            await asyncio.sleep(_POLL_S)

    async def fill(self, orders: int) -> None:
        """Have so many orders accepted, as fast as they are taken."""
        wanted = len(self.seen.accepted) + orders
        while (lacking := wanted - len(self.seen.accepted)) > 0:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(_AT_ONCE // 8, -(-lacking // 100))):
                    tasks.create_task(self._ask(min(100, lacking)))

    async def run(self, orders_per_second: int, seconds: float) -> int:
        """Send orders at a rate, whatever becomes of them; return how many were sent."""
        began, sent, free = self._clock.monotonic(), 0, asyncio.Semaphore(_AT_ONCE)
        batch = min(BATCH, orders_per_second)
        async with asyncio.TaskGroup() as tasks:
            while (now := self._clock.monotonic() - began) < seconds:
                due = sent / orders_per_second
                if due > now:
                    await asyncio.sleep(due - now)
                elif now - due > _LAG_MAX_S:
                    began += now - due  # the generator was held up: it does not catch up
                await free.acquire()
                asking = tasks.create_task(self._ask(batch))
                asking.add_done_callback(lambda _: free.release())
                sent += batch
        return sent

    async def replayed(self, numbers: list[str]) -> int:
        """Send accepted orders once more; return how many are known to be the same."""
        same = 0
        for first in range(0, len(numbers), BATCH):
            chunk = numbers[first : first + BATCH]
            for result in await self._send(chunk):
                same += result["status"] == HTTPStatus.OK
        return same

    async def _ask(self, orders: int) -> None:
        first, self._numbers = self._numbers, self._numbers + orders
        numbers = [f"d-{number}" for number in range(first, first + orders)]
        results = await self._send(numbers)
        now = self._clock.monotonic()
        for number, result in zip(numbers, results, strict=True):
            match result["status"]:
                case HTTPStatus.ACCEPTED | HTTPStatus.CREATED | HTTPStatus.OK:
                    self.seen.accepted[number] = now
                case HTTPStatus.SERVICE_UNAVAILABLE if result.get("code") == "outcome_unknown":
                    self.seen.unknown += 1
                case _:
                    self.seen.refused[str(result.get("code", result["status"]))] += 1

    async def _send(self, numbers: list[str]) -> list[dict[str, Any]]:
        body = msgspec.json.encode({"orders": [_order(number) for number in numbers]})
        answer = await self._client.request(self._client.compose("POST", "/v1/orders:batch", body))
        if answer.status == HTTPStatus.OK:
            found: list[dict[str, Any]] = msgspec.json.decode(answer.body)["results"]
            return found
        code = "outcome_unknown" if answer.status == NO_ANSWER else "refused"
        return [{"status": HTTPStatus.SERVICE_UNAVAILABLE, "code": code}] * len(numbers)

    async def _is_open(self) -> bool:
        """Ask for an order that nobody takes: its campaign is there when the quantity is judged."""
        path = f"/v1/campaigns/{CAMPAIGN}"
        answer = await self._client.request(self._client.compose("GET", path))
        return bool(msgspec.json.decode(answer.body).get("published"))

    async def _put(self, path: str, body: dict[str, Any]) -> None:
        raw = self._client.compose("PUT", path, msgspec.json.encode(body))
        answer = await self._client.request(raw)
        if answer.status != HTTPStatus.CREATED:
            raise SaleFailed(f"PUT {path}: {answer.body.decode()[:300]}")


def _order(number: str) -> dict[str, Any]:
    """Return an order as posted; the same number is always the same order."""
    n = int(number.partition("-")[2])
    price = {"amount": 9_900, "currency": "CNY"}
    return {
        "channel": CHANNEL,
        "channel_order_id": number,
        "campaign": CAMPAIGN,
        "buyer_id": f"b-{n}",
        "lines": [{"sku": SKUS[n % len(SKUS)], "quantity": 1, "unit_price": price}],
    }
