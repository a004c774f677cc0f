"""Watches the books of a running instance: the log, the cell and Postgres, while things die."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import asyncpg
import msgspec

from engine.assurance.verify import certify
from engine.infra import cell as cells
from engine.infra import postgres
from engine.infra.cell import Cell
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Closed, OutcomeUnknown
from engine.kernel.types import CellId
from engine.settings import Settings
from tests.fault.books import Books, compare
from tests.fault.buyers import QUICK
from tests.fault.engines import ADMIN, CHANNEL
from tests.fault.marketplace import TMALL
from tests.fault.sellers import SHARED, Sellers, missing

EVERY_S = 0.5
AWAY = (*postgres.UNAVAILABLE, asyncpg.PostgresError, OutcomeUnknown, Closed)


@asynccontextmanager
async def servers(settings: Settings) -> AsyncIterator[tuple[Cell, postgres.Pool]]:
    """Clients of both servers of an instance."""
    pool = await postgres.open_pool(settings.database_url or "")
    redis = cells.client(settings.valkey_url or "")
    try:
        yield Cell(redis, CellId(settings.cell), SystemClock()), pool
    finally:
        await redis.aclose()
        pool.terminate()


class Audit:
    """Compares again and again; whatever never may be is in `wrong`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.books = Books()
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        """Read the log before it is cut, and hold Postgres against it; who is away, later."""
        while not self.stopped.is_set():
            with suppress(*AWAY):
                await self._look()
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> None:
        redis = cells.client(self.settings.valkey_url or "")
        connection = None
        try:
            await self.books.read(redis)
            connection = await asyncpg.connect(self.settings.database_url, timeout=2)
            self.note(await compare(connection, self.books, redis))
            self.counts["comparisons"] += 1
        finally:
            await redis.aclose()
            if connection is not None:
                connection.terminate()

    def note(self, wrong: list[str]) -> None:
        if len(self.wrong) < 50:
            self.wrong += wrong

    async def certify(self, sellers: Sellers) -> None:
        """Both sides at one checkpoint, and what we said yes to before it is in Postgres."""
        async with asyncio.timeout(40):
            while True:
                told = sellers.told()
                try:
                    async with servers(self.settings) as (cell, pool):
                        found = await certify(cell, pool, SystemClock(), within_s=20)
                        async with pool.acquire() as connection:
                            self.note([*found.faults, *await missing(connection, told)])
                except AWAY:
                    await asyncio.sleep(EVERY_S)
                    continue
                if found.oversold_by_us:
                    self.note([f"oversold by us: {found.oversold_by_us}"])
                self.counts["certificates"] += 1
                return


class Keeper:
    """Gives the shared SKU a few units at a time: by grants, and by moves out of the mall's own."""

    def __init__(self, base: str, settings: Settings, rng: random.Random) -> None:
        self.base, self.settings = base, settings
        self.stopped = asyncio.Event()
        self.strange: list[str] = []
        self._rng = rng
        self._moves = 0

    async def run(self) -> None:
        """Grant less than is owed or a little more, again and again: pools owe, and sell on."""
        while not self.stopped.is_set():
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))
            with suppress(*AWAY, aiohttp.ClientError):
                owed = await self._owed()
                if self._rng.random() < 0.3:
                    await self._move(self._rng.randint(1, 4))
                else:
                    enough = owed + 20 if self._rng.random() < 0.4 else owed // 2
                    await self.grant(
                        self._rng.randint(enough // 2, enough), self._rng.randint(0, 2)
                    )

    async def is_open(self) -> bool:
        """Whether the cell was told of the shops and of what they share."""
        for path, _ in SHOPS:
            _, document, _ = await self._call("GET", path)
            if not document.get("published", True):
                return False
        return True

    async def _owed(self) -> int:
        connection = await asyncpg.connect(self.settings.database_url, timeout=2)
        try:
            return int(await connection.fetchval("SELECT sum(owed) FROM pools") or 0)
        finally:
            connection.terminate()

    async def grant(self, shared: int, own: int = 0) -> bool:
        """Add units to the shared pool and to the mall's own; False: to be tried again."""
        status, before, etag = await self._call("GET", f"/v1/supply-policies/{SHARED}")
        if status != 200:
            return False
        channels = [
            {**one, "quota": one["quota"] + own * (one["channel"] == CHANNEL)}
            for one in before["channels"]
        ]
        body = {"sku": SHARED, "shared": before["shared"] + shared, "channels": channels}
        path = f"/v1/supply-policies/{SHARED}"
        status, document, _ = await self._call("PUT", path, body, {"If-Match": etag})
        if status not in {200, 412, 503}:
            self.strange.append(f"grant: {status} {document}")
        return status == 200

    async def _move(self, units: int) -> None:
        self._moves += 1
        body = {
            "move_id": f"v{self._moves}", "sku": SHARED, "units": units,
            "from": {"channel": CHANNEL}, "to": {},
        }  # fmt: skip
        status, document, _ = await self._call("POST", "/v1/pools:move", body)
        if status not in {200, 409, 503}:
            self.strange.append(f"move: {status} {document}")

    async def _call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, object], str]:
        named = {"Authorization": f"Bearer {ADMIN}", **(headers or {})}
        timeout = aiohttp.ClientTimeout(total=5)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self.base + path, json=body, headers=named) as answer,
        ):
            document = msgspec.json.decode(await answer.read())
            return answer.status, document, answer.headers.get("ETag", "")


# What to PUT, in order, for a SKU that the mall, a quick channel and a marketplace share.
SHOPS = [
    (f"/v1/channels/{TMALL}", {"name": "Tmall", "authority": "external"}),
    (f"/v1/channels/{QUICK}", {"name": "Quick", "hold_seconds": 1, "grace_seconds": 0}),
    (f"/v1/skus/{SHARED}", {"name": SHARED}),
    (
        f"/v1/supply-policies/{SHARED}",
        {
            "sku": SHARED,
            "shared": 60,
            "channels": [
                {"channel": TMALL, "quota": 10},
                {"channel": CHANNEL, "quota": 10},
                {"channel": QUICK},
            ],
        },
    ),
]
