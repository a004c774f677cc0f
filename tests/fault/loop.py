"""Kill something at a random moment under load, again and again; the long form of the kill loops.

    python -m tests.fault.loop --rounds 30 --victim valkey

Every round measures, from the kill (of a stop: from the SIGCONT), until a fresh order is accepted
and until it is recorded. At the end everything any buyer was told is compared with Postgres.
"""

import argparse
import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

import aiohttp
import asyncpg

from engine import settings as settings_of
from engine.assurance.verify import certify
from engine.infra import postgres
from engine.infra.migrate import migrate
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import SystemClock
from tests.conftest import eventually
from tests.fault.audit import SHOPS, Audit, Keeper, servers
from tests.fault.books import compare
from tests.fault.buyers import Buyers, reckon
from tests.fault.engines import ADMIN, an_order, campaign_of
from tests.fault.marketplace import TMALL
from tests.fault.sellers import SHARED, Sellers
from tests.fault.sellers import reckon as reckon_sellers

ACCEPT_BAR_S = 8.0
RECORD_BAR_S = 12.0
GIVE_UP_S = 40.0
CALM_S = (0.2, 1.5)
STOCK = {"A": 1_000_000, "B": 1_000_000, "HOT": 40}
VICTIMS = ("api", "worker", "valkey", "postgres", "stop-valkey", "stop-worker")


@dataclass
class Round:
    """What one kill did, in seconds."""

    victim: str
    accepted_s: float
    recorded_s: float


@dataclass
class Report:
    """All rounds, and what did not agree at the end."""

    rounds: list[Round] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    orders: int = 0
    payments: int = 0
    snapshots: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)

    def table(self) -> str:
        lines = [f"{'victim':<12} rounds   accepted again s     recorded again s"]
        lines += [f"{'':<12}          median     max       median     max"]
        for victim in dict.fromkeys(one.victim for one in self.rounds):
            mine = [one for one in self.rounds if one.victim == victim]
            cells_ = [
                f"{of(values):8.2f}"
                for values in ([one.accepted_s for one in mine], [one.recorded_s for one in mine])
                for of in (median, max)
            ]
            lines.append(f"{victim:<12} {len(mine):6} {' '.join(cells_)}")
        lines.append(f"orders acknowledged {self.orders}, payments {self.payments}")
        lines.append(f"orders of the marketplace {self.snapshots}, {self.counts}")
        lines.append(f"answers {self.statuses}")
        lines += [f"WRONG: {one}" for one in self.wrong[:20]]
        return "\n".join([*lines, f"faults found: {len(self.wrong)}"])

    def late(self) -> list[Round]:
        return [
            one
            for one in self.rounds
            if one.accepted_s > ACCEPT_BAR_S or one.recorded_s > RECORD_BAR_S
        ]


