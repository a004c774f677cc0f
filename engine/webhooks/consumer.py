"""The notifier: events become messages in one process at a time, and each endpoint is told by one.

Any number of processes may run it. Who has an endpoint has it by a lease, and all that it writes is
fenced by the lease's token.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final

import structlog

from engine.infra import duties
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import Runtime
from engine.infra.tasks import sleep
from engine.kernel.errors import EngineError
from engine.kernel.types import Tenant
from engine.webhooks.service import telling
from engine.webhooks.service.line import Line
from engine.webhooks.service.sending import Sender
from engine.webhooks.store import delivering as store
from engine.webhooks.store.delivering import Leased

LEASE_SPARE_S: Final = 15.0  # what a lease lasts longer than a call may
_LEASE_EVERY_S: Final = 1.0
_TAKEN_AT_ONCE: Final = 32
_DUTY: Final = "webhooks"
_DUTY_EVERY_S: Final = 2.0
_LOOK_S: Final = 0.2
# By what was found: there may be more; there is no endpoint.
_REST_S: Final[dict[int | None, float]] = {telling.AT_ONCE: 0.0, None: 1.0}
_PRUNE_EVERY_S: Final = 60.0
_CLOSE_S: Final = 2.0
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)

_log: Final = structlog.get_logger(__name__)


class Notifier:
    """The role `notifier` of one process."""

    def __init__(self, runtime: Runtime, *, lease_spare_s: float = LEASE_SPARE_S) -> None:
        """Take what it works with; nothing is leased yet."""
        self._runtime, self._tenant = runtime, Tenant(runtime.settings.tenant)
        self._lasts_s = runtime.settings.webhook_timeout_seconds + lease_spare_s
        self._lines: dict[str, tuple[Line, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Run until cancelled; servers that go away are waited for."""
        try:
            async with Sender(self._runtime) as sender, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell())
                tasks.create_task(self._listen())
                while True:
                    try:
                        await self._lease(sender, tasks)
                    except _AWAY as away:
                        _log.warning("notifier_waits", reason=type(away).__name__)
                    await sleep(_LEASE_EVERY_S)
        finally:
            await _quietly(self._leave_duty())

    async def _lease(self, sender: Sender, tasks: asyncio.TaskGroup) -> None:
        until = self._runtime.clock.monotonic() + self._lasts_s
        pool, process = self._runtime.pool, self._runtime.process
        mine = await store.lease(pool, self._tenant, process, self._lasts_s, _TAKEN_AT_ONCE)
        for name in self._lines.keys() - {one.endpoint_id for one in mine}:
            self._lines[name][1].cancel()
        for one in mine:
            line = await self._line_of(one, sender, tasks)
            if line is not None:
                line.until = until

    async def _line_of(
        self, leased: Leased, sender: Sender, tasks: asyncio.TaskGroup
    ) -> Line | None:
        """Return the line of an endpoint, begun now if there is none, and as it is told now."""
        running = self._lines.get(leased.endpoint_id)
        line = running[0] if running is not None else None
        if line is not None and line.endpoint.token == leased.token:
            if line.endpoint.version == leased.version:
                return line
            found = await store.endpoint(self._runtime.pool, leased.endpoint_id)
            if found is not None and found.token == leased.token:
                line.endpoint = found
            return line
        if running is not None:  # of an older lease: it has to end first
            running[1].cancel()
            return None
        found = await store.endpoint(self._runtime.pool, leased.endpoint_id)
        if found is None or found.token != leased.token:
            return None
        line = Line(self._runtime, sender, found)
        self._lines[found.endpoint_id] = (line, tasks.create_task(self._run(line)))
        return line

    async def _run(self, line: Line) -> None:
        name = line.endpoint.endpoint_id
        try:
            await line.run()
        except asyncio.CancelledError:
            await _quietly(line.close())
            raise
        except ExceptionGroup as group:
            away, other = group.split(_AWAY)
            if other is not None:
                raise
            _log.warning("webhook_waits", endpoint=name, reason=repr(away))
        finally:
            del self._lines[name]

    async def _listen(self) -> None:
        """Wake the lines for which something is there that another process put down."""
        while True:
            try:
                if self._lines:
                    pool, process = self._runtime.pool, self._runtime.process
                    for name in await store.bells(pool, self._tenant, process):
                        if name in self._lines:
                            self._lines[name][0].ring()
            except _AWAY as away:
                _log.warning("notifier_waits", reason=type(away).__name__)
            await sleep(_LOOK_S)

    async def _tell(self) -> None:
        """Make messages of events, in one process at a time."""
        clock = self._runtime.clock
        mine, asked_at, prune_at = False, float("-inf"), clock.monotonic() + _PRUNE_EVERY_S
        while True:
            found: int | None = 0
            now = clock.monotonic()
            try:
                if now - asked_at >= _DUTY_EVERY_S:
                    asked_at, mine = now, await self._has_duty()
                if mine:
                    found = await telling.tell(self._runtime)
                    if now >= prune_at and not await telling.prune(self._runtime):
                        prune_at = now + _PRUNE_EVERY_S
            except _AWAY as away:
                mine = False
                _log.warning("notifier_waits", reason=type(away).__name__)
            if found:
                for line, _ in list(self._lines.values()):
                    line.ring()
            await sleep(_REST_S.get(found, _LOOK_S))

    async def _leave_duty(self) -> None:
        runtime = self._runtime
        await duties.leave(runtime.pool, runtime.settings.cell, _DUTY, runtime.process)

    async def _has_duty(self) -> bool:
        runtime = self._runtime
        return await duties.take(runtime.pool, runtime.settings.cell, _DUTY, runtime.process)


async def _quietly(last: Awaitable[None]) -> None:
    """Do what is done before this process ends; without it others only wait, or send again."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await last
    except _AWAY as away:
        _log.warning("notifier_not_closed", reason=type(away).__name__)
