"""What the pools of one SKU should have and what is offered of it; no I/O.

A SKU that is *counted* has some stock at nodes of ours: all its pools of one group of nodes
together are given the units that may be sold there and those that left for its orders
(rules/allotment.py).
A SKU that nobody ever counted is *declared*: its pools are given what documents say, a policy's
`shared` and quotas by the same rules, a campaign's quotas beside them.

An order that was sold before the first count and never assigned to a node is still owed from that
stock: too little is for sale rather than too much.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from engine.inventory.rules import offer_field
from engine.inventory.rules import policies as resolving
from engine.inventory.rules.allotment import Claimant, allot, parts
from engine.inventory.rules.policies import Entry
from engine.inventory.types import Dimensions, Draw, Offer, Wanted
from engine.inventory.types.supply import Base, Card, Claim, Policy, Pool, Stock
from engine.logical.types.bases import NodeBase

_WAVES: Final = "\x1fwaves"
_DRIFTS: Final = timedelta(seconds=5)  # so long shares may stay as sales left them


@dataclass(slots=True)
class Outcome:
    """What it comes to. `units` is what all grants of a pool should amount to.

    `shorts` are units by group that orders have and the nodes do not, `waves` those that campaigns
    get later; `excess` those that a marketplace's pool has beyond its policy. `again` asks to plan
    once more when the cell has done this: it takes units away that may be sold just now, and gives
    elsewhere only what it has. `final` is what `units` will be then.
    """

    units: dict[Dimensions, Wanted] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    shorts: dict[str, int] = field(default_factory=dict)
    waves: dict[str, int] = field(default_factory=dict)
    excess: dict[Dimensions, int] = field(default_factory=dict)
    final: dict[Dimensions, int] = field(default_factory=dict)
    again: bool = False
    next_at: datetime | None = None


@dataclass(slots=True)
class _Frame:
    """What documents make of a SKU's pools at one instant."""

    stock: Stock
    now: datetime
    entries: dict[str, Entry]
    open: dict[Dimensions, Pool]
    own: dict[Dimensions, Entry] = field(default_factory=dict)
    shared: set[Dimensions] = field(default_factory=set)
    campaigns: dict[Dimensions, Claim] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)

    def name(self, group: str, channel: str = "", campaign: str = "") -> Dimensions:
        card = self.stock.card
        return Dimensions(self.stock.tenant, card.owner, card.sku, channel, campaign, group)

    @property
    def wanted(self) -> set[Dimensions]:
        return {*self.own, *self.shared, *self.campaigns}


def plan(stock: Stock, now: datetime) -> Outcome:
    """Return what a SKU comes to at an instant; nothing where no document ever spoke of it."""
    frame = _frame(stock, now)
    if frame.wanted or frame.open:
        outcome = _declared(frame) if stock.bases is None else _counted(frame, stock.bases)
    else:
        outcome = Outcome()
    outcome.offers = frame.offers
    moments = (outcome.next_at, next_instant(stock, now))
    outcome.next_at = min((at for at in moments if at is not None), default=None)
    return outcome


def next_instant(stock: Stock, now: datetime) -> datetime | None:
    """Return when time alone changes what documents make of a SKU; None: never."""
    moments = [at for claim in stock.claims for at, _ in claim.waves if at > now]
    if (at := resolving.next_instant(stock.policies, stock.card, now)) is not None:
        moments.append(at)
    return min(moments, default=None)


def by_group(nodes: Iterable[NodeBase]) -> dict[str, Base] | None:
    """Add up the nodes of each group that are ours.

    A node that is switched off has nothing to sell. Its SKUs stay counted, and what it shipped
    stays shipped: those orders lack nothing.
    """
    found: dict[str, Base] = {}
    for one in nodes:
        if one.counts or one.why_not == "disabled":
            before = found.get(one.node_group, Base(0, 0))
            sellable = one.sellable if one.counts else 0
            found[one.node_group] = Base(before.sellable + sellable, before.assigned + one.assigned)
    return found or None


def credits_of(stock: Stock, now: datetime) -> dict[Dimensions, int]:
    """Return how many units may be sold of pools although they are not there."""
    return {name: entry.credit(now) for name, entry in _frame(stock, now).own.items()}


def former_offers(stock: Stock, offers: Mapping[str, Offer]) -> set[str]:
    """Return the rules of offers that it had and has no more: each was of a channel's pool."""
    return {
        offer_field(one.name.tenant, one.name.campaign, one.name.channel, one.name.sku)
        for one in stock.pools
        if one.name.channel and not one.ended
    } - offers.keys()


