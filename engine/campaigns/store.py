"""Campaigns in Postgres."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from engine.campaigns.types import CampaignFields, Ending, Published
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.versioned import Kept, Statements, Table
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.campaigns")


class Unplanned(NamedTuple):
    """A campaign the cell has to be told of, and what it was told before."""

    tenant: Tenant
    kept: Kept[CampaignFields]
    fields: list[str]
    pools: list[str]
    room_key: str  # secret: whoever has it can make tickets


CAMPAIGNS: Final = Table(
    kind="campaign",
    word="campaign",
    noun="campaign",
    decode=codec.Decoder(CampaignFields),
    sql=Statements(
        SQL["get_campaign"],
        SQL["lock_campaign"],
        SQL["list_campaigns"],
        SQL["insert_campaign"],
        SQL["update_campaign"],
    ),
    columns=lambda one: (one.starts_at, one.ends_at, one.at_end == "return_to_shared"),
)


async def is_returned(tx: Connection, tenant: Tenant, campaign: str) -> bool:
    """Tell whether a campaign is over and its stock has gone back."""
    return bool(await tx.fetchval(SQL["campaign_returned"], tenant, campaign))


async def unplanned(tx: Connection, limit: int) -> list[Unplanned | Unplannable]:
    """Lock campaigns whose present version was not written down for the cell.

    One that cannot be read is among them, as what it is.
    """
    return [_unplanned(row) for row in await tx.fetch(SQL["unplanned_campaigns"], limit)]


async def mark_planned(tx: Connection, done: Sequence[Published], changes: int = 0) -> None:
    """Note what the present versions left with the publisher.

    They are published once their SKUs are planned that changed up to the number `changes`.
    """
    await tx.execute(
        SQL["plan_campaigns"],
        [one.tenant for one in done],
        [one.campaign for one in done],
        [msgspec.json.encode(one.fields).decode() for one in done],
        [msgspec.json.encode(one.pools).decode() for one in done],
        changes,
    )


async def mark_published(db: Connection) -> None:
    """Note that the cell has everything that was planned."""
    await db.execute(SQL["publish_campaigns"])


async def replan_naming(tx: Connection, tenant: Tenant, sku: str) -> None:
    """Have campaigns that sell this SKU planned again."""
    await tx.execute(SQL["replan_naming_campaigns"], tenant, sku)


async def ended(db: Connection, limit: int) -> list[Ending]:
    """Return campaigns that are over by Postgres' clock and whose stock has not gone back."""
    rows = await db.fetch(SQL["ended_campaigns"], limit)
    return [Ending(row["tenant"], row["campaign"], row["ends_at"], row["pools"]) for row in rows]


async def mark_returned(db: Connection, tenant: Tenant, campaign: str) -> None:
    """Note that its stock has gone back."""
    await db.execute(SQL["mark_returned"], tenant, campaign)


def _unplanned(row: Any) -> Unplanned | Unplannable:
    try:
        kept = CAMPAIGNS.read(row)
    except ValidationFailed as failure:
        return Unplannable(row["tenant"], row["campaign"], row["version"], why(failure))
    return Unplanned(row["tenant"], kept, row["fields"], row["pools"], row["room_key"])
