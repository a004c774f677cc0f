"""Calls to warehouses made: which one is due is decided under the locks that a stop takes, too.

A job says only which consignment to look at. Its call goes out between two transactions: the first
one decides, and writes that it may be with the node from now on; the second one writes what was
answered, fenced by the lease. Nothing of a person is kept in either.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from engine.carriers.types.desks import Desk, DeskAccess
from engine.infra import jobs, metrics
from engine.infra.jobs import Job
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.places.service import places
from engine.routing.service import rejecting
from engine.shipments import service as shipments
from engine.shipments.rules import calls
from engine.shipments.service.queueing import CANCEL_AGAIN, INTERCEPT, RECALL, SETTLE
from engine.shipments.types.shipments import Kind, Shipment, Told
from engine.wms import store
from engine.wms.rules import meanings
from engine.wms.rules.consigning import consignment
from engine.wms.service import accesses, counter, intercepting, turns, waybills
from engine.wms.service.accesses import Reached
from engine.wms.service.collecting import dues
from engine.wms.service.turns import Lapsed
from engine.wms.service.waybills import Label
from engine.wms.types import Reference, Reply, Warehouse

_log: Final = structlog.get_logger()


class Ports(Protocol):
    """What makes the ports to nodes' systems and to carriers' desks; tests have their own."""

    def of(self, reached: Reached) -> Warehouse:
        """Return the port to a node's system."""
        ...

    def desk(self, access: DeskAccess) -> Desk:
        """Return the port to a carrier's desk."""
        ...


class _Due(NamedTuple):
    """A call that is to be made now."""

    verb: calls.Call
    shipments: tuple[Shipment, ...]
    reached: Reached


async def do(runtime: Runtime, ports: Ports, job: Job, *, probe: bool = False) -> None:
    """Do one leased job: the call that is due, if any, and what follows from its answer.

    `probe`: the breaker of its queue was open when it was claimed.
    """
    if job.kind == SETTLE:
        await _settle(runtime, job, job.payload["consignment_id"])
    elif job.kind == RECALL:
        await _recall(runtime, job, job.payload["consignment_id"])
    else:
        await _look(runtime, ports, job, probe=probe)


async def _look(runtime: Runtime, ports: Ports, job: Job, *, probe: bool) -> None:
    """Make the call that is due for a consignment, if any."""
    name, node = job.payload["consignment_id"], job.payload["node"]
    if job.kind == INTERCEPT:
        await intercepting.do(runtime, ports, job, name)
    elif (reached := await accesses.reach(runtime, job.tenant, node)) is None:
        await counter.do(runtime, job, name, node)
    else:
        await _ask(runtime, ports, job, reached, probe=probe)


async def _ask(runtime: Runtime, ports: Ports, job: Job, reached: Reached, *, probe: bool) -> None:
    name, node = job.payload["consignment_id"], job.payload["node"]
    port = ports.of(reached)
    if job.kind == CANCEL_AGAIN:
        await _cancel_again(runtime, port, job, Reference(name), probe=probe)
        return
    label = await waybills.prepare(runtime, ports, job, name, reached)
    if label is None:
        return
    due = await _begin(runtime, job, name, reached)
    if due is None:
        return
    reply = await _call(runtime, port, due, job, name, label)
    if reply is None:
        await jobs.release(runtime.pool, job)  # it is begun again, by whoever has the time
        return
    await _weigh(runtime, job, due.verb, reply, probe=probe)
    _log.info("wms_call", node=node, call=due.verb, outcome=reply.outcome, code=reply.code)
    await _end(runtime, job, name, due, reply)


async def _settle(runtime: Runtime, job: Job, name: str) -> None:
    """Do what follows from what lacks in a final confirm; nobody is called."""
    now = instant(runtime.clock.now_ms())
    async with runtime.pool.acquire() as tx, tx.transaction():
        outcome = await shipments.settle(tx, name, now)
        await rejecting.take(tx, job.tenant, outcome, now)
        if not await jobs.finish(tx, job):
            raise Lapsed


async def _recall(runtime: Runtime, job: Job, name: str) -> None:
    """Have stopped what was sent in place of units that left after all; nobody is called here."""
    asked = True
    while asked:
        now = instant(runtime.clock.now_ms())
        async with runtime.pool.acquire() as tx, tx.transaction():
            found = await shipments.recall(tx, name, now)
            asked = found is not None
            await rejecting.answered(tx, job.tenant, [found.stop] if found else [], now)
            if not await (jobs.hold(tx, job) if asked else jobs.finish(tx, job)):
                raise Lapsed


async def _begin(runtime: Runtime, job: Job, name: str, reached: Reached) -> _Due | None:
    """Decide under the locks; None when no call is due now, and the job was seen to."""
    async with runtime.pool.acquire() as tx, tx.transaction():
        begun = await turns.begin(tx, runtime, job, name)
        if begun is None or begun.call is None:
            return None
        return _Due(begun.call, begun.shipments, reached)


