"""Sales that lend, their pools, and what was last seen of these."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engine.campaigns.types import CampaignFields
from engine.elastic.types import Burn, Held, Look, Sale, Seen
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.elastic")
_decode: Final = codec.Decoder(CampaignFields)


async def recorded_to(tx: Connection, cell: str) -> tuple[datetime, str]:
    """Return the instant, and the position of the log up to which pools are recorded."""
    row = await tx.fetchrow(SQL["recorded_to"], cell)
    assert row is not None, "a SELECT without FROM has one row"
    return row["at"], row["log_id"]


async def running_sales(tx: Connection, known: Iterable[Sale]) -> list[Sale]:
    """Return the campaigns that run, lend and are not paused; those known are not read again.

    One that cannot be read is left out: the publisher says what is wrong with it.
    """
    named = {(one.tenant, one.campaign, one.version): one for one in known}
    columns = [[key[n] for key in named] for n in range(3)]
    rows = await tx.fetch(SQL["running_sales"], *columns)
    return [sale for row in rows if (sale := _sale(row, named))]


async def changed(tx: Connection, cell: str, sale: Sale) -> dict[tuple[str, str], list[Held]]:
    """Return, by SKU and group of nodes, all pools of SKUs of which one changed or is in need.

    SKUs of which something is under way are not among them.
    """
    rows = await tx.fetch(SQL["changed_pools"], cell, sale.tenant, sale.campaign, sale.pools)
    found: dict[tuple[str, str], list[Held]] = {}
    for row in rows:
        found.setdefault((row["sku"], row["node_group"]), []).append(_held(row))
    return found


async def note(tx: Connection, looks: Sequence[Look]) -> None:
    """Keep what was seen."""
    if looks:
        seen = [one.seen for one in looks]
        await tx.execute(
            SQL["note_seen"],
            [one.pool_id for one in looks],
            [one.used for one in seen],
            [one.available for one in seen],
            [one.burn.units for one in seen],
            [one.burn.seconds for one in seen],
            [one.at for one in seen],
            [one.needy for one in seen],
            [one.borrowed_at for one in seen],
            [one.note for one in seen],
        )


async def shown(
    db: Connection, tenant: Tenant, campaign: str
) -> tuple[list[Held], datetime | None]:
    """Return the pools of a campaign of which anything was seen, and the present instant."""
    row = await db.fetchrow(SQL["shown_pools"], tenant, campaign)
    if row is None:
        return [], None
    rows = await db.fetch(SQL["list_shops"], tenant, campaign, row["pools"])
    return [_held(one) for one in rows], row["at"]


def _sale(row: Any, known: Mapping[tuple[Tenant, str, int], Sale]) -> Sale | None:
    when = {"pools": row["pools"], "starts_at": row["starts_at"], "ends_at": row["ends_at"]}
    if row["document"] is None:
        return known[row["tenant"], row["campaign"], row["version"]]._replace(**when)
    try:
        fields = _decode(row["document"].encode())
    except ValidationFailed:
        return None
    assert fields.elastic is not None, "the query says so"
    quotas = {one.sku: dict(one.quota) for one in fields.skus}
    return Sale(row["tenant"], row["campaign"], row["version"], fields.elastic, quotas, **when)


def _held(row: Any) -> Held:
    return Held(
        row["tenant"], row["campaign"], row["sku"], row["channel"], row["node_group"],
        row["pool_id"], row["granted"], row["available"], row["used"], row["external"],
        row["draining"],
        None if row["seen_used"] is None else _seen(row),
    )  # fmt: skip


def _seen(row: Any) -> Seen:
    return Seen(
        row["seen_used"], row["seen_available"], Burn(row["units"], row["seconds"]), row["at"],
        row["needy"], row["borrowed_at"], row["note"],
    )  # fmt: skip
