"""What the chains of many SKUs are made from, in a few statements."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.logical.store.documents import decode
from engine.logical.types.bases import Card, Held, Place
from engine.logical.types.documents import RuleFields

SQL: Final = queries.load("engine.logical")


class Day(NamedTuple):
    """Which day it was in a zone before, and which it is now."""

    zone: str
    since: date
    until: date


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
    for sku, node, *rest in await db.fetch(SQL["held_of"], tenant, skus, owners):
        found.setdefault(sku, {}).setdefault(node, []).append(Held(*rest))
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
    return _told(rows)


async def begun_or_ended(
    db: Connection, tenant: Tenant, since: datetime, until: datetime
) -> list[tuple[str, RuleFields]]:
    """Read the enabled rules that began or ended after an instant and until another."""
    return _told(await db.fetch(SQL["rules_begun_or_ended"], tenant, since, until))


async def next_bound(db: Connection, tenant: Tenant, after: datetime) -> datetime | None:
    """Return when the next enabled rule begins or ends."""
    found: datetime | None = await db.fetchval(SQL["next_bound"], tenant, after)
    return found


async def zones(db: Connection, tenant: Tenant) -> list[str]:
    """Return the time zones of all nodes."""
    return [row[0] for row in await db.fetch(SQL["zones"], tenant)]


async def some_expire(db: Connection, tenant: Tenant, day: date) -> bool:
    """Tell whether a batch is good until a day or longer."""
    return bool(await db.fetchval(SQL["some_expire"], tenant, day))


async def batches_passed(tx: Connection, tenant: Tenant, days: Sequence[Day]) -> None:
    """Have every SKU planned anew of which a batch passed the end of a window."""
    columns = [list(column) for column in zip(*days, strict=True)]
    await tx.execute(SQL["batches_passed"], tenant, *columns)


def _told(rows: Iterable[Any]) -> list[tuple[str, RuleFields]]:
    return [(row["rule"], decode(row["document"].encode())) for row in rows]
