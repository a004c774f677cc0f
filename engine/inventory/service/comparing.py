"""Compare what pools were given with what they should have, for whoever looks after them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from engine.infra.postgres import Connection
from engine.inventory import rules
from engine.inventory.rules import comparing
from engine.inventory.rules.comparing import Off
from engine.inventory.rules.supply import by_group, next_instant
from engine.inventory.service import skus as planning
from engine.inventory.service.bases import Counted
from engine.inventory.store import changes, intentions, supply
from engine.inventory.store.marks import Mark, marks
from engine.kernel.types import Tenant
from engine.logical.service import bases as logical

__all__ = ["Compared", "Mark", "Off", "compare", "marks"]


class Compared(NamedTuple):
    """What is not as planned, and of which SKUs all is, and stays so while their marks stay.

    `offers` are (SKU, rule of the cell as written down) that say something else. `settled` says
    until when: then time alone may change what they should have; None is never.
    """

    off: list[Off]
    offers: list[tuple[str, str]]
    settled: dict[str, datetime | None]


async def compare(db: Connection, cell: str, tenant: Tenant, skus: Sequence[str]) -> Compared:
    """Plan these SKUs without writing anything, and tell what is not as planned.

    To be called inside a transaction that sees one snapshot: in it, whatever changed is either
    planned or waits, and SKUs that wait are passed by.
    """
    waiting = await changes.unsettled(db, tenant, skus)
    ready = [sku for sku in skus if sku not in waiting]
    now = await supply.now(db)
    chains = await logical.present(db, tenant, ready, now)
    counted = {sku: Counted(by_group(chains[sku].nodes), chains[sku].changes_at) for sku in ready}
    found, wanted, of_sku = Compared([], [], {}), dict[str, list[Any]](), dict[str, str]()
    stocks = await planning.read(db, tenant, ready, counted)
    judgements = {sku: comparing.judge(stock, now) for sku, stock in stocks.items()}
    for sku, judged in judgements.items():
        bodies = comparing.offers(stocks[sku], judged.outcome)
        wanted |= bodies
        of_sku |= dict.fromkeys(bodies, sku)
    stored = await intentions.stored_rules(db, cell, wanted)
    changed = rules.changed_rules(wanted, stored)
    found.offers.extend((of_sku[one.field], one.field) for one in changed)
    unsettled = {sku for sku, _ in found.offers}
    for sku, judged in judgements.items():
        found.off.extend(judged.off)
        if judged.is_settled and sku not in unsettled:
            stock = stocks[sku]
            moments = (counted[sku].changes_at, next_instant(stock, now))
            found.settled[sku] = min((at for at in moments if at is not None), default=None)
    return found
