"""The tracker: a loop that looks at parcels, at clocks, and at shipments that wait for others.

Of several one works at a time; two at once would only look twice. Beside it each asks carriers
where parcels are.
"""

import asyncio
from typing import Final

import aiohttp
import structlog

from engine.carriers.service import desks
from engine.carriers.types.desks import Desk, DeskAccess
from engine.infra import duties, outgoing
from engine.infra.cell import Cell
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import Runtime
from engine.infra.tasks import sleep
from engine.kernel.clock import instant
from engine.kernel.errors import EngineError
from engine.kernel.types import Tenant
from engine.logistics.service import clocks, polling, tracking
from engine.shipments.service import merging

_DUTY: Final = "tracker"
_LOOK_S: Final = 0.5
_POLL_S: Final = 1.0
_FORGET_EVERY: Final = 600  # rounds
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)

_log: Final = structlog.get_logger()


async def tracker(runtime: Runtime) -> None:
    """Run until cancelled; servers that are away are waited for."""
    async with outgoing.session() as http, asyncio.TaskGroup() as tasks:
        tasks.create_task(_poll(runtime, http))
        await _follow(runtime)


async def _poll(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    """Ask carriers, beside all else: nothing waits for one that is slow."""
    tenant = Tenant(runtime.settings.tenant)

    def port(access: DeskAccess) -> Desk:
        return desks.guarded(runtime, tenant, access, desks.desk(access, http, runtime.clock))

    while True:
        more = False
        try:
            more = await polling.poll(runtime, tenant, port)
        except _AWAY as away:
            _log.warning("polls_wait", reason=type(away).__name__)
        except Exception:  # noqa: BLE001 - what one carrier tells must not end the process
            _log.exception("poll_failed")
        await sleep(0 if more else _POLL_S)


async def _follow(runtime: Runtime) -> None:
    turn = 0
    while True:
        more = False
        try:
            more = await look(runtime)
            turn += 1
            if turn % _FORGET_EVERY == 0:
                await tracking.forget(runtime.pool, runtime.clock)
        except _AWAY as away:
            _log.warning("tracker_waits", reason=type(away).__name__)
        except Exception:  # noqa: BLE001 - a parcel that nobody can read must not end the process
            _log.exception("tracker_failed")
        await sleep(0 if more else _LOOK_S)


async def look(runtime: Runtime) -> bool:
    """Do one round; True when there may be more to do at once."""
    pool, clock, tenant = runtime.pool, runtime.clock, runtime.settings.tenant
    assert isinstance(runtime.cell, Cell)
    if not await duties.take(pool, runtime.cell.id, _DUTY, runtime.process):
        return False
    more = await tracking.follow(pool, tenant, clock)
    more = await tracking.catch_up(pool, tenant, clock) or more
    await merging.merge(pool, instant(clock.now_ms()))
    return await clocks.tick(pool, clock) or more
