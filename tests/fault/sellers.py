"""A marketplace that sells whatever we have, and tells of it until it is told yes."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import msgspec

from tests.fault.engines import ADMIN
from tests.fault.marketplace import TMALL, line, snapshot

SHARED = "T"  # the SKU that the marketplace and the mall sell from one pool
ANSWER_S = 4.0
BETWEEN_S = 0.4
AGAIN = {429, 502, 503, 504}


@dataclass
class Sold:
    """One order of the marketplace as it is there; `told` is the newest version we said yes to."""

    number: str
    placed_at: str
    quantity: int
    status: str
    version: int = 1
    refunded: int = 0
    moved: int = 0
    told: int = 0
    created: int = 0

    @property
    def units(self) -> int:
        return 0 if self.status == "closed" else self.quantity - self.refunded

    @property
    def is_over(self) -> bool:
        return self.status in {"closed", "delivered"}

    def document(self) -> dict[str, Any]:
        # what was shipped stays sold, but nothing here is closed after that
        lines = line(SHARED, self.quantity, refunded_quantity=self.refunded)
        where = {"city": "杭州市", "address": f"{self.moved}"}
        return snapshot(
            self.number, self.version, self.status, lines, placed_at=self.placed_at, ship_to=where
        )

    def change(self, rng: random.Random) -> None:
        self.version += rng.randint(1, 3)  # some versions nobody is told of
        if self.status == "unpaid":
            self.status = "paid" if rng.random() < 0.8 else "closed"
        elif self.status == "shipped":
            self.status = "delivered"
        else:
            what = rng.random()
            if what < 0.4 and self.units > 1:
                self.refunded += 1
            elif what < 0.6:
                self.moved += 1
            else:
                self.status = "shipped" if what < 0.8 else "closed"


class Sellers:
    """Several connections, each with orders of its own; old snapshots come again with new ones."""

    def __init__(self, base: str, rng: random.Random) -> None:
        self.base = base
        self.orders: dict[str, Sold] = {}
        self.strange: list[str] = []
        self.statuses: Counter[str] = Counter()
        self.stopped = asyncio.Event()
        self._rng = rng
        self._began = datetime.now(UTC)

    async def run(self, sellers: int = 3) -> None:
        """Sell until stopped; every snapshot that was begun is answered before this returns."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(sellers):
                tasks.create_task(self._seller(session))

    def told(self) -> dict[str, int]:
        """Return the newest version of each order that was answered with yes."""
        return {number: one.told for number, one in self.orders.items() if one.told}

    async def _seller(self, session: aiohttp.ClientSession) -> None:
        mine: list[Sold] = []
        before: list[dict[str, Any]] = []
        while not self.stopped.is_set():
            body = self._changes(mine)
            again = [self._rng.choice(before)] if before and self._rng.random() < 0.3 else []
            await self._bring(session, [*again, *body])
            before = [*before[-20:], *body]
            mine = [one for one in mine if not one.is_over][-30:]
            await asyncio.sleep(self._rng.uniform(0, BETWEEN_S))

    def _changes(self, mine: list[Sold]) -> list[dict[str, Any]]:
        body: dict[str, dict[str, Any]] = {}
        for _ in range(self._rng.randint(1, 6)):
            if not mine or self._rng.random() < 0.4:
                one = self._new()
                mine.append(one)
            else:
                one = self._rng.choice(mine)
                if one.number in body or one.is_over:
                    continue
                one.change(self._rng)
            body[one.number] = one.document()
        return list(body.values())

    def _new(self) -> Sold:
        rng = self._rng
        # of some the cell may have forgotten all, and Postgres is asked
        days = timedelta(days=9) if rng.random() < 0.1 else timedelta()
        placed_at = (self._began - days - timedelta(minutes=rng.randrange(1_440))).isoformat()
        status = rng.choice(["unpaid", "paid", "paid"])
        one = Sold(f"t{len(self.orders) + 1}", placed_at, rng.randint(1, 3), status)
        self.orders[one.number] = one
        return one

    async def _bring(self, session: aiohttp.ClientSession, documents: list[dict[str, Any]]) -> None:
        """Send the same again, whole or what was not taken, until all was answered."""
        headers = {"Authorization": f"Bearer {ADMIN}"}
        while documents:
            body = {"orders": documents}
            try:
                async with session.post(
                    f"{self.base}/v1/orders:sync", json=body, headers=headers
                ) as answer:
                    text = await answer.text()
            except (aiohttp.ClientError, TimeoutError, OSError) as lost:
                self.statuses[f"sync {type(lost).__name__}"] += 1
            else:
                self.statuses[f"sync {answer.status}"] += 1
                if answer.status == 200:
                    documents = self._answered(documents, msgspec.json.decode(text)["results"])
                elif answer.status not in AGAIN:
                    self.strange.append(f"sync {answer.status}: {text[:200]}")
                    return
            if documents:
                await asyncio.sleep(0.05)

    def _answered(
        self, documents: list[dict[str, Any]], results: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        again = []
        for document, told in zip(documents, results, strict=True):
            one, version = self.orders[document["channel_order_id"]], int(document["version"])
            word = told.get("result", f"{told['status']} {told.get('code')}")
            self.statuses[f"snapshot {word}"] += 1
            if told["status"] == 200:
                one.told = max(one.told, version)
                one.created += word == "created"
                if int(told["version"]) < version:
                    self.strange.append(f"{one.number}: version {version} got {told}")
            elif told["status"] in AGAIN:
                again.append(document)
            else:
                self.strange.append(f"{one.number}: version {version} got {told}")
        return again


async def missing(pg: asyncpg.Connection, told: dict[str, int]) -> list[str]:
    """Return what we said yes to and Postgres does not have, in that version or a newer one."""
    rows = await pg.fetch("SELECT channel_order_id, version FROM orders WHERE channel = $1", TMALL)
    recorded = {row["channel_order_id"]: int(row["version"]) for row in rows}
    return [
        f"{number} was told at version {version}, recorded is {recorded.get(number)}"
        for number, version in told.items()
        if recorded.get(number, 0) < version
    ]


async def reckon(pg: asyncpg.Connection, sellers: Sellers) -> list[str]:
    """Compare every order of the marketplace, all of it, with what is recorded."""
    rows = await pg.fetch(
        "SELECT channel_order_id, version, source_status, ("
        "  SELECT coalesce(sum((d ->> 2)::bigint), 0) FROM jsonb_array_elements(draws) AS d"
        ") AS units FROM orders WHERE channel = $1",
        TMALL,
    )
    recorded = {
        row["channel_order_id"]: (int(row["version"]), row["source_status"], row["units"])
        for row in rows
    }
    wrong = list(sellers.strange)
    for number, one in sellers.orders.items():
        truth = (one.version, one.status, one.units)
        if recorded.get(number) != truth:
            wrong.append(f"{number} is {truth}, recorded is {recorded.get(number)}")
        if one.created > 1:
            wrong.append(f"{number} was created {one.created} times")
    return wrong + [f"{name} is recorded and was never sold" for name in recorded.keys()
                    - sellers.orders.keys()]  # fmt: skip
