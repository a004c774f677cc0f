"""What a supply policy may say, and which of several decides for a SKU and a channel; no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from engine.inventory.types import PolicyChannel, PolicyFields
from engine.inventory.types.supply import Card, Policy
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault

RATIO_WHOLE: Final = 10_000  # a ratio has four decimals
_FINE: Final = 1e-9
_OWN, _SHARED, _SHARED_OF = "own", "shared", "shared:"


class Entry(NamedTuple):
    """What decides for one channel."""

    policy: Policy
    says: PolicyChannel

    @property
    def group(self) -> str:
        """Of the stock of which nodes the channel's own units are."""
        return self.policy.fields.node_groups[0]

    def credit(self, now: datetime) -> int:
        """Return how many units may be sold that are not there."""
        presale = self.says.presale
        ahead = presale.units if presale is not None and now < presale.until else 0
        return ahead + self.says.backorder

    @property
    def ratio(self) -> int:
        """In ten-thousandths."""
        return round(self.says.ratio * RATIO_WHOLE)

    def order(self) -> tuple[str | None, ...]:
        """Return the groups whose shared pools it draws from, in order; None: its own units."""
        return _order(tuple(self.says.draw_order), tuple(self.policy.fields.node_groups))


@lru_cache
def _order(order: Sequence[str], groups: Sequence[str]) -> tuple[str | None, ...]:
    named = {one.removeprefix(_SHARED_OF) for one in order if one.startswith(_SHARED_OF)}
    found: list[str | None] = []
    for one in order:
        if one == _OWN:
            found.append(None)
        elif one == _SHARED:
            found += [group for group in groups if group not in named]
        else:
            found.append(one.removeprefix(_SHARED_OF))
    return tuple(found)


def normal(policy: PolicyFields) -> PolicyFields:
    """Return the policy with its instants in UTC.

    Raises:
        ValidationFailed: with everything that is wrong in itself.
    """
    codec.open_document(policy.extensions, "/extensions")
    if faults := list(_faults(policy)):
        raise ValidationFailed(faults)
    return msgspec.structs.replace(
        policy,
        since=policy.since and codec.instant(policy.since, "/from"),
        until=policy.until and codec.instant(policy.until, "/until"),
        channels=[_normal(one, f"/channels/{n}") for n, one in enumerate(policy.channels)],
    )


def target(policy: PolicyFields) -> tuple[str, str]:
    """Return by what it finds its SKUs: sku, category or brand and the name of it, or all."""
    named = ("sku", policy.sku), ("category", policy.category), ("brand", policy.brand)
    return next(((kind, name) for kind, name in named if name), ("all", ""))


def reaches(policy: PolicyFields, card: Card) -> bool:
    """Tell whether it is about a SKU."""
    if policy.owner is not None and policy.owner != card.owner:
        return False
    kind, name = target(policy)
    return {"sku": card.sku, "category": card.category, "brand": card.brand}.get(kind, "") == name


def in_force(policy: PolicyFields, now: datetime) -> bool:
    """Tell whether it counts now."""
    begun = policy.since is None or policy.since <= now
    return begun and (policy.until is None or now < policy.until)


def resolve(policies: Iterable[Policy], card: Card, now: datetime) -> dict[str, Entry]:
    """Return what decides for each channel that a policy of the SKU names.

    The nearest scope decides: the SKU's own, then category, brand, all. Of one scope a policy with
    dates goes before one without, then the entry of the smaller priority, then the smaller id.
    """
    found: dict[str, Entry] = {}
    for policy in policies:
        if not in_force(policy.fields, now) or not reaches(policy.fields, card):
            continue
        for says in policy.fields.channels:
            entry = Entry(policy, says)
            known = found.get(says.channel)
            if known is None or _nearness(entry) < _nearness(known):
                found[says.channel] = entry
    return dict(sorted(found.items()))


def declared(policies: Iterable[Policy], card: Card, now: datetime) -> Policy | None:
    """Return the policy whose `shared` is for the SKU while nobody counts it: one of its own."""
    own = [
        one
        for one in policies
        if one.fields.sku and in_force(one.fields, now) and reaches(one.fields, card)
    ]
    return min(own, key=lambda one: (not _dated(one.fields), one.id), default=None)