def entries_of(stock: Stock, now: datetime) -> dict[str, Entry]:
    """Return what decides for each channel of the SKU.

    Of many SKUs at once no units are declared: what nobody ever counted is sold by its own policy.
    """
    policies = [one for one in stock.policies if one.fields.sku or stock.bases is not None]
    return resolving.resolve(policies, stock.card, now)


def _frame(stock: Stock, now: datetime) -> _Frame:
    entries = entries_of(stock, now)
    frame = _Frame(stock, now, entries, {one.name: one for one in stock.pools if not one.ended})
    own = resolving.declared(stock.policies, stock.card, now)
    frame.shared |= {frame.name(group) for group in (own.fields.node_groups if own else ())}
    for channel, entry in entries.items():
        frame.own[frame.name(entry.group, channel)] = entry
        draws = tuple(_draws(frame, channel, entry))
        frame.shared |= {draw.pool for draw in draws if not draw.pool.channel}
        frame.offers[offer_field(stock.tenant, "", channel, stock.card.sku)] = Offer(draws)
    ended = {one.name for one in stock.pools if one.ended}
    for claim in stock.claims:
        for channel in claim.channels:
            _add_claim(frame, claim, channel, ended)
    return frame


def _draws(frame: _Frame, channel: str, entry: Entry) -> Iterator[Draw]:
    cap = -1 if entry.says.shared_cap is None else entry.says.shared_cap
    for group in entry.order():
        if group is None:
            yield Draw(frame.name(entry.group, channel))
        else:
            yield Draw(frame.name(group), cap)


def _add_claim(frame: _Frame, claim: Claim, channel: str, ended: Collection[Dimensions]) -> None:
    entry, says = frame.entries.get(channel), claim.says
    shared = [
        draw
        for draw in (_draws(frame, channel, entry) if says.draws_shared and entry else ())
        if not draw.pool.channel
    ]
    name = frame.name(_group(frame, claim, channel, entry), channel, claim.campaign)
    if not (claim.names(channel) or shared) or name in ended:
        return
    frame.campaigns[name] = claim
    money = says.floor_price or says.deposit
    field_name = offer_field(frame.stock.tenant, claim.campaign, channel, frame.stock.card.sku)
    frame.offers[field_name] = Offer(
        (Draw(name), *shared),
        says.per_buyer_limit or 0,
        says.floor_price.amount if says.floor_price else 0,
        says.deposit.amount if says.deposit else 0,
        money.currency if money else "",
    )


def _group(frame: _Frame, claim: Claim, channel: str, entry: Entry | None) -> str:
    """Whose stock a campaign sells on a channel: as every day, else where it has a pool, or any.

    Where nobody counts it pools stay only until something is counted (rules/following.py).
    """
    if entry is not None:
        return entry.group
    counted = (frame.stock.bases or {}).keys()
    has = {
        one.name.node_group
        for one in frame.stock.pools
        if (one.name.campaign, one.name.channel) == (claim.campaign, channel)
    }
    return min(has & counted or has or counted, default="")


def _declared(frame: _Frame) -> Outcome:
    """Give out what documents declare, once and for all: what is sold of it changes nothing."""
    found = dict.fromkeys({*frame.open, *frame.wanted}, 0)
    if own := resolving.declared(frame.stock.policies, frame.stock.card, frame.now):
        rest = frame.name(own.fields.node_groups[0])
        claimants = {name: _entitled(frame, name, Claimant(_key(name))) for name in frame.own}
        claimants[rest] = Claimant(_key(rest), shared=True)
        units = own.fields.shared + sum(one.quota for one in claimants.values())
        granted = allot(units, claimants.values()).granted
        found |= {name: granted[one.key] for name, one in claimants.items()}
    for name, claim in frame.campaigns.items():
        found[name] = claim.quota(name.channel, frame.now)
    wanted = {name: Wanted(units, *_for(frame, name)) for name, units in found.items()}
    return Outcome(wanted, final=found)


def _counted(frame: _Frame, bases: Mapping[str, Base]) -> Outcome:
    outcome = Outcome()
    groups = {name.node_group for name in (*frame.wanted, *frame.open)}
    for group in sorted(groups):
        _count_group(frame, group, bases.get(group, Base(0, 0)), outcome)
    return outcome