class Loop:
    """One instance with two APIs and two workers, and its buyers."""

    def __init__(self, supervisor: Supervisor, rng: random.Random, stop_s: float) -> None:
        self.supervisor, self.rng, self.stop_s = supervisor, rng, stop_s
        self.settings = supervisor.settings
        self.probes = 0
        self.probed: dict[str, float] = {}

    async def run(self, victims: Sequence[str], tell: Callable[[str], None]) -> Report:
        report = Report()
        await self.open_sale()
        base, audit = self.supervisor.address, Audit(self.settings)
        buyers = Buyers(base, self.rng, prefix="o", shared=SHARED)
        sellers, keeper = Sellers(base, self.rng), Keeper(base, self.settings, self.rng)
        audit.books.together = await self._open_shops(keeper)
        async with asyncio.TaskGroup() as tasks:
            for one in (buyers, sellers, keeper, audit):
                tasks.create_task(one.run())
            for number, victim in enumerate(victims, start=1):
                await asyncio.sleep(self.rng.uniform(*CALM_S))
                one = await self._round(victim)
                report.rounds.append(one)
                await audit.certify(sellers)
                tell(
                    f"{number}/{len(victims)} {victim}: accepted after {one.accepted_s:.2f} s,"
                    f" recorded after {one.recorded_s:.2f} s"
                )
            for one in (buyers, sellers, keeper, audit):
                one.stopped.set()
        report.wrong = await self.reckoning(buyers, sellers)
        report.wrong += [*keeper.strange, *await self._repaid(keeper, audit)]
        report.snapshots = len(sellers.told())
        report.counts = {**audit.counts, **audit.books.repaid_by}
        report.orders = sum(bool(one.accepted) for one in buyers.bought.values())
        report.payments = sum(bool(one.paid) for one in buyers.bought.values())
        report.statuses = dict(sorted((buyers.statuses + sellers.statuses).items()))
        return report

    async def _round(self, victim: str) -> Round:
        stops, meanwhile_s = victim.startswith("stop-"), 0.0
        name = await self._name(victim.removeprefix("stop-"))
        if stops:
            since = time.monotonic()
            self.supervisor.kill(name, signal.SIGSTOP)
            if victim == "stop-worker":  # the other one takes over while this one is stopped
                await self.recorded(await self.accepted())
                meanwhile_s = time.monotonic() - since
            await asyncio.sleep(max(0.0, since + self.stop_s - time.monotonic()))
            since = time.monotonic()
            self.supervisor.kill(name, signal.SIGCONT)
        else:
            since = time.monotonic()
            pid = self.supervisor.kill(name)
        number = await self.accepted()
        accepted_s = time.monotonic() - since
        await self.recorded(number)
        recorded_s = time.monotonic() - since
        if not stops:
            await asyncio.to_thread(self.supervisor.wait_replaced, name, pid, 10.0)
        return Round(victim, accepted_s, max(recorded_s, meanwhile_s))

    async def _name(self, victim: str) -> str:
        """A random API process; of the workers the one that records."""
        if victim == "api":
            return f"api-{self.rng.randrange(2)}"
        if victim != "worker":
            return victim
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            owner = await connection.fetchval("SELECT owner FROM cells")
        finally:
            await connection.close()
        return str(owner).rpartition("-")[0] or "worker-0"

    async def accepted(self) -> str:
        """Order, a new order each time, until one is accepted."""
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            self.probes += 1
            number = f"probe-{self.probes}"
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                if await self._post("/v1/orders", an_order(number), within_s=1.0) == 202:
                    return number
            await asyncio.sleep(0.02)
        raise AssertionError(f"no order was accepted within {GIVE_UP_S:g} s: {await self._why()}")

    async def _why(self) -> str:
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            return str(await connection.fetchval("SELECT closed_reason FROM cells"))
        finally:
            await connection.close()

    async def recorded(self, number: str) -> None:
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            with suppress(*postgres.UNAVAILABLE):
                connection = await asyncpg.connect(self.settings.database_url, timeout=2)
                try:
                    while time.monotonic() < deadline:
                        if await connection.fetchval(
                            "SELECT 1 FROM orders WHERE channel_order_id = $1", number, timeout=2
                        ):
                            return
                        await asyncio.sleep(0.02)
                finally:
                    connection.terminate()
            await asyncio.sleep(0.02)
        raise AssertionError(f"{number} was not recorded within {GIVE_UP_S:g} s")

    async def _post(
        self, path: str, body: object, *, method: str = "POST", within_s: float = 10.0
    ) -> int:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        timeout = aiohttp.ClientTimeout(total=within_s)
        url = self.supervisor.address + path
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body, headers=headers) as answer,
        ):
            await answer.read()
            return answer.status

    async def open_sale(self) -> None:
        for path, body in campaign_of(STOCK):
            assert await self._post(path, body, method="PUT") == 201, path
        await self.recorded(await self.accepted())

    async def _open_shops(self, keeper: Keeper) -> frozenset[str]:
        """Return the pools that the marketplace draws from."""
        for path, body in SHOPS:
            assert await self._post(path, body, method="PUT") == 201, path
        await eventually(keeper.is_open, within_s=GIVE_UP_S)
        async with servers(self.settings) as (_, pool):
            rows = await pool.fetch(
                "SELECT pool_id FROM pools WHERE sku = $1 AND channel = any($2)",
                SHARED, ["", TMALL],
            )  # fmt: skip
        return frozenset(row["pool_id"] for row in rows)

    async def _repaid(self, keeper: Keeper, audit: Audit) -> list[str]:
        """Grant more than is owed: nothing is short any more, and the books agree to the end."""
        await eventually(lambda: keeper.grant(10_000), within_s=GIVE_UP_S)
        left = (
            "SELECT (SELECT sum(owed) FROM pools) + (SELECT count(*) FROM shorts)"
            " + (SELECT count(*) FROM blocks WHERE code = 'short')"
            " + (SELECT count(*) FROM orders WHERE stock_state = 'short')"
            " + (SELECT count(*) FROM order_lines WHERE short <> 0)"
        )
        deadline = time.monotonic() + GIVE_UP_S
        async with servers(self.settings) as (cell, pool):
            while await pool.fetchval(left):
                assert time.monotonic() < deadline, "orders stay short"
                await asyncio.sleep(0.05)
            found = await certify(cell, pool, SystemClock(), within_s=60)
            async with pool.acquire() as connection:
                audit.note(await compare(connection, audit.books, cell.redis))
        return [*found.faults, *audit.wrong, *audit.books.faults]

    async def reckoning(self, buyers: Buyers, sellers: Sellers | None = None) -> list[str]:
        async with servers(self.settings) as (cell, pool):
            found = await certify(cell, pool, SystemClock(), within_s=60)
            await self._received_are_applied(pool)
            async with pool.acquire() as connection:
                wrong = await reckon(connection, buyers)
                if sellers is not None:
                    wrong += await reckon_sellers(connection, sellers)
                twice = await connection.fetch(
                    "SELECT order_id, kind FROM events WHERE kind IN ('order.reserved',"
                    " 'order.synced', 'order.paid', 'order.cancelled')"
                    " GROUP BY order_id, kind HAVING count(*) <> 1"
                )
            wrong += [f"{row['kind']} of {row['order_id']} is told twice" for row in twice]
            return [*found.faults, *wrong]

    async def _received_are_applied(self, pool: postgres.Pool) -> None:
        deadline = time.monotonic() + GIVE_UP_S
        while await pool.fetchval("SELECT count(*) FROM payments WHERE state = 'received'"):
            assert time.monotonic() < deadline, "payments stay received"
            await asyncio.sleep(0.05)