async def _call(
    runtime: Runtime, port: Warehouse, due: _Due, job: Job, name: str, label: Label
) -> Reply | None:
    """Make the call; None: nothing was sent, for the lease might lapse before it is answered."""
    if due.verb == "cancel":
        refs = [one.wms_ref for one in due.shipments if one.wms_ref]
        one = Reference(name, wms_ref=refs[0] if refs else "")
        return await port.cancel(one, "stop") if _in_time(runtime, job) else None
    if not label.ready:
        return None  # it may be sent only since it was looked at for a number
    orders = await store.facts(runtime.pool, {one.order_id for one in due.shipments})
    carrier = await accesses.carrier_of(runtime, job.tenant, due.shipments[0].service)
    sums = await dues(runtime, due.shipments, orders)
    sender = due.reached.sender
    made = consignment(due.shipments, orders, sender, carrier, sums, places.regions())
    made = made._replace(waybill=label.waybill)
    return await port.create(made) if _in_time(runtime, job) else None


def _in_time(runtime: Runtime, job: Job) -> bool:
    return job.may_begin(runtime.clock, runtime.settings.wms_timeout_seconds)


async def _end(runtime: Runtime, job: Job, name: str, due: _Due, reply: Reply) -> None:
    """Write what was answered; a job whose lease lapsed meanwhile writes nothing."""
    now_ms = runtime.clock.now_ms()
    now = instant(now_ms)
    error = f"{due.verb}: {reply.outcome} {reply.code}".strip()
    kinds = _said(due, reply)
    async with runtime.pool.acquire() as tx, tx.transaction():
        if not kinds and due.verb == "create":
            await shipments.outcome_unknown(tx, name, now)
        if kinds:
            await _report(tx, kinds, due, job, reply, now_ms)
        # after the orders, their shipments and stops, as everybody locks them
        if not await jobs.hold(tx, job):
            raise Lapsed
        if kinds:
            await jobs.finish(tx, job)
            return
        if await jobs.retry(tx, job, error, tries_max=_tries(due, reply)) == "dead":
            await shipments.call_given_up(tx, name, error, now)


def _said(due: _Due, reply: Reply) -> tuple[Kind, ...]:
    """Return what an answer reports; nothing when the call is to be made again."""
    outcome: calls.Outcome
    match reply.outcome:
        case "DONE":
            outcome = "done"
        case "REFUSED" if reply.permanent:
            outcome = "no_such_order" if reply.code == "no_such_order" else "refused"
        case _:
            outcome = "unknown"
    kind = calls.said(due.verb, outcome)
    if kind is None:
        return ()
    return ("sent", "accepted") if kind == "sent" and not due.reached.tells_accepted else (kind,)


def _tries(due: _Due, reply: Reply) -> int:
    """Return after how many tries a call is given up: only a create that was refused each time.

    What may be with a node has to be known, and a cancel ends with its stop.
    """
    return jobs.TRIES_MAX if due.verb == "create" and reply.outcome == "REFUSED" else 0


async def _report(
    tx: Connection, kinds: Sequence[Kind], due: _Due, job: Job, reply: Reply, now_ms: int
) -> None:
    name = job.payload["consignment_id"]
    for kind in kinds:
        own = due.reached.access.reasons
        why = meanings.refused_create(reply.code, own) if kind == "rejected" else ""
        said = Told(
            kind, f"{job.kind}:{job.job_id}", instant(now_ms), reply=True, text=reply.code,
            wms_ref=reply.wms_ref, reason=why,
        )  # fmt: skip
        await turns.tell(tx, job, name, said, now_ms)


async def _cancel_again(
    runtime: Runtime, port: Warehouse, job: Job, one: Reference, *, probe: bool
) -> None:
    """Cancel what is cancelled here and lives there: a worker that was stopped had sent it."""
    if not _in_time(runtime, job):
        await jobs.release(runtime.pool, job)
        return
    reply = await port.cancel(one, "stop")
    await _weigh(runtime, job, CANCEL_AGAIN, reply, probe=probe)
    _log.warning("cancelled_again", consignment_id=one.consignment_id, outcome=reply.outcome)
    async with runtime.pool.acquire() as tx, tx.transaction():
        if reply.outcome == "DONE" or reply.permanent:
            await jobs.finish(tx, job)
        else:
            await jobs.retry(tx, job, f"cancel: {reply.outcome} {reply.code}", tries_max=0)


async def _weigh(runtime: Runtime, job: Job, method: str, reply: Reply, *, probe: bool) -> None:
    """Count a call, and tell the breaker whether anybody is there."""
    metrics.WMS_CALLS.add((job.payload["node"], method, reply.outcome))
    if reply.outcome == "UNKNOWN":
        await jobs.failed(runtime.pool, job.tenant, job.queue, probe=probe)
    else:
        await jobs.answered(runtime.pool, job.tenant, job.queue)
