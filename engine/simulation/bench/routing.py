"""Routing alone: orders that are due are routed and bound by one process and by two, and counted.

In a database of its own, so that an instance's routers have nothing to do with it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec

from engine import settings as settings_of
from engine.infra import postgres, queries
from engine.infra.cell import Cell
from engine.infra.migrate import migrate
from engine.infra.postgres import Pool
from engine.infra.runtime import Runtime
from engine.kernel.clock import SystemClock
from engine.kernel.ids import token
from engine.kernel.types import Tenant
from engine.settings import Settings
from engine.simulation.bench import cpu, routed
from engine.simulation.bench.children import Child
from engine.simulation.bench.report import RoutingRow
from engine.simulation.bench.types import BenchFailed, Routed

SQL: Final = queries.load("engine.simulation.bench")

PROCESSES: Final = (1, 2)
_QUICK: Final = ((20, "real"), (20, "sale"))
_ALL: Final = (*_QUICK, (10, "real"), (50, "real"), (50, "sale"))
_WARM_UP: Final = 3_000  # of many lines, so that every router has read most of the stock
_ROUTED_WITHIN_S: Final = 120.0
_LATE_S: Final = 0.1
_ALL_WITHIN_S: Final = 10.0  # of the end of all others


class Asked(NamedTuple):
    """How many orders a measurement has, and whether only the usual size is measured."""

    orders: int
    quick: bool


async def measure(
    settings: Settings, cell: Cell, postgres_pids: Sequence[int], asked: Asked
) -> AsyncIterator[RoutingRow]:
    """Yield what each size, mix of lines and number of processes came to.

    Raises:
        BenchFailed: orders were lost, routed twice, or not routed in time.
        LacksLibrary: conditions of rules cannot be checked here.
    """
    for nodes, lines in _QUICK if asked.quick else _ALL:
        async with _world(settings, cell, nodes) as world:
            # all orders are there before the first is routed: routers keep for a minute what they
            # worked out, and have it at a steady rate
            warm_up = await world.enqueue("real", _WARM_UP)
            loads = [(many, await world.enqueue(lines, asked.orders)) for many in PROCESSES]
            await world.route(warm_up, max(PROCESSES), ())
            for many, load in loads:
                yield await world.route(load, many, postgres_pids)


class _Load(NamedTuple):
    """Orders in the queue, due at no time: what their ids begin with, and what they are."""

    mark: str
    lines: str
    orders: int
    each: float


class _World:
    """Nodes and stock, and routers that wait to be told."""

    def __init__(self, pool: Pool, tenant: Tenant, nodes: int, routers: Sequence[Child]) -> None:
        self._pool, self._tenant, self._nodes, self._routers = pool, tenant, nodes, routers

    async def enqueue(self, lines: str, orders: int) -> _Load:
        """Put orders into the queue."""
        mark = f"bench-{token(4)}"
        async with self._pool.acquire() as db:
            each = await routed.enqueue(db, self._tenant, lines, orders, mark)
            await db.execute(SQL["tidy_up"])
        return _Load(mark, lines, orders, each)

    async def route(self, load: _Load, processes: int, postgres_pids: Sequence[int]) -> RoutingRow:
        """Have so many processes route orders.

        Raises:
            BenchFailed: they were not all routed.
        """
        orders = load.orders
        async with self._pool.acquire() as db:
            await db.execute(SQL["restock"])
            await db.execute(SQL["route_now"], load.mark)
            await db.execute(SQL["write_out"])
            roots = {"postgres": [one for pid in postgres_pids for one in cpu.tree(pid)]}
            before, began = cpu.read(roots), monotonic()
            told = await self._all_routed(self._routers[:processes])
            until = monotonic() + _ALL_WITHIN_S
            while True:
                after = cpu.read(roots)
                found = await db.fetchrow(SQL["routed"], load.mark)
                assert found is not None, "it counts"
                if not found["waiting"] or monotonic() > until:
                    break
                await asyncio.sleep(_LATE_S)  # who lost each time is due in a second
                told += await self._all_routed(self._routers[:processes])
        if (found["orders"], found["waiting"]) != (orders, 0):
            raise BenchFailed(
                f"of {orders} orders {found['orders']} are routed and {found['waiting']} wait"
            )
        if (ended := sum(one.orders for one in told)) != orders:
            raise BenchFailed(f"of {orders} orders {ended} were routed, some of them again")
        seconds = max(one.ended for one in told) - began
        spent = {
            "decide": sum(one.decide_s for one in told),
            "bind": sum(one.bind_s for one in told),
            "router": sum(one.cpu_s for one in told),
            **{role: used - before.get(role, 0.0) for role, used in after.items()},
        }
        return RoutingRow(
            nodes=self._nodes, lines=load.lines, lines_each=round(load.each, 1),
            processes=processes,
            orders=orders, parcels=found["parcels"], rebinds=sum(one.rebinds for one in told),
            orders_per_s=orders / seconds,
            cpu_us={role: used / orders * 1e6 for role, used in spent.items()},
        )  # fmt: skip

    @staticmethod
    async def _all_routed(routers: Sequence[Child]) -> list[Routed]:
        """Have routers route what is due."""
        for one in routers:
            await one.tell(b"go")
        heard = [await one.hear(_ROUTED_WITHIN_S) for one in routers]
        return [msgspec.json.decode(one, type=Routed) for one in heard]


@asynccontextmanager
async def _world(settings: Settings, cell: Cell, nodes: int) -> AsyncIterator[_World]:
    """Make a database with nodes and stock, start routers over it, and take all away again."""
    tenant = Tenant(settings.tenant)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_database(settings.database_url or ""))
        own = replace(settings, database_url=url)
        pool = await stack.enter_async_context(await postgres.open_pool(url))
        runtime = Runtime(settings=own, clock=SystemClock(), pool=pool, cell=cell, process="bench")
        await routed.furnish(runtime, tenant, nodes)
        routers = []
        for _ in range(max(PROCESSES)):
            child = await Child.start("router", environment=settings_of.environment(own))
            stack.push_async_callback(child.stop)
            await child.hear()
            routers.append(child)
        yield _World(pool, tenant, nodes, routers)


@asynccontextmanager
async def _database(server: str) -> AsyncIterator[str]:
    name = f"bench_routing_{token(4).lower()}"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        try:
            url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
            await migrate(url)
            yield url
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()
