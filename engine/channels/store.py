"""Channels in Postgres."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from engine.channels.types import ChannelFields
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.versioned import Kept, packed
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.channels")
_decode: Final = codec.Decoder(ChannelFields)


class Unplanned(NamedTuple):
    """A channel the cell has to be told of."""

    tenant: Tenant
    kept: Kept[ChannelFields]


@dataclass(frozen=True, slots=True)
class Channels:
    """The table of channels, as `infra.versioned` writes to it."""

    kind: str = "channel"

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[ChannelFields] | None:
        """Read one channel and keep others from changing it."""
        return _kept(await tx.fetchrow(SQL["lock_channel"], tenant, key))

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: ChannelFields, actor: str
    ) -> Kept[ChannelFields] | None:
        """Write a new channel; None when it was made meanwhile."""
        return _kept(await tx.fetchrow(SQL["insert_channel"], tenant, key, packed(value), actor))

    async def update(
        self,
        tx: Connection,
        tenant: Tenant,
        kept: Kept[ChannelFields],
        value: ChannelFields,
        actor: str,
    ) -> Kept[ChannelFields]:
        """Write the next version."""
        row = await tx.fetchrow(SQL["update_channel"], tenant, kept.id, packed(value), actor)
        changed = _kept(row)
        assert changed is not None, "the row is locked"
        return changed


async def get(db: Connection, tenant: Tenant, channel: str) -> Kept[ChannelFields] | None:
    """Read one channel."""
    return _kept(await db.fetchrow(SQL["get_channel"], tenant, channel))


async def page(
    db: Connection, tenant: Tenant, after: str, limit: int, only: str
) -> list[Kept[ChannelFields]]:
    """Read channels in the order of their ids; `only` one of them, or all when it is empty."""
    rows = await db.fetch(SQL["list_channels"], tenant, after, limit, only)
    return [kept for row in rows if (kept := _kept(row))]


async def skus_with_pools(tx: Connection, tenant: Tenant, channel: str) -> list[str]:
    """Return the SKUs of which a channel has pools of its own."""
    return [row["sku"] for row in await tx.fetch(SQL["skus_with_pools"], tenant, channel)]


async def known(db: Connection, tenant: Tenant, channels: Iterable[str]) -> set[str]:
    """Return those of these channels that exist."""
    rows = await db.fetch(SQL["known_channels"], tenant, list(channels))
    return {row["channel"] for row in rows}


async def unplanned(tx: Connection, limit: int) -> list[Unplanned | Unplannable]:
    """Lock channels whose present version the cell was not told of.

    One that cannot be read is among them, as what it is.
    """
    return [_unplanned(row) for row in await tx.fetch(SQL["unplanned_channels"], limit)]


async def mark_planned(tx: Connection, done: Sequence[tuple[Tenant, str]]) -> None:
    """Note that the present versions are written down for the cell."""
    tenants, channels = [tenant for tenant, _ in done], [channel for _, channel in done]
    await tx.execute(SQL["plan_channels"], tenants, channels)


async def mark_published(db: Connection) -> None:
    """Note that the cell has everything that was planned."""
    await db.execute(SQL["publish_channels"])


def _unplanned(row: Any) -> Unplanned | Unplannable:
    try:
        kept = _kept(row)
    except ValidationFailed as failure:
        return Unplannable(row["tenant"], row["channel"], row["version"], why(failure))
    assert kept is not None, "there is a row"
    return Unplanned(row["tenant"], kept)


def _kept(row: Any) -> Kept[ChannelFields] | None:
    if row is None:
        return None
    return Kept(
        row["channel"],
        row["version"],
        row["updated_at"],
        _decode(row["document"].encode()),
        published=row["published_version"] == row["version"],
    )


async def authorities(db: Connection) -> dict[tuple[str, str], str]:
    """Return the authority of every channel, by tenant and channel."""
    rows = await db.fetch(SQL["authorities"])
    return {(row["tenant"], row["channel"]): row["authority"] for row in rows}
