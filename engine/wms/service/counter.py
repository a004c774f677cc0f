"""Nodes without a system of their own: their staff hand out what is fetched, and nobody is called.

What is to be fetched is accepted at once, and redeemed with its code; as long as it was not, it can
be stopped, for nothing leaves that was not redeemed. Nobody would tell what becomes of anything
that is to be sent from there, so that is given up, for a person to look at: once the node has a
system it is tried again, or its order is routed by hand.
"""

from typing import Final

import structlog

from engine.infra import jobs
from engine.infra.jobs import Job
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.shipments.service.queueing import CALL
from engine.shipments.types.shipments import Kind, Told
from engine.wms import store
from engine.wms.service import accesses, turns

_SAID: Final[dict[str, tuple[Kind, ...]]] = {
    "create": ("sent", "accepted"), "cancel": ("cancelled",),
}  # fmt: skip
_log: Final = structlog.get_logger()


async def do(runtime: Runtime, job: Job, name: str, node: str) -> None:
    """Do a leased job of a node that cannot be called."""
    if await accesses.has_system(runtime, job.tenant, node):
        _log.warning("node_without_secret", node=node)
        await turns.put_off(runtime, job, "node: no_secret")
        return
    inside = await store.contents(runtime.pool, name)
    if job.kind != CALL or any(one.mode != "pickup" for one in inside):
        _log.warning("node_without_system", node=node, consignment_id=name)
        await turns.put_off(runtime, job, "node: no_system", for_good=True)
        return
    now_ms = runtime.clock.now_ms()
    async with runtime.pool.acquire() as tx, tx.transaction():
        begun = await turns.begin(tx, runtime, job, name)
        if begun is None or begun.call is None:
            return
        for kind in _SAID[begun.call]:
            said = Told(kind, f"{job.kind}:{job.job_id}", instant(now_ms), reply=True)
            await turns.tell(tx, job, name, said, now_ms)
        await jobs.finish(tx, job)
