"""What bundles come to in units of their components; pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from engine.campaigns.types import CampaignFields, CampaignSku
from engine.catalogue.types import Component
from engine.inventory.rules import offer_field, waves_of
from engine.inventory.types import Offer
from engine.kernel.types import Tenant

Bundles: TypeAlias = Mapping[str, Sequence[Component]]  # components by the bundle's SKU
Quota: TypeAlias = Mapping[str, int]  # units by channel

_NONE: Final = CampaignSku("")


def expand(quota: Mapping[str, int], components: Iterable[Component]) -> dict[str, dict[str, int]]:
    """Return, by component, the units that a bundle's quota (channel to bundles) comes to."""
    return {
        one.sku: {channel: units * one.quantity for channel, units in quota.items()}
        for one in components
    }


def sellable(available: Mapping[str, int], components: Iterable[Component]) -> int:
    """Return how many bundles can be made of these units; a component that is missing has none."""
    return max(0, min((available.get(one.sku, 0) // one.quantity for one in components), default=0))


def unbundled(campaign: CampaignFields, bundles: Bundles) -> CampaignFields:
    """Return the campaign with the units of its bundles added to those of their components.

    A component that the campaign does not sell by itself becomes a SKU of it, without limit or
    price of its own. What one of them may draw from the shared pool, all may that are made of it.
    """
    plain = {one.sku: one for one in campaign.skus if one.sku not in bundles}
    for bundle in campaign.skus:
        for sku, quota in expand(bundle.quota, bundles.get(bundle.sku, ())).items():
            known = plain.get(sku, replace(_NONE, sku=sku))
            channels = {**dict.fromkeys(known.quota, 0), **dict.fromkeys(quota, 0)}
            plain[sku] = replace(
                known,
                quota={one: known.quota.get(one, 0) + quota.get(one, 0) for one in channels},
                draws_shared=known.draws_shared or bundle.draws_shared,
            )
    return replace(campaign, skus=[*plain.values()])


def waves(campaign: CampaignFields, bundles: Bundles) -> dict[str, list[tuple[int, Quota]]]:
    """Return the waves of each SKU, instants in ms: of bundles they are their components' units."""
    found: dict[str, dict[int, dict[str, int]]] = {}
    for one in campaign.skus:
        for at, quota in waves_of(campaign, one.sku):
            of = expand(quota, bundles[one.sku]) if one.sku in bundles else {one.sku: quota}
            for sku, units in of.items():
                wave = found.setdefault(sku, {}).setdefault(at, {})
                for channel, more in units.items():
                    wave[channel] = wave.get(channel, 0) + more
    return {sku: sorted(by_time.items()) for sku, by_time in found.items()}


def offers(
    tenant: Tenant, campaign: str, fields: CampaignFields, bundles: Bundles
) -> dict[str, Offer]:
    """Return what the cell must know of a campaign's bundles: limit and prices, and no pool."""
    found = {}
    for one in fields.skus:
        if one.sku not in bundles:
            continue
        money = one.floor_price or one.deposit
        offer = Offer(
            (),
            one.per_buyer_limit or 0,
            one.floor_price.amount if one.floor_price else 0,
            one.deposit.amount if one.deposit else 0,
            money.currency if money else "",
            is_bundle=True,
        )
        later = {name for _, quota in waves_of(fields, one.sku) for name in quota}
        for channel in fields.channels:
            if channel in one.quota or channel in later or one.draws_shared:
                found[offer_field(tenant, campaign, channel, one.sku)] = offer
    return found
