"""What the chains of many SKUs are made from, in a few statements."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.logical.store.documents import RULES
from engine.logical.types.bases import Card, Held, Place
from engine.logical.types.documents import RuleFields

SQL: Final = queries.load("engine.logical")


async def cards(db: Connection, tenant: Tenant, skus: Collection[str]) -> list[Card]:
    """Read those of these SKUs that there are."""
    rows = await db.fetch(SQL["cards_of"], tenant, list(skus))
    return [Card(*row) for row in rows]


async def held(
    db: Connection, tenant: Tenant, cards: Sequence[Card]
) -> dict[str, dict[str, list[Held]]]:
    """Read the balances of these SKUs, those of their owners, by SKU and node."""
    skus, owners = [one.sku for one in cards], [one.owner for one in cards]
    found: dict[str, dict[str, list[Held]]] = {}
    for row in await db.fetch(SQL["held_of"], tenant, skus, owners):
        found.setdefault(row[0], {}).setdefault(row[1], []).append(Held._make(row[2:]))
    return found


async def places(db: Connection, tenant: Tenant, nodes: Collection[str]) -> dict[str, Place]:
    """Read nodes by their ids."""
    rows = await db.fetch(SQL["places_of"], tenant, list(nodes))
    return {
        row["node"]: Place(
            row["node"], row["node_group"], row["enabled"], row["controlled_by"],
            ZoneInfo(row["timezone"]),
        )
        for row in rows
    }  # fmt: skip


async def rules(
    db: Connection, tenant: Tenant, cards: Iterable[Card], at: datetime
) -> list[tuple[str, RuleFields]]:
    """Read the enabled rules that may be for one of these SKUs, at an instant or later."""
    columns = [list({"", *column}) for column in zip(*cards, strict=True)]
    skus, owners, categories, brands = columns
    rows = await db.fetch(SQL["rules_for"], tenant, skus, categories, brands, owners, at)
    return [(row["rule"], RULES.decode(row["document"].encode())) for row in rows]
