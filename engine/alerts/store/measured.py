"""What is measured of stock, as far as rules ask for it."""

from collections.abc import Iterable
from typing import Final

from engine.alerts.types.documents import AlertKind
from engine.alerts.types.facts import Card, Fact, Subject
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.alerts")

# Statements whose one number is the least that is asked for; their columns name the subject.
_BY_KIND: Final[dict[AlertKind, str]] = {
    "short": SQL["shorts"],
    "owed": SQL["owed"],
    "listing_drift": SQL["drifted"],
    "stale_feed": SQL["silent_nodes"],
    "aging": SQL["aged"],
    "slow_mover": SQL["slow"],
}


async def tenants(db: Connection) -> list[Tenant]:
    """Return who has anything to be alerted about."""
    return [row["tenant"] for row in await db.fetch(SQL["tenants"])]


async def cards(db: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, Card]:
    """Return what rules find these SKUs by; an unknown one is not among them."""
    rows = await db.fetch(SQL["cards"], tenant, sorted(set(skus)))
    return {row["sku"]: Card(row["category"], row["brand"]) for row in rows}


async def ever_granted(db: Connection, tenant: Tenant, skus: Iterable[str]) -> set[str]:
    """Return those of these SKUs that ever had units to sell."""
    return {row["sku"] for row in await db.fetch(SQL["ever_granted"], tenant, sorted(set(skus)))}


async def facts(db: Connection, tenant: Tenant, kind: AlertKind, least: int) -> list[Fact]:
    """Measure one kind, leaving out what is less than `least`."""
    if kind == "slow_mover":
        await db.execute(SQL["note_sales"], tenant)
    rows = await db.fetch(_BY_KIND[kind], tenant, least)
    found = []
    for row in rows:
        columns = dict(row)
        value = columns.pop("value")
        found.append(Fact(kind, Subject(**columns), value))
    return found
