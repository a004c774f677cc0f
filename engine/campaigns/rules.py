"""What a campaign may say, and which SKUs and channels it speaks of; no I/O."""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal

import msgspec

from engine.campaigns.types import CampaignFields, CampaignSku, Elastic, Part, Parts, Wave
from engine.kernel import codec
from engine.kernel.codec import Money
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
        balance_until=campaign.balance_until
        and codec.instant(campaign.balance_until, "/balance_until"),
        channels=campaign.channels or named_channels(campaign),
        waves=[
            msgspec.structs.replace(one, at=codec.instant(one.at, f"/waves/{n}/at"))
            for n, one in enumerate(campaign.waves)
        ],
    )


def named_channels(campaign: CampaignFields) -> list[str]:
    """Return the channels that a quota names, sorted."""
    quotas = [one.quota for one in campaign.skus] + [one.quota for one in campaign.waves]
    return sorted({channel for quota in quotas for channel in quota})


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
    if campaign.ends_at <= campaign.starts_at:
        yield Fault("/ends_at", "must be later than starts_at")
    if campaign.grace_seconds is not None and campaign.hold_seconds is None:
        yield Fault("/grace_seconds", "needs hold_seconds beside it")
    yield from _balance_faults(campaign)
    yield from _twice("/channels", campaign.channels, "")
    yield from _twice("/skus", [one.sku for one in campaign.skus], "/sku")
    for n, channel in enumerate(campaign.channels):
        yield from _bad_identifier(channel, f"/channels/{n}")
    for n, one in enumerate(campaign.skus):
        yield from _sku_faults(one, f"/skus/{n}", campaign.channels)
    for n, wave in enumerate(campaign.waves):
        yield from _wave_faults(wave, f"/waves/{n}", campaign)
    if campaign.elastic is not None:
        yield from _elastic_faults(campaign.elastic, campaign)


def _wave_faults(wave: Wave, at: str, campaign: CampaignFields) -> Iterator[Fault]:
    if not campaign.starts_at <= wave.at < campaign.ends_at:
        yield Fault(f"{at}/at", "must lie between starts_at and ends_at")
    if wave.sku is not None and wave.sku not in {one.sku for one in campaign.skus}:
        yield Fault(f"{at}/sku", "must be one of the campaign's SKUs")
    yield from _quota_faults(wave.quota, at, campaign.channels)


def _elastic_faults(elastic: Elastic, campaign: CampaignFields) -> Iterator[Fault]:
    known = campaign.channels or named_channels(campaign)
    for name, parts in (("floor", elastic.floor), ("ceiling", elastic.ceiling)):
        named = parts if isinstance(parts, dict) else {}
        for channel in named:
            if channel not in known:
                place = f"/elastic/{name}/{codec.escape(channel)}"
                yield Fault(place, "must be one of the campaign's channels")
    for at, part in _parts("/elastic/floor", elastic.floor):
        if isinstance(part, float) and part > 1:
            yield Fault(at, "must be whole units or a fraction of the quota up to 1.0")
    if elastic.step == 0 or (elastic.step > 1 and isinstance(elastic.step, float)):
        yield Fault("/elastic/step", "must be 1 unit or more, or a fraction up to 1.0")
    yield from _ceiling_faults(elastic, campaign)


def _ceiling_faults(elastic: Elastic, campaign: CampaignFields) -> Iterator[Fault]:
    if elastic.ceiling is None:
        return
    for one in campaign.skus:
        for channel, quota in one.quota.items():
            ceiling = part_of(elastic.ceiling, channel, quota)
            if ceiling is not None and ceiling < quota:
                yield Fault(
                    "/elastic/ceiling",
                    f"must not be below the quota of {channel} for {one.sku} ({quota}): it is"
                    " units in all, or a multiple of the quota with a point, as 1.5",
                )
                return


def part_of(parts: Parts | None, channel: str, quota: int) -> int | None:
    """Return units that parts come to for a channel with this quota; None where none is named."""
    part = parts.get(channel) if isinstance(parts, dict) else parts
    # of decimal digits, not of binary ones: a tenth of 30 is 3 and not 2
    return int(Decimal(str(part)) * quota) if isinstance(part, float) else part


def _parts(at: str, parts: Parts) -> Iterator[tuple[str, Part]]:
    if isinstance(parts, dict):
        yield from ((f"{at}/{codec.escape(channel)}", part) for channel, part in parts.items())
    else:
        yield at, parts


def _balance_faults(campaign: CampaignFields) -> Iterator[Fault]:
    deposits = [n for n, one in enumerate(campaign.skus) if one.deposit is not None]
    if campaign.balance_until is None:
        for n in deposits:
            yield Fault(f"/skus/{n}/deposit", "needs the campaign's balance_until")
    elif campaign.balance_until <= campaign.ends_at:
        yield Fault("/balance_until", "must be later than ends_at: deposits are paid until then")
    elif not deposits:
        yield Fault("/balance_until", "needs a deposit on one of the SKUs")


def _sku_faults(one: CampaignSku, at: str, channels: list[str]) -> Iterator[Fault]:
    yield from _bad_identifier(one.sku, f"{at}/sku")
    yield from _quota_faults(one.quota, at, channels)
    yield from _money_faults(one, at)


def _quota_faults(quota: Collection[str], at: str, channels: Collection[str]) -> Iterator[Fault]:
    for channel in quota:
        place = f"{at}/quota/{codec.escape(channel)}"
        if channels and channel not in channels:
            yield Fault(place, "must be one of the campaign's channels")
        yield from _bad_identifier(channel, place)


def _money_faults(one: CampaignSku, at: str) -> Iterator[Fault]:
    named = {"price": one.price, "floor_price": one.floor_price, "deposit": one.deposit}
    given = {name: money for name, money in named.items() if money is not None}
    first, currency = next(((name, m.currency) for name, m in given.items()), ("", ""))
    for name, money in given.items():
        if money.currency != currency:
            yield Fault(f"{at}/{name}/currency", f"must be the currency of {first}")
        elif name == "deposit" and money.amount <= 0:
            yield Fault(f"{at}/deposit/amount", "must be more than 0")
        elif money.amount < 0:
            yield Fault(f"{at}/{name}/amount", "must not be negative")
    yield from _price_faults(given, at)


def _price_faults(given: Mapping[str, Money], at: str) -> Iterator[Fault]:
    price = given.get("price")
    if price is None or len({money.currency for money in given.values()}) > 1:
        return
    if "floor_price" in given and price.amount < given["floor_price"].amount:
        yield Fault(f"{at}/price/amount", "must not be below floor_price")
    if "deposit" in given and price.amount <= given["deposit"].amount:
        yield Fault(f"{at}/deposit/amount", "must be below price")


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
