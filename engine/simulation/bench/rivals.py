"""The servers the engine is compared with, each a process of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from engine import settings as settings_of
from engine.kernel.ids import token
from engine.settings import Settings
from engine.simulation.bench import rowlock
from engine.simulation.bench.children import Child
from engine.simulation.bench.meter import Server
from engine.simulation.bench.shelf import SKUS


class Rivals:
    """The bare handler and the row-lock processes; `stop` ends them and drops their tables."""

    def __init__(self, settings: Settings) -> None:
        """Take the running instance's settings; nothing is started yet."""
        self._dsn: Final = settings.database_url or ""
        self._environment: Final = settings_of.environment(
            replace(settings, admin_key=None, valkey_url=None)
        )
        self._schema = ""
        self._running: dict[str, tuple[Child, Server]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process of the bench is started with."""
        return self._environment

    async def bare(self) -> Server:
        """Start the bare handler."""
        return await self._start("bare", "bare")

    async def rowlock(self, size: int) -> Server:
        """Start a row-lock process with that many connections, or return the running one."""
        if not self._schema:
            self._schema = f"bench_rowlock_{token(4)}"
            await rowlock.make(self._dsn, self._schema, SKUS)
        return await self._start(f"rowlock-{size}", "rowlock", self._schema, str(size))

    async def end_rowlock(self, size: int) -> None:
        """Stop one, so that its connections do not stand by while others are measured."""
        running = self._running.pop(f"rowlock-{size}", None)
        if running is not None:
            await running[0].stop()

    async def stop(self) -> None:
        """Stop all of them; nothing of theirs stays in the database."""
        for name in list(self._running):
            await self._running.pop(name)[0].stop()
        if self._schema:
            await rowlock.drop(self._dsn, self._schema)

    async def _start(self, name: str, module: str, *arguments: str) -> Server:
        running = self._running.get(name)
        if running is not None:
            return running[1]
        child = await Child.start(module, *arguments, environment=self._environment)
        try:
            server = Server(child.pid, int(await child.hear()))
        except BaseException:
            await child.stop()
            raise
        self._running[name] = child, server
        return server
