"""What pools were given, against what policies, campaigns and stock come to.

Planning costs more than comparing, so a pass plans some SKUs only, the next pass those after them;
what was off the last time is among them until it is right. Both looks see one snapshot each, in
which whatever changed is either planned or waits to be, and what waits is left alone.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from engine.assurance.reconciling.looking import Looking, Steps
from engine.assurance.reconciling.rules import SEPARATOR
from engine.assurance.reconciling.store import SQL
from engine.assurance.reconciling.types import Drift, Replan
from engine.inventory.service import comparing
from engine.inventory.service.comparing import Off
from engine.kernel.types import Tenant

_SKUS_A_STEP: Final = 200
_SKUS_A_PASS: Final = 1_000
_SECOND_LOOK_S: Final = 1.0
_FIRST: Final = ("", "")


async def plans(look: Looking) -> Steps:
    """Plan SKUs dry; what differs as much a second later, and waits for nobody, is a drift."""
    found = await _twice(look, sorted(look.unplanned))
    look.unplanned = frozenset(map(_sku, found))
    yield [_drift(one) for one in sorted(found)]
    for _ in range(0, _SKUS_A_PASS, _SKUS_A_STEP):
        found = await _twice(look, await _next(look))
        look.unplanned |= set(map(_sku, found))
        yield [_drift(one) for one in sorted(found)]
        if look.planned_to == _FIRST:
            return


async def _next(look: Looking) -> list[tuple[str, str]]:
    """Return the SKUs after those of last time; behind the last ones it begins anew."""
    rows = await look.db.fetch(SQL["planned_skus"], look.cell.id, *look.planned_to, _SKUS_A_STEP)
    skus = [(row["tenant"], row["sku"]) for row in rows]
    look.planned_to = skus[-1] if len(skus) == _SKUS_A_STEP else _FIRST
    return skus


async def _twice(look: Looking, skus: Sequence[tuple[str, str]]) -> set[Off]:
    found = await _off(look, skus)
    if not found:
        return found
    await asyncio.sleep(_SECOND_LOOK_S)
    return found & await _off(look, sorted(set(map(_sku, found))))


async def _off(look: Looking, skus: Iterable[tuple[str, str]]) -> set[Off]:
    found = set[Off]()
    for tenant, some in groupby(skus, lambda one: one[0]):
        async with (
            look.db.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found |= {*await comparing.off(connection, Tenant(tenant), [sku for _, sku in some])}
    return found


def _sku(one: Off) -> tuple[str, str]:
    return one.name.tenant, one.name.sku


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
