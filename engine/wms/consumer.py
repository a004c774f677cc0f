"""The shipper: a loop that makes the calls to warehouses that are due, some at a time."""

import asyncio
from collections import Counter
from typing import Final

import aiohttp
import structlog

from engine.carriers.service import desks
from engine.carriers.types.desks import Desk, DeskAccess
from engine.infra import jobs
from engine.infra.jobs import Job
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import Runtime
from engine.infra.tasks import sleep
from engine.kernel.errors import EngineError
from engine.kernel.types import Tenant
from engine.shipments.service.queueing import QUEUES
from engine.wms.service import sending, waybills
from engine.wms.service.accesses import Reached
from engine.wms.service.calling import session, warehouse
from engine.wms.service.sending import Ports
from engine.wms.service.turns import Lapsed
from engine.wms.types import Warehouse

_EVERY_S: Final = 0.2
_SETTLE_S: Final = 2.0
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)
_log: Final = structlog.get_logger()


class OverHttp(Ports):
    """Ports to systems as profiles say."""

    def __init__(self, runtime: Runtime, http: aiohttp.ClientSession) -> None:
        self._runtime, self._http = runtime, http
        self._tenant = Tenant(runtime.settings.tenant)

    def of(self, reached: Reached) -> Warehouse:
        """Return the port to a node's system."""
        timeout_s = self._runtime.settings.wms_timeout_seconds
        return warehouse(reached.access, self._http, self._runtime.clock, timeout_s)

    def desk(self, access: DeskAccess) -> Desk:
        """Return the port to a carrier's desk."""
        port = desks.desk(access, self._http, self._runtime.clock)
        return desks.guarded(self._runtime, self._tenant, access, port)


class Shipper:
    """One process' part in it; any number may run side by side."""

    def __init__(self, runtime: Runtime, ports: Ports | None = None) -> None:
        self._runtime, self._ports = runtime, ports
        self._tenant = Tenant(runtime.settings.tenant)
        self._busy = Counter[str]()
        self._tasks = set[asyncio.Task[None]]()
        self._at_once = runtime.settings.wms_concurrency
        self._per_node = max(1, self._at_once // 2)  # so that a slow one leaves room for others

    async def run(self) -> None:
        """Run until cancelled; servers that are away are waited for.

        When it is cancelled, it takes no more, and ends what it has within the drain's seconds:
        else each call that is out would be unknown, and made again only when its lease lapsed.
        """
        async with session() as http, asyncio.TaskGroup() as tasks:
            ports = self._ports or OverHttp(self._runtime, http)
            tasks.create_task(self._settle(ports))
            try:
                while True:
                    await self._round(tasks, ports)
                    await sleep(_EVERY_S)
            finally:
                if self._tasks:
                    await asyncio.wait(self._tasks, timeout=self._runtime.settings.drain_seconds)

    async def _round(self, tasks: asyncio.TaskGroup, ports: Ports) -> None:
        try:
            for job, probe in await self._claim():
                self._busy[job.queue] += 1
                task = tasks.create_task(self._do(ports, job, probe=probe))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except _AWAY as away:
            _log.warning("shipper_waits", reason=type(away).__name__)

    async def _settle(self, ports: Ports) -> None:
        """Bring numbers of carriers in order beside the calls, which wait for nobody else."""
        while True:
            try:
                await waybills.settle(self._runtime, ports, self._tenant)
            except _AWAY as away:
                _log.warning("waybills_wait", reason=type(away).__name__)
            await sleep(_SETTLE_S)

    async def _claim(self) -> list[tuple[Job, bool]]:
        free = self._at_once - self._busy.total()
        if free <= 0:
            return []
        pool = self._runtime.pool
        shut = await jobs.open_breakers(pool, self._tenant)
        found = await jobs.claim(
            pool, self._tenant, self._runtime.clock, QUEUES, free, busy=self._busy,
            per_queue=self._per_node,
        )  # fmt: skip
        return [(job, job.queue in shut) for job in found]

    async def _do(self, ports: Ports, job: Job, *, probe: bool) -> None:
        """Do one job; what goes wrong leaves it to its lease, and the others alone."""
        try:
            await sending.do(self._runtime, ports, job, probe=probe)
        except _AWAY as away:
            _log.warning("call_waits", job_id=job.job_id, reason=type(away).__name__)
        except Lapsed:
            _log.warning("lease_lapsed", job_id=job.job_id)
        except Exception:  # noqa: BLE001 - one consignment must not stop all others
            _log.exception("call_failed", job_id=job.job_id)
        finally:
            self._busy[job.queue] -= 1
