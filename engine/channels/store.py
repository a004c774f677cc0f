"""Channels in Postgres."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from engine.channels.types import ChannelFields
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.versioned import Kept, Statements, Table
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.channels")


class Unplanned(NamedTuple):
    """A channel the cell has to be told of."""

    tenant: Tenant
    kept: Kept[ChannelFields]


CHANNELS: Final = Table(
    kind="channel",
    word="channel",
    noun="channel",
    decode=codec.Decoder(ChannelFields),
    sql=Statements(
        SQL["get_channel"],
        SQL["lock_channel"],
        SQL["list_channels"],
        SQL["insert_channel"],
        SQL["update_channel"],
    ),
)


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
        kept = CHANNELS.read(row)
    except ValidationFailed as failure:
        return Unplannable(row["tenant"], row["channel"], row["version"], why(failure))
    return Unplanned(row["tenant"], kept)


async def authorities(db: Connection) -> dict[tuple[str, str], str]:
    """Return the authority of every channel, by tenant and channel."""
    rows = await db.fetch(SQL["authorities"])
    return {(row["tenant"], row["channel"]): row["authority"] for row in rows}
