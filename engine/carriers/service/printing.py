"""A shipment's number with what is printed of it."""

from typing import Final

from engine.carriers.service import desks, waybills
from engine.carriers.types.documents import WaybillView
from engine.carriers.types.waybills import Waybill
from engine.infra import outgoing
from engine.infra.runtime import Runtime
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import NotFound, OutcomeUnknown
from engine.kernel.types import Tenant
from engine.shipments.service import reading
from engine.shipments.types.views import Wanted

_PRINTABLE: Final = frozenset({"got", "used"})


async def shown(runtime: Runtime, tenant: Tenant, channel: str, shipment_id: str) -> WaybillView:
    """Return the last number asked for a shipment's consignment; `channel` "" is any.

    Raises:
        NotFound: no such shipment, or no carrier was asked for a number of it.
        OutcomeUnknown: the carrier did not say what is printed.
    """
    wanted = Wanted(tenant, channel, shipment_id)
    found = await reading.shown(runtime.pool, wanted)
    if not found:
        raise NotFound("no such shipment")
    consignment_id = found[0].consignment_id
    asked = await waybills.of_shipments(runtime.pool, tenant, [consignment_id])
    if not asked:
        raise NotFound("no carrier was asked for a number of this shipment")
    last = max(asked, key=lambda one: one.asked_at)
    data = dict(last.data) if last.state in _PRINTABLE else {}
    if last.state in _PRINTABLE and not data:
        data = await _printed(runtime, tenant, last)
    return WaybillView(
        shipment_id, consignment_id, last.service, last.carrier, last.waybill, last.state,
        last.reason.partition(" ")[0], data, rfc3339(to_ms(last.asked_at)),
        rfc3339(to_ms(last.state_at)),
    )  # fmt: skip


async def _printed(runtime: Runtime, tenant: Tenant, one: Waybill) -> dict[str, object]:
    access = await desks.reach(runtime, tenant, one.service)
    if access is None:
        return {}
    async with outgoing.session() as http:
        port = desks.guarded(runtime, tenant, access, desks.desk(access, http, runtime.clock))
        reply = await waybills.print_data(runtime, tenant, port, one.request_id)
    if reply.outcome != "DONE":
        raise OutcomeUnknown("the carrier did not say what is printed: try again")
    return dict(reply.data)