def _count_group(frame: _Frame, group: str, base: Base, outcome: Outcome) -> None:
    ended = {one.name: one for one in frame.stock.pools if one.ended}
    names = {frame.name(group), *frame.wanted, *frame.open, *ended}
    pools = {
        name: frame.open.get(name) or ended.get(name) or Pool("", name)
        for name in sorted(names)
        if name.node_group == group
    }
    by_key = {_key(name): name for name in pools}
    claimants = [claimant for one in pools.values() for claimant in _claimants(frame, one)]
    # what came beside grants goes with the pools: a debt that another group's units repaid, too
    units = base.sellable + base.assigned + sum(one.moved for one in pools.values())
    allotment = allot(units, claimants)
    target = {name: allotment.granted[key] for key, name in by_key.items()}
    if allotment.short:
        outcome.shorts[group] = allotment.short
    outcome.waves[group] = sum(n for key, n in allotment.granted.items() if key not in by_key)
    outcome.excess |= {by_key[key]: n for key, n in allotment.kept_back.items()}
    drifting = {frame.name(group)} | {name for name, one in frame.own.items() if one.ratio}
    if _settle(pools, target, drifting):
        outcome.next_at = frame.now + _DRIFTS
    outcome.final |= {
        name: target[name] - one.moved for name, one in pools.items() if not one.ended
    }
    outcome.again = _hold_back(pools, target) or outcome.again
    for name, one in pools.items():
        if not one.ended:
            reason, reference = _for(frame, name)
            outcome.units[name] = Wanted(target[name] - one.moved, reason, reference)


def _settle(
    pools: Mapping[Dimensions, Pool],
    target: dict[Dimensions, int],
    drifting: set[Dimensions],
) -> bool:
    """Give what lies here and take nothing, where only ratios drift; True if they wait for that.

    Each sale moves the shares of ratios. To take what a share is too large, and to plan again what
    was taken, would go on for as long as orders come.
    """
    now = {name: one.given + one.moved for name, one in pools.items() if not one.ended}
    losing = {name for name, had in now.items() if target[name] < had}
    lacking = {name: over for name, had in now.items() if (over := target[name] - had) > 0}
    room = sum(target[name] - had for name, had in now.items())
    if not losing or losing - drifting or not 0 <= sum(lacking.values()) - room <= room:
        return False
    given = parts(room, {_key(name): over for name, over in lacking.items()})
    for name, had in now.items():
        target[name] = had + given.get(_key(name), 0)
    return True


def _hold_back(pools: Mapping[Dimensions, Pool], target: dict[Dimensions, int]) -> bool:
    """Give no more than there is before what others lose was taken; True if some lose."""
    now = {name: one.given + one.moved for name, one in pools.items()}
    if not any(target[name] < now[name] for name, one in pools.items() if not one.ended):
        return False
    more = {
        name: over
        for name, one in pools.items()
        if not one.ended and (over := target[name] - now[name]) > 0
    }
    room = max(0, sum(target.values()) - sum(now.values()))
    if more and sum(more.values()) > room:
        given = parts(room, {_key(name): over for name, over in more.items()})
        for name in more:
            target[name] = now[name] + given.get(_key(name), 0)
    return True


def _claimants(frame: _Frame, one: Pool) -> Iterator[Claimant]:
    name, now, key = one.name, frame.now, _key(one.name)
    sticky = name.channel in frame.stock.external and not one.ended
    known = Claimant(
        key, used=one.used, free=one.free, moved=one.moved - one.drained, sticky=sticky,
        shared=name == frame.name(name.node_group),
    )  # fmt: skip
    if one.ended:
        yield known._replace(moved=0)
    elif (claim := frame.campaigns.get(name)) is not None:
        entry = frame.entries.get(name.channel)
        priority = entry.says.priority if entry else 0
        yield known._replace(quota=claim.quota(name.channel, now), priority=priority)
        if waits := claim.to_come(name.channel, now):
            yield Claimant(key + _WAVES, quota=waits, priority=priority)
    else:
        yield _entitled(frame, name, known)


def _entitled(frame: _Frame, name: Dimensions, known: Claimant) -> Claimant:
    """Return it with what the policy of an everyday pool says, if one does."""
    if (entry := frame.own.get(name)) is None:
        return known
    says = entry.says
    return known._replace(
        quota=says.quota, ratio=entry.ratio, floor=says.floor, cap=says.cap,
        priority=says.priority, credit=entry.credit(frame.now),
    )  # fmt: skip


def _for(frame: _Frame, name: Dimensions) -> tuple[str, str]:
    """Return why a pool is granted units, and what document says so."""
    reason = "campaign" if name.campaign else "supply_policy"
    if claim := frame.campaigns.get(name):
        reference = claim.reference
    elif entry := frame.own.get(name):
        reference = entry.policy.reference
    elif name.campaign:
        known = (one.reference for one in frame.stock.claims if one.campaign == name.campaign)
        reference = next(known, name.campaign)
    else:
        reference = _any_policy(frame.stock.policies, frame.stock.card)
    return reason if frame.stock.bases is None else "stock", reference


def _any_policy(policies: Iterable[Policy], card: Card) -> str:
    found = [one for one in policies if resolving.reaches(one.fields, card)]
    return min(found, key=lambda one: one.id).reference if found else ""


def _key(name: Dimensions) -> str:
    return "\x1f".join(name[2:])
