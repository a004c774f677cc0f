"""Compare what pools were given with what they should have, for whoever looks after them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.inventory.rules import comparing
from engine.inventory.rules.comparing import Off
from engine.inventory.rules.supply import by_group, next_instant
from engine.inventory.service import skus as planning
from engine.inventory.service.bases import Counted
from engine.inventory.store import changes, supply
from engine.inventory.store.marks import Mark, marks
from engine.kernel.types import Tenant
from engine.logical.service import bases as logical

__all__ = ["Compared", "Mark", "Off", "compare", "marks"]


class Compared(NamedTuple):
    """What is not as planned, and of which SKUs all is, and stays so while their marks stay.

    `settled` says until when: then time alone may change what they should have; None is never.
    """

    off: list[Off]
    settled: dict[str, datetime | None]


async def compare(db: Connection, tenant: Tenant, skus: Sequence[str]) -> Compared:
    """Plan these SKUs without writing anything, and tell what is not as planned.

    To be called inside a transaction that sees one snapshot: in it, whatever changed is either
    planned or waits, and SKUs that wait are passed by.
    """
    waiting = await changes.unsettled(db, tenant, skus)
    ready = [sku for sku in skus if sku not in waiting]
    now = await supply.now(db)
    chains = await logical.present(db, tenant, ready, now)
    counted = {sku: Counted(by_group(chains[sku].nodes), chains[sku].changes_at) for sku in ready}
    found = Compared([], {})
    for sku, stock in (await planning.read(db, tenant, ready, counted)).items():
        judged = comparing.judge(stock, now)
        found.off.extend(judged.off)
        if judged.is_settled:
            moments = (counted[sku].changes_at, next_instant(stock, now))
            found.settled[sku] = min((at for at in moments if at is not None), default=None)
    return found
