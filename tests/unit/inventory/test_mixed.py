"""Any mix of policies, campaigns, waves, bundles, groups of nodes, and pools as they happen to be.

What is handed out is there, and every unit is accounted for: by arithmetic of the test's own.
"""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.campaigns.types import CampaignFields, CampaignSku, Wave
from engine.catalogue.types import Component
from engine.inventory.rules import bundling, supply
from engine.inventory.rules import policies as resolving
from engine.inventory.rules.following import follow
from engine.inventory.types import Dimensions, PolicyChannel, PolicyFields, Presale
from engine.inventory.types.supply import Base, Card, Claim, Policy, Pool, Stock
from engine.kernel.clock import instant

NOW = datetime(2026, 11, 11, tzinfo=UTC)
MOMENTS = [None, NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2)]
TEA = Card("tea", "acme", "drinks", "leaf")
SCOPES = [{"sku": "tea"}, {"category": "drinks"}, {"brand": "leaf"}, {"every": True}]
CHANNELS, GROUPS, CAMPAIGNS = ["app", "jd", "mall"], ["", "east", "west"], ["d11", "d12"]
RATIO_WHOLE = 10_000
SALES = 3  # rounds in which orders come while the cell carries out what was planned
ROUNDS_MAX = 12  # after which all must have come to rest

few, some = st.integers(0, 12), st.integers(0, 40)


def name(channel="", campaign="", group=""):
    return Dimensions("main", "acme", "tea", channel, campaign, group)


@st.composite
def channel_of(draw, channel, groups):
    shares = draw(st.booleans())
    floor = draw(st.sampled_from([0, 0, 5]))
    draws = ["shared", *(f"shared:{one}" for one in groups)]
    order = draw(st.permutations(["own", *draw(st.lists(st.sampled_from(draws), unique=True))]))
    return PolicyChannel(
        channel,
        quota=0 if shares else draw(some),
        ratio=draw(st.sampled_from([0.0, 0.1, 0.3333])) if shares else 0.0,
        floor=floor,
        cap=draw(st.sampled_from([None, None, None, 5, 9])),
        shared_cap=draw(st.sampled_from([None, 7])),
        priority=draw(st.sampled_from([0, 0, 1, 2])),
        draw_order=order,
        presale=draw(st.sampled_from([None, None, *(Presale(6, at) for at in MOMENTS[1:])])),
        backorder=draw(st.sampled_from([0, 0, 4])),
    )


@st.composite
def policy(draw):
    groups = draw(st.permutations(GROUPS))[: draw(st.integers(1, 2))]
    channels = draw(st.lists(st.sampled_from(CHANNELS), unique=True))
    since, until = draw(st.sampled_from([(a, b) for a in MOMENTS for b in MOMENTS if rises(a, b)]))
    scope = draw(st.sampled_from(SCOPES))
    found = PolicyFields(
        **scope,
        shared=draw(some) if "sku" in scope else 0,
        channels=[draw(channel_of(one, groups)) for one in channels],
        owner=draw(st.sampled_from([None, None, "acme", "other"])),
        node_groups=groups, since=since, until=until,
    )  # fmt: skip
    return resolving.normal(found)


def rises(since, until):
    return since is None or until is None or since < until


quotas = st.dictionaries(st.sampled_from(CHANNELS), few)
waves = st.builds(
    Wave, st.sampled_from(MOMENTS[1:]), quotas, st.sampled_from([None, "tea", "set", "cup"])
)


@st.composite
def campaign(draw):
    """Tea by itself, or in sets of it and cups, or both; and its waves."""
    skus = draw(st.lists(st.sampled_from(["tea", "set"]), unique=True, min_size=1))
    says = [CampaignSku(one, draw(quotas), draws_shared=draw(st.booleans())) for one in skus]
    return CampaignFields(
        "Sale", NOW, NOW, channels=CHANNELS, skus=says, waves=draw(st.lists(waves, max_size=3))
    )


def claims_of(campaigns, bundles):
    """As planning makes them."""
    found = []
    for named, fields in zip(CAMPAIGNS, campaigns, strict=False):
        later = bundling.waves(fields, bundles)
        for one in bundling.unbundled(fields, bundles).skus:
            times = [(instant(at), units) for at, units in later.get(one.sku, [])]
            found += [Claim(named, 1, fields.channels, one, times)] if one.sku == "tea" else []
    return found


