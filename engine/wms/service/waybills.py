"""Numbers of carriers for nodes that have none of their own: asked for before the node is.

What waits for one is not begun: a stop of it is answered at once, for its node knows nothing of it.
A number under which nothing leaves is given back.
"""

from datetime import timedelta
from typing import Final, NamedTuple, Protocol

import structlog

from engine.carriers.service import desks
from engine.carriers.service import waybills as numbers
from engine.carriers.types.desks import Desk, DeskAccess
from engine.carriers.types.waybills import Wanted, Waybill
from engine.infra import jobs
from engine.infra.jobs import Job
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.kernel.errors import EngineError
from engine.kernel.limits import AMOUNT_MAX
from engine.kernel.types import Tenant
from engine.shipments import service as shipments
from engine.shipments.types.shipments import Shipment
from engine.wms import store
from engine.wms.rules.collecting import insured
from engine.wms.service import turns
from engine.wms.service.accesses import Reached
from engine.wms.service.collecting import dues
from engine.wms.types import Content, Facts

AT_ONCE: Final = 20
_LEASE: Final = timedelta(seconds=60)
_OPEN: Final = frozenset({"asked", "got", "used"})
_log: Final = structlog.get_logger()


class Desks(Protocol):
    """What makes the port to a carrier's desk."""

    def desk(self, access: DeskAccess) -> Desk:
        """Return the port."""
        ...


class Label(NamedTuple):
    """What a node prints; "" where it has numbers of its own, or needs none.

    Not `ready`: nothing was to be sent when it was looked at, so nobody was asked.
    """

    waybill: str = ""
    ready: bool = True


async def prepare(
    runtime: Runtime, ports: Desks, job: Job, name: str, reached: Reached
) -> Label | None:
    """Return the number for a consignment that is to be sent; None: it waits, the job was seen to.

    What a carrier refuses for good is given up, for a person to look at; tried again by that person
    it is asked for under a new request.
    """
    if reached.own_waybills:
        return Label()
    now = instant(runtime.clock.now_ms())
    async with runtime.pool.acquire() as tx, tx.transaction():
        members = await shipments.to_send(tx, name, now)
    access = await _access(runtime, job.tenant, members)
    if access is None:
        return Label(ready=bool(members))
    if not job.may_begin(runtime.clock, desks.TIMEOUT_S + runtime.settings.wms_timeout_seconds):
        await jobs.release(runtime.pool, job)
        return None
    known = await numbers.of_shipments(runtime.pool, job.tenant, [name])
    wanted = await _wanted(runtime, access, members, name, known)
    got = await numbers.get(runtime, job.tenant, ports.desk(access), wanted)
    if got.state in {"got", "used"}:
        return Label(got.waybill)
    code = got.reason.partition(" ")[0]  # what more a carrier says may be of the address
    _log.warning("no_waybill", consignment_id=name, service=access.service, state=got.state)
    if got.state == "failed":
        await turns.put_off(runtime, job, f"waybill: refused {code}".strip(), for_good=True)
    else:
        await jobs.retry(runtime.pool, job, f"waybill: {got.state} {code}".strip(), tries_max=0)
    return None


async def settle(runtime: Runtime, ports: Desks, tenant: Tenant) -> int:
    """Note numbers that were used, give back what nothing will leave under; return how many."""
    await numbers.use_left(runtime.pool, tenant, AT_ONCE * AT_ONCE)
    given_back = 0
    for one in await numbers.lease_idle(runtime.pool, tenant, AT_ONCE, _LEASE):
        access = await desks.reach(runtime, tenant, one.service)
        if access is None:
            continue
        try:
            # a request nobody answered is asked for once more: its number would be out otherwise
            wanted = await _request(runtime, access, one.request_id, one.shipment_id)
            kept = await numbers.cancel(
                runtime, tenant, ports.desk(access), wanted, "nothing is sent"
            )
        except EngineError as unsaid:
            _log.warning("waybill_waits", service=one.service, reason=unsaid.code)
            continue
        given_back += kept.state == "cancelled"
    return given_back


async def _access(
    runtime: Runtime, tenant: Tenant, members: tuple[Shipment, ...]
) -> DeskAccess | None:
    """Return where the number is asked for; None where nobody is asked."""
    if not members or not members[0].service:
        return None
    access = await desks.reach(runtime, tenant, members[0].service)
    if access is None:
        _log.warning("no_desk", service=members[0].service)
    return access


async def _wanted(
    runtime: Runtime,
    access: DeskAccess,
    members: tuple[Shipment, ...],
    name: str,
    known: list[Waybill],
) -> Wanted:
    """Return the request: the open one, else the next; what was refused or given back is over."""
    open_ = [one for one in known if one.state in _OPEN and one.service == access.service]
    request_id = open_[-1].request_id if open_ else f"{name}-w{len(known) + 1}"
    orders = await store.facts(runtime.pool, {one.order_id for one in members})
    await dues(runtime, members, orders)  # what the parcel collects is the node's to know, too
    return await _request(runtime, access, request_id, name)


async def _request(runtime: Runtime, access: DeskAccess, request_id: str, name: str) -> Wanted:
    """Return a request as it is made each time; all is read from what is kept of its contents."""
    inside = await store.contents(runtime.pool, name)
    orders = await store.facts(runtime.pool, {one.order_id for one in inside})
    sums = [await _insured(runtime, orders[one.order_id], one) for one in inside]
    return Wanted(
        request_id, name, access.service, access.carrier, inside[0].node if inside else "",
        grams=sum(one.grams for one in inside),
        cod=sum(one.due for one in inside),
        insured=sum(sums),
        ship_to=orders[inside[0].order_id].ship_to if inside else {},
    )  # fmt: skip


async def _insured(runtime: Runtime, order: Facts, one: Content) -> int:
    more = order.document.get("extensions")
    total = more.get("insured") if isinstance(more, dict) else None
    if type(total) is not int or total <= 0:
        return 0
    whole = await store.due(runtime.pool, one.order_id)
    return insured(min(total, AMOUNT_MAX), whole, one.units)
