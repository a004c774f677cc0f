"""An instance with servers of its own, so that anything of it may be killed."""

import asyncio
import itertools
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import aiohttp
import asyncpg
from redis.asyncio import Redis

from engine import settings as settings_of
from engine.infra.migrate import migrate
from engine.infra.servers.ports import free_port
from engine.infra.servers.process import Recipe
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import SystemClock
from engine.simulation.warehouse import Books, Knobs, Server
from tests.conftest import eventually
from tests.fault.engines import ADMIN, Remote, campaign_of
from tests.fault.marketplace import TMALL
from tests.flow.fulfilment import HERE, QUICK, SECRET, Brand, furnish
from tests.flow.telling import receiver

API, WORKER = "api-0", "worker-0"
LOCAL = "127.0.0.1"
STOCK = {"A": 1_000_000}
ASKED = {
    "TIDEGATE_HTTP_PORT": "0",
    "TIDEGATE_ADMIN_KEY": ADMIN,
    "TIDEGATE_LOG_KEEP_SECONDS": "5",
    "TIDEGATE_PLAIN_HTTP_HOSTS": LOCAL,
    "TIDEGATE_WEBHOOK_PRIVATE_HOSTS": LOCAL,
    "TIDEGATE_WEBHOOK_TIMEOUT_SECONDS": "1",
}
PATIENCE = aiohttp.ClientTimeout(total=2)
UNANSWERED = (aiohttp.ClientError, OSError, TimeoutError)


class Instance(Brand):
    """One API process, one worker, a brand with two warehouses, and clients of all of it."""

    def __init__(self, supervisor, session, told_to, worker_port):
        super().__init__(Remote(session, supervisor.address), None, {})
        self.supervisor, self.settings = supervisor, supervisor.settings
        self.receiver = told_to
        self._worker_port, self._numbers = worker_port, itertools.count()

    def number(self):
        """Return an order's number that nobody used before."""
        return f"n{next(self._numbers)}"

    def targets(self):
        """Return where its processes tell their metrics, by job."""
        return {
            "api": [self.api.address.removeprefix("http://")],
            "up": [f"{LOCAL}:{self.settings.metrics_port}"],
            "worker": [f"{LOCAL}:{self._worker_port}"],
        }

    async def sql(self, statement, *values):
        """Do a statement, over a connection of its own."""
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    @asynccontextmanager
    async def valkey(self):
        """Lend a client of the cell's server."""
        async with Redis.from_url(self.settings.valkey_url, protocol=2) as client:
            yield client

    async def command(self, *words):
        """Run `tidegate` to its end; return what it exited with."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine", *words,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env=settings_of.environment(self.settings),
        )  # fmt: skip
        return await child.wait()

    async def off(self, act, *values):
        """Do what blocks beside the loop."""
        return await asyncio.to_thread(act, *values)

    async def ready(self):
        await self.off(self.supervisor.wait_ready)

    @asynccontextmanager
    async def stopped(self, name):
        """Let a process stand still."""
        self.supervisor.kill(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self.supervisor.kill(name, signal.SIGCONT)

    async def order(self, *lines):
        """Order once, whatever comes of it."""
        with suppress(*UNANSWERED):
            return await self.api.buy(self.number(), *lines)


@asynccontextmanager
async def beside(work):
    """Run something until the block ends; it must not end before."""
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def meanwhile(act, every_s):
    """Do it again and again until the block ends, each time in a task of its own."""

    async def keep_on():
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(act())
                await asyncio.sleep(every_s)

    return beside(keep_on())


@asynccontextmanager
async def instance():
    """Run it with what it sells, and its warehouses, and somebody who is told by webhooks."""
    settings = settings_of.load(ASKED | {"TIDEGATE_METRICS_PORT": str(free_port())})
    supervisor = Supervisor(settings, ephemeral=True, api_processes=1, workers=0)
    await asyncio.to_thread(supervisor.start)
    try:
        await migrate(supervisor.settings.database_url)
        await asyncio.to_thread(supervisor.start_engine)
        told = free_port()
        supervisor.launch(_worker(supervisor, told))
        await asyncio.to_thread(supervisor.wait_ready)
        async with aiohttp.ClientSession(timeout=PATIENCE) as session, receiver() as there:
            one = Instance(supervisor, session, there, told)
            async with _warehouses(one):
                await _open(one)
                yield one
    finally:
        await asyncio.to_thread(supervisor.stop)


def _worker(supervisor, port):
    """A worker that tells its metrics itself, as one that is run alone."""
    own = replace(supervisor.settings, process_name=WORKER, metrics_port=port)
    return Recipe(
        name=WORKER, command=(sys.executable, "-P", "-m", "engine", "worker"),
        log=supervisor.home.log(WORKER), environment=settings_of.environment(own),
        stop_seconds=12.0,
    )  # fmt: skip


@asynccontextmanager
async def _warehouses(one):
    where = {node: f"{one.api.address}/v1/wms/{node}/callbacks" for node in HERE}
    async with AsyncExitStack() as stack:
        for node, address in where.items():
            server = Server(
                Books(Knobs(**QUICK)), SystemClock(), SECRET, node, lambda url=address: url
            )
            one.servers[node] = await stack.enter_async_context(server)
            await stack.enter_async_context(beside(server.tell("plain")))
        yield


async def _open(one):
    await furnish(one, "plain")
    await one.put(f"/v1/channels/{TMALL}", {"name": "Tmall", "authority": "external"})
    for path, body in campaign_of(STOCK):
        if not path.startswith("/v1/channels/"):
            await one.put(path, body)
    await one.activate()

    async def sells():
        answer = await one.order()
        return answer is not None and answer.status == 202

    await eventually(sells, within_s=20)
