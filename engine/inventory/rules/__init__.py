"""From channels, campaigns and policies to what the cell must know; no I/O.

Everything is a difference: units against what the grants of a pool amount to, rules against the
body the cell was last told. Units that people moved between pools stay moved.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from engine.campaigns.types import CampaignFields
from engine.channels.types import ChannelFields
from engine.inventory.types import (
    Dimensions,
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


def check_names(policy: PolicyFields, owner: str | None, channels: Collection[str]) -> str:
    """Return the owner of the policy's SKU; `owner` is what the catalogue says, None no such SKU.

    Of a policy of many SKUs it is the one it limits them to, or "".

    Raises:
        ValidationFailed: something it names does not exist, or belongs to another owner.
    """
    faults = [
        Fault(f"/channels/{n}/channel", "there is no such channel")
        for n, one in enumerate(policy.channels)
        if one.channel not in channels
    ]
    if not policy.sku:
        owner = policy.owner or ""
    elif owner is None:
        faults.append(Fault("/sku", "there is no such SKU"))
    elif policy.owner is not None and policy.owner != owner:
        faults.append(Fault("/owner", "must be the owner of the SKU"))
    if owner is None or faults:
        raise ValidationFailed(faults)
    return owner


def check_move(move: MoveFields) -> None:
    """Refuse names that cannot be names, and pools of different stock.

    Raises:
        ValidationFailed: with the place.
    """
    codec.identifier(move.move_id, "/move_id")
    codec.identifier(move.sku, "/sku")
    for at, pool in (("/from", move.source), ("/to", move.target)):
        for part in ("channel", "campaign", "node_group"):
            if name := getattr(pool, part):
                codec.identifier(name, f"{at}/{part}")
    if move.source.node_group != move.target.node_group:
        codec.refuse("/to/node_group", "must be that of from: units do not change their place")


def channel_rule(tenant: Tenant, channel: str, fields: ChannelFields) -> dict[str, list[Any]]:
    """Return how the cell judges orders of a channel, by field and without a version."""
    by_method = {
        method: seconds * 1_000 for method, seconds in fields.hold_seconds_by_method.items()
    }
    expires_by = fields.expires_by or ("channel" if fields.authority == "external" else "us")
    body = [
        fields.authority, fields.hold_seconds * 1_000, fields.grace_seconds * 1_000, by_method,
        fields.counts_at, expires_by,
    ]  # fmt: skip
    return {_name("channel", tenant, channel): body}


def campaign_rule(
    tenant: Tenant, campaign: str, fields: CampaignFields, room_key: str
) -> dict[str, list[Any]]:
    """Return a campaign's window, limits and waiting room, likewise; the key signs its tickets."""
    hold_ms = (fields.hold_seconds or 0) * 1_000
    grace = GRACE_SECONDS_DEFAULT if fields.grace_seconds is None else fields.grace_seconds
    limits = [[one.scope, one.by, one.max, one.counts] for one in fields.limits]
    window = [to_ms(fields.starts_at), to_ms(fields.ends_at)]
    balance_by = to_ms(fields.balance_until) if fields.balance_until else 0
    rule = [*window, hold_ms, grace * 1_000, limits, balance_by]
    if room := fields.waiting_room:
        rule.append([room.per_second, room.ticket_seconds * 1_000, room_key])
    return {_name("campaign", tenant, campaign): rule}


def waves_of(fields: CampaignFields, sku: str) -> list[tuple[int, Mapping[str, int]]]:
    """Return the waves of one SKU of a campaign: instants in ms, units by channel."""
    return [(to_ms(one.at), one.quota) for one in fields.waves if one.sku in {None, sku}]


def bodies(
    offers: Mapping[str, Offer], gone: Iterable[str], ids: Mapping[Dimensions, str]
) -> dict[str, list[Any]]:
    """Return what the cell is told of offers, by field and without versions.

    An offer that is gone stays as one that sells nothing.
    """
    found: dict[str, list[Any]] = {}
    for name, offer in (dict.fromkeys(gone, ENDED_OFFER) | dict(offers)).items():
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


def _name(*parts: str) -> str:
    return SEPARATOR.join(parts)
