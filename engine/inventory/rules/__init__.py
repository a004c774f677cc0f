"""From channels, campaigns and policies to what the cell must know; no I/O.

Everything is a difference: units against what the grants of a pool amount to, rules against the
body the cell was last told. Units that people moved between pools stay moved.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from engine.campaigns.types import CampaignFields, CampaignSku
from engine.channels.types import ChannelFields
from engine.inventory.types import (
    Dimensions,
    Draw,
    Given,
    Grant,
    MoveFields,
    Offer,
    PolicyFields,
    Rule,
    Wanted,
)
from engine.kernel import codec
from engine.kernel.clock import to_ms
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import GRACE_SECONDS_DEFAULT
from engine.kernel.types import Fault, Tenant

SEPARATOR: Final = "\x1f"  # refused inside identifiers
ENDED_OFFER: Final = Offer(())  # an offer without pools sells nothing, and still has a version

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(list[Any]).decode


@dataclass(slots=True)
class Plan:
    """What some channels, campaigns and policies come to, all in all.

    `rules` are bodies without their version; `offers` become bodies once pools have ids.
    """

    units: dict[Dimensions, int] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    rules: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, other: "Plan") -> None:
        """Take in another plan."""
        self.units |= other.units
        self.offers |= other.offers
        self.rules |= other.rules

    @property
    def fields(self) -> set[str]:
        """The rule fields it speaks of."""
        return {*self.rules, *self.offers}

    @property
    def pools(self) -> set[Dimensions]:
        """The pools it fills or draws from."""
        drawn = {draw.pool for offer in self.offers.values() for draw in offer.draws}
        return drawn | set(self.units)


def normal(policy: PolicyFields) -> PolicyFields:
    """Return the policy with each channel checked.

    Raises:
        ValidationFailed: a channel stands twice, or is no identifier.
    """
    codec.identifier(policy.sku, "/sku")
    codec.open_document(policy.extensions, "/extensions")
    seen: set[str] = set()
    for n, one in enumerate(policy.channels):
        codec.identifier(one.channel, f"/channels/{n}/channel")
        if one.channel in seen:
            codec.refuse(f"/channels/{n}/channel", "stands twice")
        seen.add(one.channel)
    return policy


def check_names(policy: PolicyFields, owner: str | None, channels: set[str]) -> str:
    """Return the owner of the policy's SKU; `owner` is what the catalogue says, None no such SKU.

    Raises:
        ValidationFailed: something it names does not exist, or belongs to another owner.
    """
    faults = [
        Fault(f"/channels/{n}/channel", "there is no such channel")
        for n, one in enumerate(policy.channels)
        if one.channel not in channels
    ]
    if owner is None:
        faults.append(Fault("/sku", "there is no such SKU"))
    elif policy.owner is not None and policy.owner != owner:
        faults.append(Fault("/owner", "must be the owner of the SKU"))
    if owner is None or faults:
        raise ValidationFailed(faults)
    return owner


def check_move(move: MoveFields) -> None:
    """Refuse names that cannot be names.

    Raises:
        ValidationFailed: with the place.
    """
    codec.identifier(move.move_id, "/move_id")
    codec.identifier(move.sku, "/sku")
    for at, pool in (("/from", move.source), ("/to", move.target)):
        for part, name in (("channel", pool.channel), ("campaign", pool.campaign)):
            if name:
                codec.identifier(name, f"{at}/{part}")


def channel_plan(tenant: Tenant, channel: str, fields: ChannelFields) -> Plan:
    """Return how the cell judges orders of a channel."""
    by_method = {
        method: seconds * 1_000 for method, seconds in fields.hold_seconds_by_method.items()
    }
    expires_by = fields.expires_by or ("channel" if fields.authority == "external" else "us")
    body = [
        fields.authority, fields.hold_seconds * 1_000, fields.grace_seconds * 1_000, by_method,
        fields.counts_at, expires_by,
    ]  # fmt: skip
    return Plan(rules={_name("channel", tenant, channel): body})


def policy_plan(tenant: Tenant, owner: str, policy: PolicyFields) -> Plan:
    """Return the shared pool, the channels' own pools, and what they sell every day."""
    shared = Dimensions(tenant, owner, policy.sku)
    plan = Plan(units={shared: policy.shared})
    for one in policy.channels:
        own = shared._replace(channel=one.channel)
        plan.units[own] = one.quota
        cap = -1 if one.shared_cap is None else one.shared_cap
        plan.offers[offer_field(tenant, "", one.channel, policy.sku)] = Offer(
            (Draw(own), Draw(shared, cap))
        )
    return plan


