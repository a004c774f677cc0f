"""Goods that nobody had counted when they were sent, and that somebody counts now.

Of such goods nothing is assigned when a shipment is planned: an assignment makes a key, a key makes
a SKU a counted one, and of a counted SKU that has nothing nothing may be sold. With its first count
that is over. What was sold before is a part of what was ever given to nodes, so it is assigned now,
and all that was told of it is told again. Stock is a function of the set of facts: late is no harm,
and until then there is too little for sale, never too much.
"""

from datetime import datetime

from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.physical.service.assignments import Wanted
from engine.shipments import store
from engine.shipments.rules import states
from engine.shipments.service.locked import bound, lock, names
from engine.shipments.service.reporting import Seen, book
from engine.shipments.types.shipments import GONE, Shipment, Told

ADOPTED_PER_CALL_MAX = 100


async def adopt(pool: Pool, tenant: Tenant, now: datetime) -> int:
    """Assign units of shipments whose goods were counted since; return of how many shipments.

    Each in a transaction of its own, as a transaction locks stock once.
    """
    found = await store.counted_since(pool, tenant, ADOPTED_PER_CALL_MAX)
    for order_id, shipment_id in found:
        async with pool.acquire() as tx, tx.transaction():
            one = (await lock(tx, [order_id])).shipments[shipment_id]
            await _adopt(tx, tenant, one, now)
    return len(found)


async def _adopt(tx: Connection, tenant: Tenant, one: Shipment, now: datetime) -> None:
    loose = {line.sku for line in one.lines if not line.bound}
    owners = await store.owners_of_counted(tx, tenant, loose)
    lines = tuple(
        line._replace(bound=1) for line in one.lines if not line.bound and line.sku in owners
    )
    late = one._replace(lines=lines)
    told = (await store.reports(tx, [one.shipment_id]))[one.shipment_id]
    wanted = [Wanted(name, owners[line.sku], line.sku, line.units) for line, name in bound(late)]
    if wanted:
        await assignments.assign(tx, tenant, wanted, now)
        await _tell(tx, tenant, late, told, now)
    whole = tuple(line._replace(bound=1) if line.sku in owners else line for line in one.lines)
    await store.adopt(tx, one._replace(lines=whole), owners)


async def _tell(
    tx: Connection, tenant: Tenant, one: Shipment, told: list[Told], now: datetime
) -> None:
    """Book all that was told of a shipment, one after the other; its keys are locked."""
    reports = sorted(told, key=lambda said: (said.at, said.kind, said.report_id))
    before = states.fold((), one.lines)
    for n, said in enumerate(reports, start=1):
        after = states.fold(reports[:n], one.lines)
        await book(tx, tenant, [Seen(one, said, reports[:n], before, after)])
        before = after
    if one.state in GONE and not before.final:  # withdrawn before any node was asked
        await assignments.cancel(tx, tenant, names([one]), now)
