"""What tests of webhooks share: a receiver, the API, a notifier, and events that happen."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import msgspec
from aiohttp import ClientSession

from engine import settings as settings_of
from engine.infra.runtime import RUNTIME, Runtime
from engine.webhooks import api as webhooks
from engine.webhooks.consumer import Notifier
from tests.conftest import eventually
from tests.flow.surface import Surface, served
from tests.race.routing import ORDERS

HAPPEN = """
INSERT INTO events (at, kind, order_id, data)
SELECT now(), o.kind, o.order_id, json_build_object('total', o.n, 'currency', 'CNY')
FROM unnest($1::text[], $2::text[], $3::int[]) WITH ORDINALITY AS o (kind, order_id, n, place)
ORDER BY o.place
"""
PATH = "/v1/webhooks"


class Receiver:
    """The process in which endpoints are."""

    def __init__(self, http, url):
        self._http, self.url = http, url

    async def behave(self, name, **how):
        async with self._http.put(f"{self.url}/{name}", json=how) as answer:
            assert answer.status == 200

    async def seen(self, name, query=""):
        async with self._http.get(f"{self.url}/{name}{query}") as answer:
            return msgspec.json.decode(await answer.read())

    async def delivered(self, name):
        """What it took and said so: [id, key, n]."""
        return [one[:3] for one in await self.seen(name) if 200 <= one[3] < 300]


@asynccontextmanager
async def receiver():
    """A receiver, until the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.flow.receiver", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        port = int(await child.stdout.readline())
        async with ClientSession() as http:
            yield Receiver(http, f"http://127.0.0.1:{port}")
    finally:
        child.stdin.close()
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


class World(Surface):
    """Webhooks, over HTTP and by hand."""

    pg = receiver = None

    async def add(self, name, **more):
        """Add an endpoint that is told everything."""
        body = {"url": f"{self.receiver.url}/{name}", **more}
        return await self.call("POST", PATH, body, 201)

    async def one(self, made, path="", status=200, method="GET", body=None, **query):
        where = f"{PATH}/{made['endpoint_id']}{path}"
        return await self.call(method, where, body, status, **query)

    async def happen(self, *told, kind="order.reserved"):
        """Let events of orders happen: (order id, n), in this order."""
        ids = sorted({one for one, _ in told})
        known = await self.pg.fetch("SELECT order_id FROM orders")
        new = sorted(set(ids) - {row["order_id"] for row in known})
        async with self.pg.transaction():
            await self.pg.fetch(ORDERS, new, ["[]"] * len(new))
            kinds, (orders, numbers) = [kind] * len(told), zip(*told, strict=True)
            await self.pg.execute(HAPPEN, kinds, orders, numbers)

    async def waits(self, made, count, state="waiting"):
        """Wait until so many messages are in a state."""

        async def is_so():
            return (await self.one(made))[state] == count

        await eventually(is_so, 10)

    async def noted(self, made):
        """Wait until all that an endpoint was told is written down."""

        async def is_so():
            shown = await self.one(made)
            return shown["backlog"] == shown["waiting"] == 0

        await eventually(is_so, 10)

    async def due(self):
        """Let all that waits be due."""
        await self.pg.execute("UPDATE webhook_waiting SET due_at = now()")

    async def takes(self, name, count, within_s=10):
        """Wait until an endpoint took so many; return what."""

        async def is_so():
            found = await self.receiver.delivered(name)
            assert len(found) >= count, found
            return found

        return await eventually(is_so, within_s)


@asynccontextmanager
async def world(settings, pg, **more):
    """An API and a receiver; nobody delivers yet."""
    chosen = {"webhook_private_hosts": "127.0.0.1", "webhook_timeout_seconds": 1, **more}
    settings = replace(settings, **chosen)
    async with (
        receiver() as there,
        served(settings, settings.database_url, [webhooks], made=World) as here,
    ):
        here.pg, here.receiver = pg, there
        yield here


@asynccontextmanager
async def notifying(here, name="n1", **more):
    """A notifier in this process."""
    process = here.app[RUNTIME]
    mine = Runtime(
        settings=process.settings, clock=process.clock, pool=process.pool, cell=None, process=name
    )
    task = asyncio.create_task(Notifier(mine, **more).run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


CHILD = """
import asyncio, os, sys, time, traceback
import structlog, uvloop
from engine import settings as settings_of
from engine.infra import duties, postgres
from engine.infra.runtime import Runtime
from engine.kernel.clock import SystemClock
from engine.kernel.ids import token
from engine.webhooks import consumer
from engine.webhooks.rules import retrying

duties.DUTY_SECONDS, consumer._DUTY_EVERY_S, consumer._LEASE_EVERY_S = 1, 0.3, 0.3
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def ended(task):
    if not task.cancelled():
        traceback.print_exception(task.exception())
        os._exit(1)

retrying.WAITS_S[:] = [0.1] * 50

async def main():
    settings = settings_of.load()
    loop = asyncio.get_running_loop()
    async with await postgres.open_pool(settings.database_url) as pool:
        one = Runtime(
            settings=settings, clock=SystemClock(), pool=pool, cell=None, process=token(4)
        )
        task = asyncio.create_task(consumer.Notifier(one, lease_spare_s=float(sys.argv[1])).run())
        task.add_done_callback(ended)
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(time.process_time(), flush=True)
        task.cancel()

uvloop.run(main())
"""


class Mortal:
    """A notifier that is a process of its own, and dies."""

    def __init__(self, settings, lease_spare_s=0.5):
        self._settings, self._spare_s, self._child = settings, lease_spare_s, None

    async def start(self):
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(self._spare_s), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **settings_of.environment(self._settings),
                 "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        while line := await asyncio.wait_for(self._child.stdout.readline(), 60):
            if line == b"ready\n":
                return
        raise AssertionError("the notifier did not start")

    async def cpu_s(self):
        """How much CPU it took so far."""
        self._child.stdin.write(b"\n")
        while line := await self._child.stdout.readline():
            with suppress(ValueError):
                return float(line)
        raise AssertionError("the notifier is gone")

    async def kill(self):
        self._child.kill()
        await self._child.wait()


@asynccontextmanager
async def mortal(settings):
    one = Mortal(settings)
    await one.start()
    try:
        yield one
    finally:
        await one.kill()
