"""Keep and find channels; the publisher takes what changed from here."""

from collections.abc import Iterable, Sequence

from engine.channels import rules, store
from engine.channels.store import Unplanned
from engine.channels.types import ChannelFields
from engine.infra import publishing, versioned
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel.types import Tenant

__all__ = ["Unplanned", "get", "known", "mark_planned", "mark_published", "page", "put",
           "unplanned"]  # fmt: skip


async def put(
    runtime: Runtime, tenant: Tenant, channel: str, fields: ChannelFields, match: Match, actor: str
) -> Saved[ChannelFields]:
    """Create or change a channel and wake the publisher.

    Whether it is a marketplace is an input of the plan of every SKU that it has pools of.
    """
    rules.check(fields)
    async with runtime.pool.acquire() as connection, connection.transaction():
        before = await store.CHANNELS.lock(connection, tenant, channel)
        saved = await versioned.put(
            connection, store.CHANNELS, tenant, channel, fields, match=match, actor=actor
        )
        if before is not None and before.value.authority != fields.authority:
            await publishing.change_inputs(connection, tenant)
            await publishing.changed(
                connection, tenant, await store.skus_with_pools(connection, tenant, channel)
            )
        await publishing.wake(connection)
        return saved


async def get(runtime: Runtime, tenant: Tenant, channel: str) -> Kept[ChannelFields]:
    """Return one channel.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.CHANNELS.get(connection, tenant, channel)


async def page(
    runtime: Runtime, tenant: Tenant, after: str, limit: int, only: str
) -> list[Kept[ChannelFields]]:
    """Return channels after one, in the order of their ids; with `only`, that one."""
    async with runtime.pool.acquire() as connection:
        return await store.CHANNELS.page(connection, tenant, after, limit, only)


async def known(tx: Connection, tenant: Tenant, channels: Iterable[str]) -> set[str]:
    """Return those of these channels that exist."""
    return await store.known(tx, tenant, channels)


async def unplanned(tx: Connection, limit: int) -> list[Unplanned | Unplannable]:
    """Lock channels whose present version the cell was not told of, readable or not."""
    return await store.unplanned(tx, limit)


async def mark_planned(tx: Connection, done: Sequence[tuple[Tenant, str]]) -> None:
    """Note that the present versions are written down for the cell."""
    await store.mark_planned(tx, done)


async def mark_published(db: Connection) -> None:
    """Note that the cell has everything that was planned."""
    await store.mark_published(db)
