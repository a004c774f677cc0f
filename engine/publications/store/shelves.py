"""What listings are to show, in Postgres."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.publications.store.looking import Key
from engine.publications.types import Link, Number, Settings, Shelf

SQL: Final = queries.load("engine.publications")


class Wanted(NamedTuple):
    """What a list shall hold; "" and None are no limitation."""

    tenant: str
    channel: str
    sku: str
    pending: bool | None
    drift: bool | None
    after: Sequence[str]
    limit: int


async def shelves(db: Connection, keys: Collection[Key]) -> list[Shelf]:
    """Return every link of external channels that stands, or stood, for one of these SKUs."""
    return [_shelf(row) for row in await db.fetch(SQL["shelves"], *_columns(keys))]


async def bundles_with(db: Connection, keys: Collection[Key]) -> list[Key]:
    """Return the bundles of which one of these SKUs is a component."""
    return [Key(*row) for row in await db.fetch(SQL["bundles_with"], *_columns(keys))]


async def campaigns_of(
    db: Connection, keys: Collection[Key]
) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """Return the campaigns in which channels have pools, by (tenant, channel, SKU)."""
    rows = await db.fetch(SQL["campaigns_of"], *_columns(keys))
    return {(row["tenant"], row["channel"], row["sku"]): tuple(row["campaigns"]) for row in rows}


async def publish(tx: Connection, numbers: Sequence[tuple[Shelf, Number]]) -> dict[Link, int]:
    """Write what listings are to show and return the number of each that was written.

    One that somebody else wrote to since it was read is left alone: read it again.
    """
    if not numbers:
        return {}
    rows = [
        (
            *shelf.link, shelf.number, shelf.last.state if shelf.last else "not_on_sale",
            one.state, one.sku, one.units_per, one.published, one.buffer, one.reach,
        )
        for shelf, one in numbers
    ]  # fmt: skip
    columns = (list(column) for column in zip(*rows, strict=True))
    written = await tx.fetch(SQL["publish"], *columns)
    return {Link(*row[:4]): row["number"] for row in written}


async def stop_sku(tx: Connection, tenant: str, sku: str) -> None:
    """Publish 0 on every listing of a SKU."""
    await tx.execute(SQL["stop_sku"], tenant, sku)


async def listings_of_sku(db: Connection, tenant: str, sku: str) -> list[Any]:
    """Return what every listing of a SKU is to show, and what its shop confirmed."""
    return list(await db.fetch(SQL["listings_of_sku"], tenant, sku))


async def page(db: Connection, wanted: Wanted) -> list[Any]:
    """Read publications in the order of their links."""
    return list(
        await db.fetch(
            SQL["list_publications"], wanted.tenant, wanted.channel, wanted.sku, wanted.pending,
            wanted.drift, *wanted.after, wanted.limit,
        )
    )  # fmt: skip


async def mark_sent(db: Connection, tenant: str, rows: Sequence[Any]) -> None:
    """Note the numbers that an adapter was given."""
    links = zip(*((row["channel"], row["item_id"], row["sku_id"]) for row in rows), strict=True)
    numbers = [row["number"] for row in rows]
    await db.execute(SQL["mark_sent"], tenant, *(list(column) for column in links), numbers)


async def keep_settings(
    tx: Connection, tenant: str, channel: str, settings: Sequence[tuple[str, str, Settings]]
) -> dict[tuple[str, str], str]:
    """Keep what people say of links, and return the SKU of each of them that exists."""
    links, told = [one[:2] for one in settings], [one[2] for one in settings]
    rows = await tx.fetch(
        SQL["keep_settings"], tenant, channel,
        [item_id for item_id, _ in links], [sku_id for _, sku_id in links],
        [one.reducible for one in told], [one.buffer for one in told],
        [one.lag_seconds for one in told], [one.share for one in told],
    )  # fmt: skip
    return {(row["item_id"], row["sku_id"]): row["sku"] for row in rows}


async def write_events(
    tx: Connection, kind: str, actor: str, events: Sequence[dict[str, object]]
) -> None:
    """Append to the outbox what is about no order."""
    if events:
        await tx.execute(SQL["write_events"], kind, actor, codec.encode(events).decode())


def _shelf(row: Any) -> Shelf:
    link = Link(row["tenant"], row["channel"], row["item_id"], row["sku_id"])
    skus = tuple(zip(row["skus"] or (), row["units"] or (), strict=True))
    made_of = codec.decode_json(row["components"]) if row["components"] else ()
    parts = tuple((one["sku"], one["quantity"]) for one in made_of)
    if row["number"] is None:
        return Shelf(link, skus, Settings(), parts=parts)
    return Shelf(
        link,
        skus,
        Settings(row["reducible"], row["fixed_buffer"], row["lag_told"], row["share"]),
        row["number"],
        Number(
            row["state"], row["sku"], row["units_per"], row["published"], row["buffer"],
            row["reach"],
        ),
        row["lag_measured"],
        row["age_s"],
        parts,
    )  # fmt: skip


def _columns(keys: Collection[Key]) -> tuple[list[str], list[str]]:
    return [key.tenant for key in keys], [key.sku for key in keys]