def run(
    victims: Sequence[str],
    *,
    seed: int,
    stop_s: float,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Start an instance of its own, run the rounds, stop it."""
    asked = {
        "TIDEGATE_HTTP_PORT": "0",
        "TIDEGATE_ADMIN_KEY": ADMIN,
        "TIDEGATE_LOG_LEVEL": "info",
        "TIDEGATE_LOG_KEEP_SECONDS": "5",
    }
    deaths = []

    ups: dict[str, int] = {}

    def watch(sentence: str) -> None:
        """Note when a process that had come up ends by itself; one that meets a server which is
        away at its start may give up, and is started again."""
        name = sentence.split(maxsplit=1)[0]
        if name.startswith(("api-", "worker-")) and " was " not in sentence.partition(";")[0]:
            *before, lived = supervisor.log_of(name).split('_up"')
            if len(before) > ups.get(name, 0):
                deaths.append(f"{sentence}\n{lived[-6_000:]}")
            ups[name] = len(before)
        elif name.startswith(("api-", "worker-")) and "ended by" in sentence:
            ups[name] = supervisor.log_of(name).count('_up"')
        tell(sentence)

    settings = settings_of.load(asked)
    supervisor = Supervisor(settings, ephemeral=True, api_processes=2, workers=2, tell=watch)
    with supervisor:
        asyncio.run(migrate(supervisor.settings.database_url or ""))
        supervisor.start_engine()
        supervisor.wait_ready()
        loop = Loop(supervisor, random.Random(seed), stop_s)
        try:
            report = asyncio.run(loop.run(victims, tell))
        except BaseException:
            for name in supervisor.names():
                tell(f"--- {name}\n{supervisor.log_of(name)[-3_000:]}")
            raise
    report.wrong += deaths
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--victim", choices=VICTIMS, action="append")
    parser.add_argument("--rounds", type=int, default=30, help="of each victim")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stop-seconds", type=float, default=20.0)
    asked = parser.parse_args()
    victims = list(asked.victim or VICTIMS) * asked.rounds
    report = run(victims, seed=asked.seed, stop_s=asked.stop_seconds, tell=_say)
    print(report.table())  # noqa: T201 - its output
    for late in report.late():
        print(f"LATE: {late}")  # noqa: T201
    return 1 if report.wrong or report.late() else 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
