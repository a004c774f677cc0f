"""Which SKUs are to be planned: what somebody changed, what time changed, what is still short."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.inventory")


async def ripen(tx: Connection) -> None:
    """Note SKUs whose instant has come, and those that lack units while some of theirs are free."""
    await tx.execute(SQL["note_due"])
    await tx.execute(SQL["note_free"])


async def find(tx: Connection, limit: int) -> list[tuple[Tenant, str]]:
    """Return changed SKUs, those first that changed first.

    One of which units are being taken away waits: what will be left is not known yet.
    """
    rows = await tx.fetch(SQL["changed_skus"], limit)
    return [(row["tenant"], row["sku"]) for row in rows]


async def waiting(tx: Connection, tenant: Tenant, skus: Collection[str]) -> set[str]:
    """Return those of these SKUs of which units are being taken away."""
    rows = await tx.fetch(SQL["waiting_skus"], tenant, list(skus))
    return {row["sku"] for row in rows}


async def unsettled(db: Connection, tenant: Tenant, skus: Collection[str]) -> set[str]:
    """Return those of these SKUs that are to be planned, or whose plan is not carried out yet."""
    rows = await db.fetch(SQL["unsettled_skus"], tenant, list(skus))
    return {row["sku"] for row in rows}


async def take(tx: Connection, tenant: Tenant, skus: Collection[str]) -> None:
    """Take these SKUs off the list: whatever is read after this counts."""
    await tx.execute(SQL["take_changed"], tenant, list(skus))


async def add(tx: Connection, tenant: Tenant, skus: Collection[str]) -> int:
    """Put SKUs on the list and return the number of the last one, 0 for none."""
    if not skus:
        return 0
    last: int = await tx.fetchval(SQL["add_changed"], tenant, sorted(skus))
    return last


async def write_instants(
    tx: Connection, tenant: Tenant, skus: Sequence[str], found: Mapping[str, datetime]
) -> None:
    """Keep when time alone changes these SKUs next."""
    await tx.execute(SQL["drop_instants"], tenant, list(skus), list(found))
    if found:
        await tx.execute(SQL["write_instants"], tenant, list(found), list(found.values()))


async def write_excess(tx: Connection, pools: Sequence[str], found: Mapping[str, int]) -> None:
    """Keep what these pools have beyond their policy."""
    await tx.execute(SQL["drop_excess"], list(pools), list(found))
    if found:
        await tx.execute(SQL["write_excess"], list(found), list(found.values()))