def next_instant(policies: Iterable[Policy], card: Card, now: datetime) -> datetime | None:
    """Return when time alone changes what they say of a SKU; None: never."""
    moments: list[datetime | None] = []
    for one in policies:
        if reaches(one.fields, card):
            moments += [one.fields.since, one.fields.until]
            moments += [says.presale.until for says in one.fields.channels if says.presale]
    return min((at for at in moments if at is not None and at > now), default=None)


def _nearness(entry: Entry) -> tuple[object, ...]:
    kind, _ = target(entry.policy.fields)
    scope = ("sku", "category", "brand", "all").index(kind)
    return scope, not _dated(entry.policy.fields), entry.says.priority, entry.policy.id


def _dated(policy: PolicyFields) -> bool:
    return policy.since is not None or policy.until is not None


def _normal(one: PolicyChannel, at: str) -> PolicyChannel:
    if one.presale is None:
        return one
    until = codec.instant(one.presale.until, f"{at}/presale/until")
    presale = msgspec.structs.replace(one.presale, until=until)
    return msgspec.structs.replace(one, presale=presale)


def _faults(policy: PolicyFields) -> Iterator[Fault]:
    yield from _target_faults(policy)
    yield from _group_faults(policy.node_groups)
    if policy.since and policy.until and policy.until <= policy.since:
        yield Fault("/until", "must be later than from")
    seen: set[str] = set()
    for n, one in enumerate(policy.channels):
        at = f"/channels/{n}"
        yield from _named(one.channel, f"{at}/channel")
        if one.channel in seen:
            yield Fault(f"{at}/channel", "stands twice")
        seen.add(one.channel)
        yield from _channel_faults(one, at)
        yield from _order_faults(one.draw_order, policy.node_groups, f"{at}/draw_order")
    if sum(round(one.ratio * RATIO_WHOLE) for one in policy.channels) > RATIO_WHOLE:
        yield Fault("/channels", "ratios must not come to more than 1")


def _target_faults(policy: PolicyFields) -> Iterator[Fault]:
    given = [name for name in ("sku", "category", "brand") if getattr(policy, name)]
    for name in given:
        yield from _named(getattr(policy, name), f"/{name}")
    if policy.owner:
        yield from _named(policy.owner, "/owner")
    if len(given) + policy.every != 1:
        yield Fault("/sku", "exactly one of sku, category, brand and all: true must be given")
    if policy.shared and not policy.sku:
        yield Fault("/shared", "needs sku: units are declared for one SKU")


def _group_faults(groups: Sequence[str]) -> Iterator[Fault]:
    for n, group in enumerate(groups):
        if group:
            yield from _named(group, f"/node_groups/{n}")
        if group in groups[:n]:
            yield Fault(f"/node_groups/{n}", "stands twice")


def _channel_faults(one: PolicyChannel, at: str) -> Iterator[Fault]:
    if one.ratio and one.quota:
        yield Fault(f"{at}/ratio", "must not stand beside a quota")
    if abs(one.ratio * RATIO_WHOLE - round(one.ratio * RATIO_WHOLE)) > _FINE:
        yield Fault(f"{at}/ratio", "must have at most four decimals")
    if one.cap is not None and one.floor > one.cap:
        yield Fault(f"{at}/floor", "must not be more than cap")


def _order_faults(order: Sequence[str], groups: Sequence[str], at: str) -> Iterator[Fault]:
    accepted = {_OWN, _SHARED, *(_SHARED_OF + group for group in groups)}
    for n, one in enumerate(order):
        if one not in accepted:
            told = ", ".join(sorted(accepted))
            yield Fault(f"{at}/{n}", f"must be one of: {told}")
        if one in order[:n]:
            yield Fault(f"{at}/{n}", "stands twice")
    if _OWN not in order:
        yield Fault(at, "must name own")


def _named(text: str, pointer: str) -> Iterator[Fault]:
    try:
        codec.identifier(text, pointer)
    except ValidationFailed as failure:
        errors = failure.extra["errors"]
        assert isinstance(errors, list)
        yield Fault(pointer, errors[0]["detail"])
