"""Keep and find campaigns; the publisher takes what changed from here."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from engine.campaigns import rules, store
from engine.campaigns.store import Unplanned
from engine.campaigns.types import CampaignFields, Ending, Published
from engine.catalogue import service as catalogue
from engine.channels import service as channels
from engine.infra import publishing, versioned
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel import codec
from engine.kernel.errors import InConflict, ValidationFailed
from engine.kernel.types import Tenant

__all__ = ["Unplanned", "ended", "get", "mark_planned", "mark_published", "mark_returned",
           "page", "put", "replan_naming", "unplanned"]  # fmt: skip


async def put(
    runtime: Runtime,
    tenant: Tenant,
    campaign: str,
    fields: CampaignFields,
    match: Match,
    actor: str,
) -> Saved[CampaignFields]:
    """Create or change a campaign and wake the publisher; a started one needs If-Match.

    Raises:
        ValidationFailed: also for a SKU or channel that does not exist.
        InConflict: it is over and its stock has gone back.
    """
    wanted = rules.normal(fields)
    _check_timezone(wanted.timezone)
    async with runtime.pool.acquire() as connection, connection.transaction():
        await _check_names(connection, tenant, wanted)
        saved = await versioned.put(
            connection, store.CAMPAIGNS, tenant, campaign, wanted, match=match, actor=actor
        )
        if saved.changed and await store.is_returned(connection, tenant, campaign):
            raise InConflict("it is over and its stock has gone back: make another campaign")
        await publishing.wake(connection)
        return saved


async def get(runtime: Runtime, tenant: Tenant, campaign: str) -> Kept[CampaignFields]:
    """Return one campaign.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.CAMPAIGNS.get(connection, tenant, campaign)


async def page(
    runtime: Runtime, tenant: Tenant, after: str, limit: int
) -> list[Kept[CampaignFields]]:
    """Return campaigns after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.CAMPAIGNS.page(connection, tenant, after, limit)


async def unplanned(tx: Connection, limit: int) -> list[Unplanned | Unplannable]:
    """Lock campaigns whose present version was not written down for the cell, readable or not."""
    return await store.unplanned(tx, limit)


async def mark_planned(tx: Connection, done: Sequence[Published], changes: int = 0) -> None:
    """Note what the present versions left with the publisher, as the store says."""
    await store.mark_planned(tx, done, changes)


async def mark_published(db: Connection) -> None:
    """Note that the cell has everything that was planned."""
    await store.mark_published(db)


async def replan_naming(tx: Connection, tenant: Tenant, sku: str) -> None:
    """Have campaigns that sell this SKU planned again."""
    await store.replan_naming(tx, tenant, sku)


async def ended(db: Connection, limit: int) -> list[Ending]:
    """Return campaigns that are over by Postgres' clock and whose stock has not gone back."""
    return await store.ended(db, limit)


async def mark_returned(db: Connection, tenant: Tenant, campaign: str) -> None:
    """Note that its stock has gone back."""
    await store.mark_returned(db, tenant, campaign)


async def _check_names(tx: Connection, tenant: Tenant, campaign: CampaignFields) -> None:
    owners = await catalogue.owners_of(tx, tenant, [one.sku for one in campaign.skus])
    known = await channels.known(tx, tenant, campaign.channels)
    if faults := rules.unknown(campaign, owners, known):
        raise ValidationFailed(faults)


def _check_timezone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as failure:  # a path, a folder, no such zone
        codec.refuse("/timezone", "must be a zone of the IANA database, as Asia/Shanghai", failure)
