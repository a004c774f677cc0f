"""What a campaign may say, and which SKUs and channels it speaks of; no I/O."""

from collections.abc import Collection, Iterator

import msgspec

from engine.campaigns.types import CampaignFields, CampaignSku
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault


def normal(campaign: CampaignFields) -> CampaignFields:
    """Return the campaign with instants in UTC and its channels named.

    Raises:
        ValidationFailed: with everything that is wrong in itself.
    """
    if faults := list(_faults(campaign)):
        raise ValidationFailed(faults)
    codec.plain_text(campaign.name, "/name", 512)
    codec.plain_text(campaign.kind, "/kind", 32)
    codec.open_document(campaign.extensions, "/extensions")
    return msgspec.structs.replace(
        campaign,
        starts_at=codec.instant(campaign.starts_at, "/starts_at"),
        ends_at=codec.instant(campaign.ends_at, "/ends_at"),
        channels=campaign.channels or named_channels(campaign),
    )


def named_channels(campaign: CampaignFields) -> list[str]:
    """Return the channels that a quota names, sorted."""
    return sorted({channel for sku in campaign.skus for channel in sku.quota})


def unknown(
    campaign: CampaignFields, skus: Collection[str], channels: Collection[str]
) -> list[Fault]:
    """Return a fault for each SKU and channel that does not exist."""
    return [
        *(
            Fault(f"/skus/{n}/sku", "there is no such SKU")
            for n, one in enumerate(campaign.skus)
            if one.sku not in skus
        ),
        *(
            Fault(f"/channels/{n}", "there is no such channel")
            for n, channel in enumerate(campaign.channels)
            if channel not in channels
        ),
    ]


def _faults(campaign: CampaignFields) -> Iterator[Fault]:
    if campaign.waves:
        yield Fault("/waves", "waves are not yet supported: leave it empty")
    if campaign.ends_at <= campaign.starts_at:
        yield Fault("/ends_at", "must be later than starts_at")
    if campaign.grace_seconds is not None and campaign.hold_seconds is None:
        yield Fault("/grace_seconds", "needs hold_seconds beside it")
    yield from _twice("/channels", campaign.channels, "")
    yield from _twice("/skus", [one.sku for one in campaign.skus], "/sku")
    for n, channel in enumerate(campaign.channels):
        yield from _bad_identifier(channel, f"/channels/{n}")
    for n, one in enumerate(campaign.skus):
        yield from _sku_faults(one, f"/skus/{n}", campaign.channels)


def _sku_faults(one: CampaignSku, at: str, channels: list[str]) -> Iterator[Fault]:
    yield from _bad_identifier(one.sku, f"{at}/sku")
    for channel in one.quota:
        place = f"{at}/quota/{codec.escape(channel)}"
        if channels and channel not in channels:
            yield Fault(place, "must be one of the campaign's channels")
        yield from _bad_identifier(channel, place)
    for name, money in (("price", one.price), ("floor_price", one.floor_price)):
        if money is not None and money.amount < 0:
            yield Fault(f"{at}/{name}/amount", "must not be negative")
    if one.price and one.floor_price:
        if one.price.currency != one.floor_price.currency:
            yield Fault(f"{at}/floor_price/currency", "must be the currency of price")
        elif one.price.amount < one.floor_price.amount:
            yield Fault(f"{at}/price/amount", "must not be below floor_price")


def _bad_identifier(text: str, pointer: str) -> Iterator[Fault]:
    try:
        codec.identifier(text, pointer)
    except ValidationFailed:
        yield Fault(pointer, "must not contain control characters")


def _twice(at: str, names: list[str], inside: str) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for n, name in enumerate(names):
        if name in seen:
            yield Fault(f"{at}/{n}{inside}", f"stands at {seen[name]} already")
        seen[name] = n
