"""Get, cancel and print waybills: the carrier is asked outside of any transaction.

What was asked is written before, what was answered after the call. A process that dies in between,
or an answer that is lost, leaves a request that is asked for again under the same id, and a carrier
has one number for it: no parcel gets two, and no number is left without a row.
"""

from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from engine.carriers.rules import waybills as rules
from engine.carriers.store import waybills as store
from engine.carriers.types.waybills import Carrier, Reply, State, Wanted, Waybill
from engine.infra.postgres import Connection, Pool
from engine.infra.runtime import Runtime
from engine.kernel.errors import InConflict, NotFound, OutcomeUnknown
from engine.kernel.types import Tenant


async def get(runtime: Runtime, tenant: Tenant, port: Carrier, one: Wanted) -> Waybill:
    """Return the waybill of a request, from the carrier if it is not there yet.

    In the state `asked` the carrier has not said: ask again later. In `failed` it refused, for the
    `reason`; in `cancelled` somebody gave the number back meanwhile.

    Raises:
        InConflict: the request was another shipment's, or another service's; or the carrier gave a
            number that another request has.
    """
    async with runtime.pool.acquire() as connection:
        kept = await store.ask(connection, tenant, one)
    if (kept.shipment_id, kept.service) != (one.shipment_id, one.service):
        raise InConflict(f"waybill request {one.request_id} was made for something else")
    if kept.state != "asked":
        return kept
    reply = await port.get(one)
    answered = kept._replace(waybill=reply.waybill, data=reply.data, reason=_why(reply))
    return await _move(runtime, tenant, answered, rules.answered(reply))


async def cancel(
    runtime: Runtime, tenant: Tenant, port: Carrier, one: Wanted, reason: str
) -> Waybill:
    """Give a number back; what came of it is the state: `cancelled`, or as it was.

    A request of which nobody knows whether it was answered is asked for once more, and what came
    of that is given back: otherwise a number would be out that nobody cancels.

    Raises:
        NotFound: it was never asked for.
        OutcomeUnknown: the carrier did not say; to be repeated.
    """
    kept = await find(runtime, tenant, one.request_id)
    if kept.state == "asked":
        kept = await get(runtime, tenant, port, one)
    if kept.state == "asked":
        raise OutcomeUnknown("the carrier has not said whether it gave a waybill: try again")
    if kept.state != "got":
        return kept
    reply = await port.cancel(kept.waybill, reason)
    if reply.outcome == "UNKNOWN" or (reply.outcome == "REFUSED" and not reply.permanent):
        # an earlier call, whose answer was lost, may have done it: "busy" is no answer either
        raise OutcomeUnknown("the carrier has not said whether the waybill is cancelled: try again")
    if reply.outcome == "REFUSED":
        return kept._replace(reason=_why(reply))
    return await _move(runtime, tenant, kept._replace(reason=reason), "cancelled")


async def use(tx: Connection, tenant: Tenant, request_id: str) -> bool:
    """Note that a parcel left under its number, inside the caller's transaction.

    False if it is cancelled, or has no number: the parcel left under another one, or none.
    """
    kept = await store.waybill(tx, tenant, request_id)
    if kept is None:
        return False
    moved = await store.move(tx, tenant, kept, "used", rules.BEFORE["used"])
    return moved is not None or kept.state == "used"


async def print_data(runtime: Runtime, tenant: Tenant, port: Carrier, request_id: str) -> Reply:
    """Return what a printer needs, as it was given with the number or from the carrier.

    Raises:
        NotFound: there is no number.
    """
    kept = await find(runtime, tenant, request_id)
    if kept.state not in {"got", "used"}:
        raise NotFound(f"there is no waybill to print: it is {kept.state}")
    if kept.data:
        return Reply("DONE", kept.waybill, kept.data)
    return await port.print_data(kept.waybill)


async def find(runtime: Runtime, tenant: Tenant, request_id: str) -> Waybill:
    """Return what is kept of a request.

    Raises:
        NotFound: it was never made.
    """
    async with runtime.pool.acquire() as connection:
        kept = await store.waybill(connection, tenant, request_id)
    if kept is None:
        raise NotFound("there is no such waybill request")
    return kept


async def of_shipments(
    db: "Connection | Pool", tenant: Tenant, shipments: Sequence[str]
) -> list[Waybill]:
    """Return the requests for some shipments, by shipment and request."""
    return await store.of_shipments(db, tenant, shipments)


async def use_left(db: "Connection | Pool", tenant: Tenant, limit: int) -> int:
    """Note what parcels that left say of numbers; return how many are used that were not."""
    return await store.use_left(db, tenant, limit)


async def lease_idle(
    db: "Connection | Pool", tenant: Tenant, limit: int, lasts: timedelta
) -> list[Waybill]:
    """Return requests under which nothing will leave, to be given back by whoever got them.

    They are given out again when `lasts` is over and they stand as they did.
    """
    return await store.lease_idle(db, tenant, limit, lasts)


async def _move(runtime: Runtime, tenant: Tenant, one: Waybill, state: State) -> Waybill:
    """Write what was answered; whoever was first is right, and the answer is what stands then."""
    async with runtime.pool.acquire() as connection:
        if state != one.state:
            try:
                moved = await store.move(connection, tenant, one, state, rules.BEFORE[state])
            except asyncpg.UniqueViolationError as twice:
                told = f"{one.carrier} gave waybill {one.waybill} to two requests"
                raise InConflict(told) from twice
            if moved is not None:
                return moved
        kept = await store.waybill(connection, tenant, one.request_id)
    assert kept is not None, "requests are kept"
    return kept


def _why(reply: Reply) -> str:
    return " ".join(filter(None, (reply.code, reply.text)))[:256] if reply.outcome != "DONE" else ""
