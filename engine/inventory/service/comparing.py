"""Compare what pools were given with what they should have, for whoever looks after them."""

from collections.abc import Sequence

from engine.infra.postgres import Connection
from engine.inventory.rules import comparing
from engine.inventory.rules.comparing import Off
from engine.inventory.rules.supply import by_group
from engine.inventory.service import skus as planning
from engine.inventory.service.bases import Counted
from engine.inventory.store import changes, supply
from engine.kernel.types import Tenant
from engine.logical.service import bases as logical

__all__ = ["Off", "off"]


async def off(db: Connection, tenant: Tenant, skus: Sequence[str]) -> list[Off]:
    """Plan these SKUs without writing anything, and return what is not as planned.

    To be called inside a transaction that sees one snapshot: in it, whatever changed is either
    planned or waits, and SKUs that wait are passed by.
    """
    waiting = await changes.unsettled(db, tenant, skus)
    settled = [sku for sku in skus if sku not in waiting]
    now = await supply.now(db)
    nodes = await logical.bases(db, tenant, settled, now)
    counted = {sku: Counted(by_group(nodes[sku]), None) for sku in settled}
    stocks = await planning.read(db, tenant, settled, counted)
    return [one for stock in stocks.values() for one in comparing.off(stock, now)]
