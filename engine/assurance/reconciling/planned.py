"""What pools were given, against what policies, campaigns and stock come to.

Planning costs more than comparing, so a SKU that was found as planned is planned again only once
the mark of all that its plan is made from is another one, or time alone may have changed it; and
some of all each pass, whatever their marks say. Both looks see one snapshot each, in which whatever
changed is either planned or waits to be, and what waits is left alone.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Final

from engine.assurance.reconciling.looking import Looking, Steps
from engine.assurance.reconciling.rules import SEPARATOR, shown
from engine.assurance.reconciling.store import SQL
from engine.assurance.reconciling.types import Drift, Replan
from engine.inventory.service import comparing
from engine.inventory.service.comparing import Off
from engine.kernel.types import Tenant

_SKUS_A_STEP: Final = 200
_SECOND_LOOK_S: Final = 1.0


async def plans(look: Looking) -> Steps:
    """Plan SKUs dry; what differs as much a second later, and waits for nobody, is a drift."""
    marks = await comparing.marks(look.db, look.cell.id)
    yield []
    skus = look.settled.doubt(marks, await look.db.fetchval(SQL["now"]), look.turn)
    first = set[Drift]()
    async for found in _off(look, skus):
        first |= found
        yield []
    if not first:
        return
    await asyncio.sleep(_SECOND_LOOK_S)
    again = {(one.tenant, one.fix.sku) for one in first if isinstance(one.fix, Replan)}
    async for found in _off(look, sorted(again)):
        yield sorted(first & found, key=lambda one: one.subject)


async def _off(look: Looking, skus: Sequence[tuple[str, str]]) -> AsyncIterator[set[Drift]]:
    """Plan SKUs in steps; those that are as planned are settled."""
    for tenant, of_tenant in groupby(skus, lambda one: one[0]):
        named = [sku for _, sku in of_tenant]
        for at in range(0, len(named), _SKUS_A_STEP):
            async with (
                look.db.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                some = named[at : at + _SKUS_A_STEP]
                compared = await comparing.compare(connection, look.cell.id, Tenant(tenant), some)
            look.settled.settle(tenant, compared.settled)
            yield {_drift(one) for one in compared.off} | {
                _offer(tenant, sku, field) for sku, field in compared.offers
            }


def _offer(tenant: str, sku: str, field: str) -> Drift:
    detail = f"the offer {shown(field)} is written down otherwise than documents come to"
    subject, fix = SEPARATOR.join(("plan", field)), Replan(tenant, sku)
    return Drift("policy_drift", tenant, subject, "as planned", "another rule", 0, detail, fix)


def _drift(one: Off) -> Drift:
    name = one.name
    where = f"channel {name.channel}" if name.channel else "the shared units"
    where = "all pools together" if one.whole_group else where
    where += f" in campaign {name.campaign}" if name.campaign else ""
    where += f" of the nodes {name.node_group}" if name.node_group else ""
    detail = f"{name.sku}, {where}: {one.given} units given, and its documents come to {one.wanted}"
    subject = SEPARATOR.join(("plan", name.sku, name.channel, name.campaign, name.node_group))
    fix = Replan(name.tenant, name.sku)
    units = abs(one.given - one.wanted)
    return Drift(
        "policy_drift", name.tenant, subject, str(one.wanted), str(one.given), units, detail, fix
    )
