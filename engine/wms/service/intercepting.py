"""Carriers asked to turn parcels round of which it was answered that this is asked for.

Whether they do is told by their milestones (`returning`); an order is not stopped by it.
"""

from typing import Final

import structlog

from engine.carriers.service import desks
from engine.infra import jobs
from engine.infra.jobs import Job
from engine.infra.runtime import Runtime
from engine.orders.service import note
from engine.orders.types import EventRow
from engine.wms import store
from engine.wms.service import turns
from engine.wms.service.waybills import Desks

_ACTOR: Final = "shipper"
_REASON: Final = "stopped"
_log: Final = structlog.get_logger()


async def do(runtime: Runtime, ports: Desks, job: Job, shipment_id: str) -> None:
    """Do a leased job: ask for all parcels of a shipment; asked again for one is no new wish."""
    found = await store.to_intercept(runtime.pool, shipment_id)
    access = await desks.reach(runtime, job.tenant, found.service) if found.service else None
    if not job.may_begin(runtime.clock, desks.TIMEOUT_S):
        await jobs.release(runtime.pool, job)
        return
    said: dict[str, str] = {}
    for waybill in found.waybills:
        if access is None:
            said[waybill] = "no_desk"
            continue
        reply = await ports.desk(access).intercept(waybill, _REASON)
        if reply.outcome == "UNKNOWN" or (reply.outcome == "REFUSED" and not reply.permanent):
            error = f"intercept: {reply.outcome} {reply.code}".strip()
            await turns.put_off(runtime, job, error)
            return
        said[waybill] = "asked" if reply.outcome == "DONE" else f"refused {reply.code}".strip()
    _log.info("intercept", shipment_id=shipment_id, said=sorted(set(said.values())))
    now_ms = runtime.clock.now_ms()
    data = {"shipment_id": shipment_id, "carrier": found.service, "waybills": said}
    told = EventRow(now_ms, "shipment.intercept_asked", found.order_id, "", _ACTOR, data)
    async with runtime.pool.acquire() as tx, tx.transaction():
        if await jobs.hold(tx, job):
            await note(tx, [told])
            await jobs.finish(tx, job)
