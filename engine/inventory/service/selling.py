"""What channels may sell, as recorded: of each SKU, everyday and in campaigns."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from engine.catalogue.types import Component
from engine.infra.cell import Cell
from engine.infra.postgres import Connection, snapshot
from engine.infra.runtime import Runtime
from engine.inventory import rules
from engine.inventory.rules import bundling
from engine.inventory.store import drawn, recorded
from engine.inventory.store.recorded import Offered
from engine.inventory.types import OfferKey, StockItem
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant

Draws: TypeAlias = list[tuple[str, int]]  # pools with caps


class Asked(NamedTuple):
    """Which of it; "" is any channel or SKU."""

    channel: str
    sku: str
    after: Sequence[Any]
    limit: int


class Seen(NamedTuple):
    """What is listed, a bundle with its components, and the offers of all that are no bundles."""

    at: datetime
    log_id: str
    listed: Mapping[OfferKey, Sequence[Component]]
    offers: Mapping[OfferKey, Offered]
    available: Mapping[str, int]


async def stock(runtime: Runtime, tenant: Tenant, asked: Asked) -> tuple[list[StockItem], str, str]:
    """Return what channels may sell, the instant, and the log position it was recorded up to.

    Raises:
        Overloaded: a channel's draws are capped, and the cell, which counts them, does not answer.
    """
    async with snapshot(runtime.pool) as db:
        seen = await see(runtime, db, tenant, asked)
    found = await items(runtime, seen)
    return [found[key] for key in seen.listed], rfc3339(to_ms(seen.at)), seen.log_id


async def see(runtime: Runtime, db: Connection, tenant: Tenant, asked: Asked) -> Seen:
    """Read what is listed, and what is available of it; to be called in one snapshot."""
    at, log_id = await recorded.recorded_to(db, runtime.settings.cell)
    listed = await recorded.list_offers(db, tenant, *asked)
    keys = {key._replace(sku=part.sku) for key, parts in listed.items() for part in parts}
    keys |= {key for key, parts in listed.items() if not parts}
    offers = await recorded.offers(db, tenant, keys)
    return Seen(at, log_id, listed, offers, await _available(db, offers))


async def items(runtime: Runtime, seen: Seen) -> dict[OfferKey, StockItem]:
    """Return what channels may sell of all that was seen.

    Raises:
        Overloaded: a channel's draws are capped, and the cell, which counts them, does not answer.
    """
    found = await _items(runtime, seen.offers, seen.available)
    return found | {key: _bundle(key, parts, found) for key, parts in seen.listed.items() if parts}


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
    keys = await recorded.offers_below(db, tenant, units, after, limit)
    offers = await recorded.offers(db, tenant, keys)
    selling = {key: one for key in keys if (one := offers.get(key)) and rules.draws_of(one.body)}
    found = await _items(runtime, selling, await _available(db, selling))
    return [*found.values()], [*keys[-1]] if len(keys) == limit else None


async def counted(runtime: Runtime, draws: Mapping[OfferKey, Draws]) -> dict[str, int]:
    """Return how much each channel has drawn of pools that it may draw from to a cap.

    Raises:
        Overloaded: some are capped, and the cell, which counts them, does not answer.
    """
    capped = {
        rules.cap_field(pool, key.channel)
        for key, one in draws.items()
        for pool, cap in one
        if cap >= 0
    }
    assert isinstance(runtime.cell, Cell)
    return await drawn.counted(runtime.cell, capped)


async def _available(db: Connection, offers: Mapping[OfferKey, Offered]) -> dict[str, int]:
    pools = {pool for one in offers.values() for pool, _cap in rules.draws_of(one.body)}
    return await recorded.available(db, pools)


async def _items(
    runtime: Runtime, offers: Mapping[OfferKey, Offered], available: Mapping[str, int]
) -> dict[OfferKey, StockItem]:
    draws = {key: rules.draws_of(one.body) for key, one in offers.items()}
    drawn_by = await counted(runtime, draws)
    found = {}
    for key, one in draws.items():
        units = rules.sellable(key.channel, one, available, drawn_by)
        pools = offers[key].pools
        own = sum(n for n, (pool, _cap) in zip(units, one, strict=True) if pool in pools)
        total = sum(units)
        found[key] = StockItem(*key, total, own, total - own)
    return found


def _bundle(
    key: OfferKey, parts: Sequence[Component], items: Mapping[OfferKey, StockItem]
) -> StockItem:
    """Return how many bundles can be made of what the channel may sell of their components."""
    keys = {part.sku: key._replace(sku=part.sku) for part in parts}
    have = {sku: items[one] for sku, one in keys.items() if one in items}
    total = bundling.sellable({sku: one.sellable for sku, one in have.items()}, parts)
    own = bundling.sellable({sku: one.own for sku, one in have.items()}, parts)
    return StockItem(*key, total, own, total - own)
