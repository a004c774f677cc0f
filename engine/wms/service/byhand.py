"""A person takes a shipment from its node; the reason decides what follows, as when the node does.

So the order is routed again in the same way: stock is corrected, the node is not asked for these
lines for a time, and after as many refusals as the plan allows a person looks at it.
"""

import structlog

from engine.aftersales.answering import act
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.kernel.errors import InConflict, NotFound
from engine.kernel.types import Tenant
from engine.routing.service import rejecting
from engine.shipments import service as shipments
from engine.shipments.service import ByHand
from engine.shipments.service.rejecting import Rejected
from engine.wms import store
from engine.wms.service import accesses

_log = structlog.get_logger()


async def reject(runtime: Runtime, tenant: Tenant, channel: str, said: ByHand) -> Rejected:
    """Take in that a node will not send a shipment of a channel ("" any), by its id alone.

    Raises:
        NotFound: no such shipment.
        InConflict: it has left, is over, is being stopped, or was rejected for another reason.
    """
    now_ms = runtime.clock.now_ms()
    found = await store.consignment_of(runtime.pool, tenant, channel, said.shipment_id)
    if found is None:
        raise NotFound("no such shipment")
    consignment_id, node, state = found
    if not consignment_id:
        raise InConflict(f"this shipment is {state}")
    has_system = await accesses.has_system(runtime, tenant, node)
    said = said._replace(consignment_id=consignment_id)
    async with runtime.pool.acquire() as tx, tx.transaction():
        done = await shipments.reject(tx, said, instant(now_ms), has_system=has_system)
        if done.outcome is not None:
            await act(tx, done.outcome.answered, now_ms)
            await rejecting.take(tx, tenant, done.outcome, instant(now_ms), said.actor)
    _log.info("rejected_by_hand", node=node, reason=said.reason, state=done.state)
    return done
