"""What shops said of their listings, in Postgres."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.publications.types import Acked, Known

SQL: Final = queries.load("engine.publications")


async def lock(
    tx: Connection, tenant: str, channel: str, links: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Known]:
    """Read listings of a channel and keep others from writing to them."""
    rows = await tx.fetch(SQL["lock_publications"], tenant, channel, *_pairs(list(links)))
    return {
        (row["item_id"], row["sku_id"]): Known(
            row["number"], row["published"], row["published_at"], row["sent_number"], row["sent"],
            row["sent_made_at"], row["acked_number"], row["refused_number"], row["lag_measured"],
            row["seen"], row["seen_at"], row["drift"], row["now"],
        )
        for row in rows
    }  # fmt: skip


async def ack(
    tx: Connection, tenant: str, channel: str, acked: Sequence[tuple[tuple[str, str], Acked]]
) -> None:
    """Note numbers that a shop took."""
    if acked:
        told = [one for _, one in acked]
        await tx.execute(
            SQL["ack"], tenant, channel, *_pairs([link for link, _ in acked]),
            [one.number for one in told], [one.quantity for one in told],
            [one.lag_s for one in told],
        )  # fmt: skip


async def refuse(
    tx: Connection, tenant: str, channel: str, refused: Sequence[tuple[tuple[str, str], int, str]]
) -> None:
    """Note numbers that a shop did not take, and why."""
    if refused:
        await tx.execute(
            SQL["refuse"], tenant, channel, *_pairs([link for link, *_ in refused]),
            [number for _, number, _ in refused], [reason for *_, reason in refused],
        )  # fmt: skip


async def see(
    tx: Connection, tenant: str, channel: str, seen: Sequence[tuple[tuple[str, str], int, datetime]]
) -> list[Any]:
    """Note what a shop shows, and return what that comes to."""
    if not seen:
        return []
    return list(
        await tx.fetch(
            SQL["see"], tenant, channel, *_pairs([link for link, *_ in seen]),
            [quantity for _, quantity, _ in seen], [at for *_, at in seen],
        )
    )  # fmt: skip


async def tell_drift(
    tx: Connection, tenant: str, channel: str, told: Sequence[tuple[tuple[str, str], int]]
) -> None:
    """Note which drifts events told."""
    if told:
        drifts = [drift for _, drift in told]
        links = _pairs([link for link, _ in told])
        await tx.execute(SQL["tell_drift"], tenant, channel, *links, drifts)


def _pairs(links: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [item_id for item_id, _ in links], [sku_id for _, sku_id in links]