def sold_by(fields, bundles, channel, *, until):
    """Units of tea that a campaign gives a channel by an instant."""
    units = 0
    for one in fields.skus:
        per = 1 if one.sku == "tea" else bundles[one.sku][0].quantity
        units += per * one.quota.get(channel, 0)
        for wave in fields.waves:
            if wave.sku in {None, one.sku} and wave.at <= until:
                units += per * wave.quota.get(channel, 0)
    return units


@st.composite
def pools(draw):
    """Pools as a sale left them: with units sold, free, moved by people and by drains."""
    names = [name(channel, campaign, group) for channel in CHANNELS
             for campaign in ("", *CAMPAIGNS) for group in GROUPS]  # fmt: skip
    names += [name(group=group) for group in GROUPS]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=7))
    moved, drained = Counter(), Counter()
    for source, target, units, is_drain in draw(st.lists(
        st.tuples(st.sampled_from(chosen), st.sampled_from(chosen), few, st.booleans()),
        max_size=3,
    )) if chosen else []:  # fmt: skip
        moved.update({target: units})
        moved.subtract({source: units})
        if is_drain:
            drained.update({target: units})
            drained.subtract({source: units})
    found = []
    for n, one in enumerate(chosen):
        ended = bool(one.campaign) and draw(st.integers(0, 2)) == 0
        used, free = draw(st.one_of(few, some)), 0 if ended else draw(some)
        found.append(Pool(
            f"p{n}", one, 1, free + used - moved[one], moved[one], free, used, ended, drained[one]
        ))  # fmt: skip
    return found


@st.composite
def worlds(draw):
    bundles = {"set": [Component("tea", draw(st.integers(1, 3))), Component("cup", 1)]}
    campaigns = draw(st.lists(campaign(), max_size=2))
    counted = draw(st.lists(st.sampled_from(GROUPS), unique=True, min_size=draw(few) > 1))
    bases = {one: Base(draw(st.integers(-20, 150)), draw(few)) for one in counted}
    planned = [
        Policy(f"p{n}", 1, one) for n, one in enumerate(draw(st.lists(policy(), max_size=5)))
    ]
    stock = Stock(
        "main", TEA, draw(pools()), planned, claims_of(campaigns, bundles), bases or None,
        frozenset(draw(st.sampled_from([("jd",), (), ("jd", "mall")]))),
    )  # fmt: skip
    return stock, dict(zip(CAMPAIGNS, campaigns, strict=False)), bundles


class Asked:
    """What the documents of a world say, each looked up the plain way."""

    def __init__(self, stock, campaigns, bundles, now):
        self.stock, self.campaigns, self.bundles, self.now = stock, campaigns, bundles, now
        self.says = {one: self._entry(one) for one in CHANNELS}

    def _entry(self, channel):
        found = []
        for one in self.stock.policies:
            fields = one.fields
            begun = fields.since is None or fields.since <= self.now
            over = fields.until is not None and fields.until <= self.now
            silent = fields.owner == "other" or (self.stock.bases is None and not fields.sku)
            dated = fields.since is not None or fields.until is not None
            scope = [bool(fields.sku), bool(fields.category), bool(fields.brand), True].index(True)
            found += [
                ((scope, not dated, says.priority, one.id), fields, says)
                for says in fields.channels
                if says.channel == channel and begun and not over and not silent
            ]
        return min(found, key=lambda one: one[0])[1:] if found else None

    def credit(self, one):
        if one.campaign or not (entry := self.says.get(one.channel)):
            return 0
        fields, says = entry
        if one.node_group != fields.node_groups[0]:
            return 0
        ahead = says.presale.units if says.presale and self.now < says.presale.until else 0
        return ahead + says.backorder

    def cap(self, one):
        entry = None if one.campaign else self.says.get(one.channel)
        return entry[1].cap if entry and entry[0].node_groups[0] == one.node_group else None

    def quota(self, one, until=None):
        """What a campaign's pool should have in all."""
        fields = self.campaigns.get(one.campaign)
        return fields and sold_by(fields, self.bundles, one.channel, until=until or self.now)

    def wants(self, pool, *, claimed):
        """Free units that a pool is to have beside what ratios give; its ratio and its priority."""
        moved = pool.moved - pool.drained
        entry = self.says.get(pool.name.channel)
        priority = entry[1].priority if entry else 0
        if pool.name.campaign:
            quota = self.quota(pool.name) if claimed else 0
            return max(0, quota - pool.used + moved), 0, priority if claimed else 0
        if entry and entry[0].node_groups[0] == pool.name.node_group:
            says, ratio = entry[1], round(entry[1].ratio * RATIO_WHOLE)
            left = max(0, says.quota - pool.used + (0 if ratio else moved))
            units = max(left, says.floor)
            return (units if says.cap is None else min(units, says.cap)), ratio, priority
        return max(0, moved - pool.used), 0, 0


