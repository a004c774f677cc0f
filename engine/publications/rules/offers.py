"""What the cell would sell through a channel now, from its own rules, pools and counters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from engine.inventory import rules as inventory
from engine.publications.types import Reach

_SEPARATOR: Final = inventory.SEPARATOR
_list: Final = msgspec.msgpack.Decoder(list[Any]).decode


class Asked(NamedTuple):
    """A SKU in a channel, and the campaigns in which the channel has a pool of it."""

    tenant: str
    channel: str
    sku: str
    campaigns: tuple[str, ...] = ()


class Pool(NamedTuple):
    """A pool as the cell has it; one that ended has nothing for sale."""

    available: int
    owed: int


def pause_field(tenant: str, scope: str, name: str) -> str:
    """Name the rule by which a sale is paused."""
    return _SEPARATOR.join(("pause", tenant, scope, name))


def offer_field(one: Asked, campaign: str) -> str:
    """Name the rule by which a channel sells a SKU; campaign "" is every day."""
    return _SEPARATOR.join(("offer", one.tenant, campaign, one.channel, one.sku))


def campaign_field(tenant: str, campaign: str) -> str:
    """Name the rule of a campaign's window."""
    return _SEPARATOR.join(("campaign", tenant, campaign))


def fields_of(one: Asked) -> Iterable[str]:
    """Yield every rule that says what is sold of it."""
    yield pause_field(one.tenant, "sku", one.sku)
    yield offer_field(one, "")
    for campaign in one.campaigns:
        yield campaign_field(one.tenant, campaign)
        yield pause_field(one.tenant, "campaign", campaign)
        yield offer_field(one, campaign)


def in_force(
    one: Asked, rules: Mapping[str, bytes], now_ms: int
) -> tuple[bool, list[list[tuple[str, int]]]]:
    """Return whether all sale of it is paused, and the draws of the offers that are in force.

    Campaigns that run replace what is sold every day: orders of such a day name the campaign.
    """
    if pause_field(one.tenant, "sku", one.sku) in rules:
        return True, []
    running, paused = [], False
    for campaign in one.campaigns:
        window, offer = rules.get(campaign_field(one.tenant, campaign)), offer_field(one, campaign)
        if window is None or offer not in rules:
            continue
        _, starts_at, ends_at, *_ = _list(window)
        draws = inventory.draws_of(rules[offer])
        if not starts_at <= now_ms < ends_at or not draws:
            continue
        if pause_field(one.tenant, "campaign", campaign) in rules:
            paused = True
        else:
            running.append(draws)
    if paused or running:
        return paused and not running, running
    everyday = rules.get(offer_field(one, ""))
    draws = inventory.draws_of(everyday) if everyday else []
    return False, [draws] if draws else []


def reach(
    one: Asked,
    draws: Sequence[tuple[str, int]],
    pools: Mapping[str, Pool],
    counted: Mapping[str, int],
) -> Reach:
    """Return what an offer has for its channel now."""
    known = {pool: pools[pool].available for pool, _ in draws if pool in pools}
    units = sum(inventory.sellable(one.channel, draws, known, counted))
    owed = sum(pools[pool].owed for pool in known)
    return Reach("on_sale", units, owed, tuple(pool for pool, _ in draws))


def capped(channel: str, draws: Iterable[tuple[str, int]]) -> Iterable[str]:
    """Yield the counters that an offer's caps are compared with."""
    return (inventory.cap_field(pool, channel) for pool, cap in draws if cap >= 0)


def pool_of(packed: bytes) -> Pool:
    """Read a pool of the cell (`lua/README.md`)."""
    _, owed, available, _, _, _, _, ended, *_ = _list(packed)
    return Pool(0 if ended else available, owed)
