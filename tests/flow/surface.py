"""Some slices' API over a test's Postgres without a cell, and the command that imports into it."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager

import msgspec
from aiohttp.test_utils import TestClient, TestServer

from engine import settings as settings_of
from engine.infra import postgres
from engine.infra.http.auth import Directory, ensure_admin_key
from engine.infra.http.server import build
from engine.infra.runtime import Runtime
from engine.kernel.clock import SystemClock

ADMIN = "an-admin-key-of-the-tests"


class Surface:
    """What can be asked of it."""

    def __init__(self, app, client, settings):
        self.app, self.client, self.settings = app, client, settings

    async def call(self, method, path, body=None, status=200, key=ADMIN, **query):
        answer = await self.client.request(
            method, path, json=body, params=query, headers={"Authorization": f"Bearer {key}"}
        )
        text = await answer.text()
        assert answer.status == status, text
        return msgspec.json.decode(text) if text else None

    async def import_(self, what, *words, url=True):
        """Run `tidegate import` as a process of its own, to its end."""
        return await self.command("import", what, *words, url=url)

    async def command(self, *words, url=True):
        """Run `tidegate` as a process of its own, to its end."""
        return await asyncio.to_thread(
            subprocess.run, self.commanded(*words), env=self.environment(url=url),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def commanded(self, *words):
        """Return the command."""
        return [sys.executable, "-m", "engine", *map(str, words)]

    def environment(self, *, url=True):
        """Return what a command finds set; without `url` no instance."""
        nothing = {"TIDEGATE_DATA_DIR": "/nonexistent", "TIDEGATE_HTTP_PORT": "1"}
        return {**os.environ, **(settings_of.environment(self.settings) if url else nothing)}


@asynccontextmanager
async def served(settings, database_url, slices, made=Surface, prepare=lambda _app, _process: None):
    """Serve slices; `prepare` puts into the application what they need besides."""
    clock = SystemClock()
    async with await postgres.open_pool(database_url) as pool:
        async with pool.acquire() as connection:
            await ensure_admin_key(connection, ADMIN, "main")
        process = Runtime(settings=settings, clock=clock, pool=pool, cell=None, process="test")
        routes = [one for slice_ in slices for one in slice_.routes()]
        app = build(process, Directory(pool, clock), routes, {})
        prepare(app, process)
        async with TestClient(TestServer(app)) as client:
            yield made(app, client, settings)