def there(stock, asked, group, names):
    """What may be handed out of a group: what is there, what left, what came beside, credit."""
    base = (stock.bases or {}).get(group, Base(0, 0))
    moved = sum(one.moved for one in stock.pools if one.name.node_group == group)
    lent = sum(asked.credit(one) for one in names if one.node_group == group)
    return base.sellable + base.assigned + moved + lent


def given_in(stock, group):
    return sum(one.given + one.moved for one in stock.pools if one.name.node_group == group)


def sell(stock, rng):
    """Orders take units, or give some back."""
    found = []
    for one in stock.pools:
        units = 0 if one.ended else rng.randint(-min(3, one.used), one.free)
        found.append(one._replace(free=one.free - units, used=one.used + units))
    return stock._replace(pools=found)


def carried_out(stock, found):
    """The cell gives what it is told, and takes of what is free now."""
    pools = {one.name: one for one in stock.pools}
    for one, wanted in found.units.items():
        pool = pools.setdefault(one, Pool(f"n{len(pools)}", one))
        change = max(wanted.units - pool.given, -pool.free)
        pools[one] = pool._replace(given=pool.given + change, free=pool.free + change)
    return stock._replace(pools=list(pools.values()))


def shuffled(stock, rng):
    def mixed(many):
        return rng.sample(list(many), len(many))

    policies = [
        one._replace(fields=replace(one.fields, channels=mixed(one.fields.channels)))
        for one in stock.policies
    ]
    claims = [one._replace(channels=mixed(one.channels), waves=mixed(one.waves))
              for one in stock.claims]  # fmt: skip
    bases = stock.bases and dict(mixed(stock.bases.items()))
    return stock._replace(
        pools=mixed(stock.pools), policies=mixed(policies), claims=mixed(claims), bases=bases
    )


@settings(max_examples=600, deadline=None)
@given(worlds(), st.integers(0, 1_000_000))
def test_whatever_policies_say_is_handed_out_of_what_is_there(world, seed):
    stock, campaigns, bundles = world
    rng, now = random.Random(seed), NOW
    stock = follow(stock, now)
    assert supply.plan(shuffled(stock, rng), now) == supply.plan(stock, now)
    if stock.bases is None:
        return declared(stock, Asked(*world, now))
    for n in range(ROUNDS_MAX):
        asked = Asked(stock, campaigns, bundles, now)
        found = supply.plan(stock, now)
        step_is_safe(stock, asked, found)
        sold = sell(stock, rng) if n < SALES else stock
        after = carried_out(sold, found)
        for group in {one.node_group for one in found.units}:
            most = max(given_in(stock, group), there(after, asked, group, found.units))
            assert given_in(after, group) <= most
        waits = found.next_at == now + timedelta(seconds=5)
        stock, now = after, found.next_at if waits and not found.again else now
        if n >= SALES and not found.again and not waits:
            break
    else:
        raise AssertionError(f"never at rest: {found}")
    event(f"came to rest after {n - SALES}")
    asked, found = Asked(stock, campaigns, bundles, now), supply.plan(stock, now)
    assert carried_out(stock, found) == stock
    at_rest(stock, asked, found)
    return None


def declared(stock, asked):
    """Nobody counts: no more and no less is given out than documents declare."""
    found = supply.plan(stock, asked.now)
    units = {one: wanted.units - asked.credit(one) for one, wanted in found.units.items()}
    says = [entry[1] for entry in asked.says.values() if entry]
    own = [one for one in stock.policies if resolving.declared([one], TEA, asked.now)]
    own.sort(key=lambda one: (one.fields.since is one.fields.until is None, one.id))
    there = sum(one.fields.shared for one in own[:1]) + sum(one.quota for one in says)
    assert sum(units.values()) == there + sum(asked.quota(one) for one in _sold(found))
    assert all(asked.cap(one) is None or n <= asked.cap(one) for one, n in units.items())
    after = carried_out(stock, found)
    assert supply.plan(after, asked.now) == found


