"""What channels may sell, as recorded: of each SKU, everyday and in campaigns."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from engine.infra.cell import Cell
from engine.infra.postgres import Connection, snapshot
from engine.infra.runtime import Runtime
from engine.inventory import rules
from engine.inventory.rules import bundling
from engine.inventory.store import drawn, recorded
from engine.inventory.types import StockItem
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant

Place: TypeAlias = tuple[str, str, str]  # SKU, channel, campaign


class Asked(NamedTuple):
    """Which of it; "" is any channel or SKU."""

    channel: str
    sku: str
    after: Sequence[Any]
    limit: int


class Seen(NamedTuple):
    """What is listed, in one snapshot: rows of components beside those of their bundles."""

    at: datetime
    log_id: str
    listed: Sequence[recorded.StockRow]
    components: Sequence[recorded.StockRow]
    available: Mapping[str, int]


async def stock(runtime: Runtime, tenant: Tenant, asked: Asked) -> tuple[list[StockItem], str, str]:
    """Return what channels may sell, the instant, and the log position it was recorded up to.

    Raises:
        Overloaded: a channel's draws are capped, and the cell, which counts them, does not answer.
    """
    async with snapshot(runtime.pool) as db:
        seen = await see(runtime, db, tenant, asked)
    found = await items(runtime, seen)
    return [found[_place(row)] for row in seen.listed], rfc3339(to_ms(seen.at)), seen.log_id


async def see(runtime: Runtime, db: Connection, tenant: Tenant, asked: Asked) -> Seen:
    """Read what is listed, and what is available of it; to be called in one snapshot."""
    at, log_id = await recorded.recorded_to(db, runtime.settings.cell)
    listed = await recorded.stock(db, tenant, *asked)
    parts = {(part.sku, row.channel, row.campaign) for row in listed for part in row.components}
    components = await recorded.stock_of(db, tenant, parts)
    rows = [row for row in listed if not row.components] + components
    pools = {pool for row in rows for pool, _cap in rules.draws_of(row.body)}
    return Seen(at, log_id, listed, components, await recorded.available(db, pools))


async def items(runtime: Runtime, seen: Seen) -> dict[Place, StockItem]:
    """Return what channels may sell of all that was seen.

    Raises:
        Overloaded: a channel's draws are capped, and the cell, which counts them, does not answer.
    """
    rows = [row for row in seen.listed if not row.components] + [*seen.components]
    draws = [rules.draws_of(row.body) for row in rows]
    drawn_by = await counted(runtime, rows, draws)
    found = {
        _place(row): _item(row, offer, seen.available, drawn_by)
        for row, offer in zip(rows, draws, strict=True)
    }
    return found | {_place(row): _bundle(row, found) for row in seen.listed if row.components}


async def scarce(
    runtime: Runtime, db: Connection, tenant: Tenant, units: int, after: Sequence[Any], limit: int
) -> tuple[list[StockItem], list[str] | None]:
    """Return what channels may sell where a pool of their own has at most so many free units.

    Shared units they may draw are counted in, so some have more; bundles are not among them, nor
    what a channel does not sell any more, or in a campaign that does not run now. Beside it: after
    what the next page goes on, None at the end.

    Raises:
        Overloaded: as `stock` does.
    """
    rows = await recorded.offers_below(db, tenant, units, after, limit)
    draws = [rules.draws_of(row.body) for row in rows]
    available = await recorded.available(db, {pool for one in draws for pool, _cap in one})
    drawn_by = await counted(runtime, rows, draws)
    last = rows[-1] if len(rows) == limit else None
    return [
        _item(row, offer, available, drawn_by)
        for row, offer in zip(rows, draws, strict=True)
        if offer
    ], ([*_place(last)] if last else None)


async def counted(
    runtime: Runtime, rows: Sequence[recorded.StockRow], draws: Sequence[Sequence[tuple[str, int]]]
) -> dict[str, int]:
    """Return how much each channel has drawn of pools that it may draw from to a cap.

    Raises:
        Overloaded: some are capped, and the cell, which counts them, does not answer.
    """
    capped = {
        rules.cap_field(pool, row.channel)
        for row, offer in zip(rows, draws, strict=True)
        for pool, cap in offer
        if cap >= 0
    }
    assert isinstance(runtime.cell, Cell)
    return await drawn.counted(runtime.cell, capped)


def _place(row: recorded.StockRow) -> Place:
    return row.sku, row.channel, row.campaign


def _item(
    row: recorded.StockRow,
    offer: Sequence[tuple[str, int]],
    available: Mapping[str, int],
    counted: Mapping[str, int],
) -> StockItem:
    units = rules.sellable(row.channel, offer, available, counted)
    own = sum(n for n, (pool, _cap) in zip(units, offer, strict=True) if pool in row.pools)
    total = sum(units)
    return StockItem(row.sku, row.channel, row.campaign, total, own, total - own)


def _bundle(row: recorded.StockRow, items: Mapping[Place, StockItem]) -> StockItem:
    """Return how many bundles can be made of what the channel may sell of their components."""
    places = {part.sku: (part.sku, row.channel, row.campaign) for part in row.components}
    have = {sku: items[place] for sku, place in places.items() if place in items}
    total = bundling.sellable({sku: one.sellable for sku, one in have.items()}, row.components)
    own = bundling.sellable({sku: one.own for sku, one in have.items()}, row.components)
    return StockItem(row.sku, row.channel, row.campaign, total, own, total - own)