def campaign_plan(
    tenant: Tenant,
    campaign: str,
    fields: CampaignFields,
    owners: Mapping[str, str],
    policies: Mapping[str, PolicyFields],
) -> Plan:
    """Return a campaign's window and limits, its pools, and what each channel sells in it.

    `policies` are by SKU, and needed for those that also draw from the shared pool.
    """
    hold_ms = (fields.hold_seconds or 0) * 1_000
    grace = GRACE_SECONDS_DEFAULT if fields.grace_seconds is None else fields.grace_seconds
    limits = [[one.scope, one.by, one.max, one.counts] for one in fields.limits]
    window = [to_ms(fields.starts_at), to_ms(fields.ends_at)]
    plan = Plan()
    balance_by = to_ms(fields.balance_until) if fields.balance_until else 0
    rule = [*window, hold_ms, grace * 1_000, limits, balance_by]
    plan.rules[_name("campaign", tenant, campaign)] = rule
    for one in fields.skus:
        shared = Dimensions(tenant, owners[one.sku], one.sku)
        for channel in fields.channels:
            extra = _shared_draw(one, channel, shared, policies.get(one.sku))
            if channel not in one.quota and extra is None:
                continue
            own = shared._replace(channel=channel, campaign=campaign)
            plan.units[own] = one.quota.get(channel, 0)
            plan.offers[offer_field(tenant, campaign, channel, one.sku)] = Offer(
                (Draw(own),) if extra is None else (Draw(own), extra),
                one.per_buyer_limit or 0,
                one.floor_price.amount if one.floor_price else 0,
                one.deposit.amount if one.deposit else 0,
                money.currency if (money := one.floor_price or one.deposit) else "",
            )
    return plan


def bodies(
    plan: Plan, former: Iterable[str], ids: Mapping[Dimensions, str]
) -> dict[str, list[Any]]:
    """Return what the cell is told of a plan, by field and without versions.

    An offer it had before and has no more stays as one that sells nothing.
    """
    found = dict(plan.rules)
    gone = dict.fromkeys(set(former) - plan.fields, ENDED_OFFER)
    for name, offer in (gone | plan.offers).items():
        draws = [[ids[draw.pool], draw.cap] for draw in offer.draws]
        found[name] = [draws, *offer[1:5], *([1] if offer.is_bundle else [])]
    return found


def grants(wanted: Mapping[str, Wanted], given: Iterable[Given]) -> list[Grant]:
    """Return the next numbered change of each pool that does not have what it should.

    `wanted` is by pool id. A pool without any grant gets one even for 0 units: it makes the pool.
    """
    found = []
    for one in given:
        units, reason, reference = wanted[one.pool_id]
        delta = units - one.units
        if delta or not one.last_seq:
            found.append(Grant(one.pool_id, one.last_seq + 1, delta, reason, reference))
    return found


def changed_rules(
    wanted: Mapping[str, list[Any]], stored: Mapping[str, tuple[int, bytes]]
) -> list[Rule]:
    """Return the next version of each rule that differs from the stored one."""
    found = []
    for name, body in sorted(wanted.items()):
        version, packed = stored.get(name, (0, b""))
        if not packed or _unpack(packed)[1:] != body:
            found.append(Rule(name, version + 1, _pack([version + 1, *body])))
    return found


def pools_of_rule(rule: Rule) -> set[str]:
    """Return the pools that a rule names; only offers name some."""
    if not rule.field.startswith("offer" + SEPARATOR):
        return set()
    return {pool for pool, _cap in _unpack(rule.body)[1]}


def draws_of(body: bytes) -> list[tuple[str, int]]:
    """Return an offer's pools and caps, in the order of drawing."""
    return [(pool, cap) for pool, cap in _unpack(body)[1]]


def offer_field(tenant: Tenant, campaign: str, channel: str, sku: str) -> str:
    """Name the rule by which the cell sells a SKU; campaign "" is the everyday sale."""
    return _name("offer", tenant, campaign, channel, sku)


def cap_field(pool: str, channel: str) -> str:
    """Name the cell's count of what a channel has drawn from a pool that it may draw to a cap."""
    return _name("c", pool, channel)


def sellable(
    channel: str,
    draws: Iterable[tuple[str, int]],
    available: Mapping[str, int],
    counted: Mapping[str, int],
) -> list[int]:
    """Return what each pool of an offer has for its channel; `counted` is by `cap_field`."""
    found = []
    for pool, cap in draws:
        units = available.get(pool, 0)
        if cap >= 0:
            units = min(units, cap - counted.get(cap_field(pool, channel), 0))
        found.append(max(0, units))
    return found


def _shared_draw(
    one: CampaignSku, channel: str, shared: Dimensions, policy: PolicyFields | None
) -> Draw | None:
    """The shared pool as a second source: only for channels that the policy lets draw from it."""
    if not one.draws_shared or policy is None:
        return None
    for entry in policy.channels:
        if entry.channel == channel:
            return Draw(shared, -1 if entry.shared_cap is None else entry.shared_cap)
    return None


def _name(*parts: str) -> str:
    return SEPARATOR.join(parts)