def step_is_safe(stock, asked, found):
    """Given before anything else is taken, nothing is given twice; nothing held is touched."""
    pools = {one.name: one for one in stock.pools}
    for group in {one.node_group for one in found.units}:
        had = given_in(stock, group)
        more = 0
        for one, wanted in found.units.items():
            if one.node_group == group:
                pool = pools.get(one, Pool("", one))
                more += max(0, wanted.units - pool.given)
                assert wanted.units + pool.moved >= pool.used
        assert had + more <= max(had, there(stock, asked, group, found.units))
        keeps(stock, asked, found, group)
    for offer in found.offers.values():
        assert {draw.pool for draw in offer.draws} <= found.units.keys()


def keeps(stock, asked, found, group):
    """Of what a marketplace shows only what is lost is taken."""
    of = [one for one in stock.pools if one.name.node_group == group]
    shown = {one.name: max(0, one.free - asked.credit(one.name)) for one in of
             if one.name.channel in stock.external and not one.ended}  # fmt: skip
    lent = sum(asked.credit(one) for one in found.units if one.node_group == group)
    free = there(stock, asked, group, found.units) - lent - sum(one.used for one in of)
    if sum(shown.values()) <= free:
        for one in of:
            if one.name in shown:
                assert found.units[one.name].units + one.moved >= one.used + shown[one.name]


def at_rest(stock, asked, found):
    """Every unit of each group is in some pool, or waits for a wave; each pool has what it may."""
    assert {one: wanted.units for one, wanted in found.units.items()} == found.final
    for group in {one.node_group for one in found.units}:
        pools = [one for one in stock.pools if one.name.node_group == group]
        used = sum(one.used for one in pools)
        units = there(stock, asked, group, found.units)
        open_ones = [one for one in pools if not one.ended]
        handed = sum(one.used + one.free for one in open_ones)
        handed += sum(one.used for one in pools if one.ended)
        assert handed + found.waves[group] == max(used, units)
        assert found.shorts.get(group, 0) == max(0, used - units)
        shared = next(one for one in open_ones if one.name == name(group=group))
        lent = sum(asked.credit(one) for one in found.units if one.node_group == group)
        if units - lent >= used:
            as_asked(stock, asked, found, group, shared)


def as_asked(stock, asked, found, group, shared):
    """Nobody lacks while others have what they did not ask for; ratios are of what is left."""
    plenty, sold = shared.free > 0, _sold(found)
    to_come = sum(asked.quota(one, MOMENTS[-1]) - asked.quota(one) for one in sold
                  if one.node_group == group)  # fmt: skip
    assert found.waves[group] == to_come if plenty else found.waves[group] <= to_come
    served = []
    for pool in stock.pools:
        if pool.name.node_group != group or pool.ended or pool == shared:
            continue
        free = pool.free - asked.credit(pool.name)
        wanted, ratio, priority = asked.wants(pool, claimed=pool.name in sold)
        sticky, cap = pool.name.channel in stock.external, asked.cap(pool.name)
        over = 0 if ratio or not sticky else max(0, free - wanted)
        assert found.excess.get(pool.name, 0) == over
        assert not plenty or free >= wanted
        assert not plenty or free == wanted or sticky or ratio
        assert sticky or cap is None or free <= cap
        is_plain = not (wanted or sticky or cap is not None or pool.moved != pool.drained)
        served.append((priority, free, wanted, ratio, sticky, is_plain))
    for priority, free, wanted, *_ in served:
        later = [one for one in served if one[0] > priority and not one[4]]
        assert free >= wanted or not any(one[1] for one in later)
    by_ratio(shared, [one for one in served if one[3]])


def by_ratio(shared, served):
    """Shares are exact to a unit, where nothing but ratios speaks."""
    if shared.free and all(one[5] for one in served):
        left = shared.free + sum(one[1] for one in served)
        for _, free, _, ratio, *_ in served:
            assert abs(free * RATIO_WHOLE - left * ratio) < RATIO_WHOLE


def _sold(found):
    """Pools that campaigns sell."""
    return {offer.draws[0].pool for offer in found.offers.values() if offer.draws
            and offer.draws[0].pool.campaign}  # fmt: skip
