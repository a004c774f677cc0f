"""Campaigns in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from engine.campaigns.types import CampaignFields, Ending, Published
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.versioned import Kept, packed
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.campaigns")
_decode: Final = codec.Decoder(CampaignFields)


class Unplanned(NamedTuple):
    """A campaign the cell has to be told of, and what it was told before."""

    tenant: Tenant
    kept: Kept[CampaignFields]
    fields: list[str]
    pools: list[str]


@dataclass(frozen=True, slots=True)
class Campaigns:
    """The table of campaigns, as `infra.versioned` writes to it."""

    kind: str = "campaign"

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[CampaignFields] | None:
        """Read one campaign and keep others from changing it."""
        return _kept(await tx.fetchrow(SQL["lock_campaign"], tenant, key))

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: CampaignFields, actor: str
    ) -> Kept[CampaignFields] | None:
        """Write a new campaign; None when it was made meanwhile."""
        arguments = _arguments(value, actor)
        return _kept(await tx.fetchrow(SQL["insert_campaign"], tenant, key, *arguments))

    async def update(
        self,
        tx: Connection,
        tenant: Tenant,
        kept: Kept[CampaignFields],
        value: CampaignFields,
        actor: str,
    ) -> Kept[CampaignFields]:
        """Write the next version."""
        arguments = _arguments(value, actor)
        changed = _kept(await tx.fetchrow(SQL["update_campaign"], tenant, kept.id, *arguments))
        assert changed is not None, "the row is locked"
        return changed


async def get(db: Connection, tenant: Tenant, campaign: str) -> Kept[CampaignFields] | None:
    """Read one campaign."""
    return _kept(await db.fetchrow(SQL["get_campaign"], tenant, campaign))


async def page(
    db: Connection, tenant: Tenant, after: str, limit: int
) -> list[Kept[CampaignFields]]:
    """Read campaigns in the order of their ids."""
    rows = await db.fetch(SQL["list_campaigns"], tenant, after, limit)
    return [kept for row in rows if (kept := _kept(row))]


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


def _arguments(value: CampaignFields, actor: str) -> tuple[Any, ...]:
    returns = value.at_end == "return_to_shared"
    return packed(value), actor, value.starts_at, value.ends_at, returns


def _unplanned(row: Any) -> Unplanned | Unplannable:
    try:
        kept = _kept(row)
    except ValidationFailed as failure:
        return Unplannable(row["tenant"], row["campaign"], row["version"], why(failure))
    assert kept is not None, "there is a row"
    return Unplanned(row["tenant"], kept, row["fields"], row["pools"])


def _kept(row: Any) -> Kept[CampaignFields] | None:
    if row is None:
        return None
    return Kept(
        row["campaign"],
        row["version"],
        row["updated_at"],
        _decode(row["document"].encode()),
        published=row["published_version"] == row["version"],
        settled=row["settled"],
    )
