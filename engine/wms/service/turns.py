"""What a leased job does first and last, whoever is asked: decide, and write what was said.

Both are in the caller's transaction, and fenced by the lease.
"""

from datetime import timedelta
from typing import Final

from engine.aftersales.answering import act
from engine.infra import jobs
from engine.infra.jobs import Job
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.routing.service import rejecting
from engine.shipments import service as shipments
from engine.shipments.service import Begun
from engine.shipments.types.shipments import Told
from engine.wms import store

# What is held up by a block, a stop or its hour is looked at again after so long.
HELD_S: Final = 60.0
_ENDS: Final = frozenset({"gone", "nothing_due"})


class Lapsed(Exception):
    """The lease went to somebody else: what this one would write is rolled back."""


async def begin(tx: Connection, runtime: Runtime, job: Job, name: str) -> Begun | None:
    """Decide under the locks which call is due; None when none is, and the job was seen to.

    Raises:
        Lapsed: it is not ours any more.
    """
    now = instant(runtime.clock.now_ms())
    begun = await shipments.begin(tx, name, now)
    if begun.outcome is not None:
        await act(tx, begun.outcome.answered, runtime.clock.now_ms())
        await rejecting.take(tx, job.tenant, begun.outcome, now)
    if not await jobs.hold(tx, job):
        raise Lapsed
    if begun.call is not None:
        return begun
    if begun.why in _ENDS:
        await jobs.finish(tx, job)
    else:
        await jobs.release(tx, job, now + timedelta(seconds=HELD_S))
    return None


async def put_off(runtime: Runtime, job: Job, error: str, *, for_good: bool = False) -> None:
    """Let a job that could not be done wait; one that is given up its orders' timelines tell of.

    It is after some tries, or at once `for_good`: it would be answered the same.
    """
    name = job.payload["consignment_id"]
    async with runtime.pool.acquire() as tx, tx.transaction():
        await store.lock_orders(tx, {one.order_id for one in await store.contents(tx, name)})
        if for_good:
            dead = await jobs.bury(tx, job, error)
        else:
            dead = await jobs.retry(tx, job, error, tries_max=jobs.TRIES_MAX) == "dead"
        if dead:
            now = instant(runtime.clock.now_ms())
            await shipments.call_given_up(tx, name, error, now)


async def tell(tx: Connection, job: Job, name: str, said: Told, now_ms: int) -> None:
    """Write what was said of a consignment, and what follows from it."""
    now = instant(now_ms)
    outcome = await shipments.report_consignment(tx, name, said, now)
    await act(tx, outcome.answered, now_ms)
    await rejecting.take(tx, job.tenant, outcome, now)
