"""What the cell would sell through a channel now, from its own rules, pools and counters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from engine.inventory import rules as inventory
from engine.publications.types import Reach

_SEPARATOR: Final = inventory.SEPARATOR
_IS_BUNDLE: Final = 6  # where an offer says so (lua/README.md)
Draws: TypeAlias = Sequence[tuple[str, int]]  # pools and caps
_list: Final = msgspec.msgpack.Decoder(list[Any]).decode


class Asked(NamedTuple):
    """A SKU in a channel, and the campaigns in which the channel has a pool of it.

    `parts` are what a bundle is made of, its own SKU having no pool.
    """

    tenant: str
    channel: str
    sku: str
    campaigns: tuple[str, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def drawn(self) -> tuple[tuple[str, int], ...]:
        """The SKUs that one of it draws, and how many units of each."""
        return self.parts or ((self.sku, 1),)


class Pool(NamedTuple):
    """A pool as the cell has it; one that ended has nothing for sale."""

    available: int
    owed: int


def pause_field(tenant: str, scope: str, name: str) -> str:
    """Name the rule by which a sale is paused."""
    return _SEPARATOR.join(("pause", tenant, scope, name))


def offer_field(one: Asked, campaign: str, sku: str = "") -> str:
    """Name the rule by which a channel sells it, or a part of it; campaign "" is every day."""
    return _SEPARATOR.join(("offer", one.tenant, campaign, one.channel, sku or one.sku))


def campaign_field(tenant: str, campaign: str) -> str:
    """Name the rule of a campaign's window."""
    return _SEPARATOR.join(("campaign", tenant, campaign))


def fields_of(one: Asked) -> Iterable[str]:
    """Yield every rule that says what is sold of it."""
    for campaign in one.campaigns:
        yield campaign_field(one.tenant, campaign)
        yield pause_field(one.tenant, "campaign", campaign)
    for sku in {one.sku, *(sku for sku, _ in one.parts)}:
        yield pause_field(one.tenant, "sku", sku)
        yield offer_field(one, "", sku)
        for campaign in one.campaigns:
            yield offer_field(one, campaign, sku)


def in_force(one: Asked, rules: Mapping[str, bytes], now_ms: int) -> tuple[bool, list[list[Draws]]]:
    """Return whether all sale of it is paused, and the offers in force: draws by what is `drawn`.

    Campaigns that run replace what is sold every day: orders of such a day name the campaign.
    """
    if any(pause_field(one.tenant, "sku", sku) in rules for sku in (one.sku, *dict(one.parts))):
        return True, []
    running, paused = [], False
    for campaign in one.campaigns:
        window = rules.get(campaign_field(one.tenant, campaign))
        if window is None or not _is_sold(one, rules.get(offer_field(one, campaign))):
            continue
        _, starts_at, ends_at, *_ = _list(window)
        if not starts_at <= now_ms < ends_at:
            continue
        if pause_field(one.tenant, "campaign", campaign) in rules:
            paused = True
        else:
            running.append(_draws(one, campaign, rules))
    if paused or running:
        return paused and not running, running
    everyday = _draws(one, "", rules)
    return False, [everyday] if all(everyday) else []


def reach(
    one: Asked, offer: Sequence[Draws], pools: Mapping[str, Pool], counted: Mapping[str, int]
) -> Reach:
    """Return what an offer has for its channel now."""
    found = [_reach(one, draws, pools, counted) for draws in offer]
    if not one.parts:
        return found[0]
    parts = tuple((part, per) for part, (_, per) in zip(found, one.parts, strict=True))
    units = min((part.sellable - part.owed) // per for part, per in parts)
    return Reach("on_sale", units, 0, tuple(pool for part in found for pool in part.pools), parts)


def _reach(
    one: Asked, draws: Draws, pools: Mapping[str, Pool], counted: Mapping[str, int]
) -> Reach:
    known = {pool: pools[pool].available for pool, _ in draws if pool in pools}
    units = sum(inventory.sellable(one.channel, draws, known, counted))
    owed = sum(pools[pool].owed for pool in known)
    return Reach("on_sale", units, owed, tuple(pool for pool, _ in draws))


def _is_sold(one: Asked, offer: bytes | None) -> bool:
    """Tell whether a campaign sells it: a bundle only if that names it, for it draws nothing."""
    if offer is None:
        return False
    return any(_list(offer)[_IS_BUNDLE:]) if one.parts else bool(inventory.draws_of(offer))


def _draws(one: Asked, campaign: str, rules: Mapping[str, bytes]) -> list[Draws]:
    told = (rules.get(offer_field(one, campaign, sku)) for sku, _ in one.drawn)
    return [inventory.draws_of(body) if body else [] for body in told]


def capped(channel: str, draws: Iterable[tuple[str, int]]) -> Iterable[str]:
    """Yield the counters that an offer's caps are compared with."""
    return (inventory.cap_field(pool, channel) for pool, cap in draws if cap >= 0)


def pool_of(packed: bytes) -> Pool:
    """Read a pool of the cell (`lua/README.md`)."""
    _, owed, available, _, _, _, _, ended, *_ = _list(packed)
    return Pool(0 if ended else available, owed)
