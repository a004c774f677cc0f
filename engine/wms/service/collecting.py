"""What nodes are asked to collect at the door: worked out and written once, under the order's lock.

Two shippers that send two parcels of one order at once come one after the other here, so what they
ask for adds up. What was written before stays: a call that is repeated says the same again.
"""

from collections.abc import Mapping, Sequence

from engine.infra.runtime import Runtime
from engine.shipments.types.shipments import Shipment
from engine.wms import store
from engine.wms.rules.collecting import share
from engine.wms.types import ON_DELIVERY, Facts


async def dues(
    runtime: Runtime, shipments: Sequence[Shipment], orders: Mapping[str, Facts]
) -> dict[str, int]:
    """Return what each shipment whose order is paid at the door collects, in minor units."""
    found: dict[str, int] = {}
    for one in shipments:
        if orders[one.order_id].payment_state == ON_DELIVERY:
            found[one.shipment_id] = await _due(runtime, one)
    return found


async def _due(runtime: Runtime, one: Shipment) -> int:
    async with runtime.pool.acquire() as tx, tx.transaction():
        await store.lock_orders(tx, [one.order_id])
        due = await store.due(tx, one.order_id)
        known = due.live.get(one.shipment_id)
        if known is not None and known.due is not None:
            return known.due
        mine = share(due, one.shipment_id, ((line.line_no, line.units) for line in one.lines))
        await store.ask_due(tx, one.shipment_id, mine)
        return mine
