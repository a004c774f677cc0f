"""What one SKU comes to: declared as documents say, counted within what there is."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from engine.campaigns.types import CampaignSku
from engine.inventory.rules import supply
from engine.inventory.types import (
    Dimensions,
    Draw,
    Offer,
    PolicyChannel,
    PolicyFields,
    Presale,
    Wanted,
)
from engine.inventory.types.supply import Base, Card, Claim, Policy, Pool, Stock
from engine.kernel import codec

NOW = datetime(2026, 11, 11, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TEA = Card("tea", "acme", "drinks")
SHARED = Dimensions("main", "acme", "tea")
MALL, APP = SHARED._replace(channel="mall"), SHARED._replace(channel="app")
SALE = {"mall": MALL._replace(campaign="d11"), "app": APP._replace(campaign="d11")}
POLICY = PolicyFields("tea", 100, [PolicyChannel("mall", 10, 20), PolicyChannel("app", 0, None)])


def stock(*policies, **fields):
    planned = [Policy(f"p{n}", n + 1, one) for n, one in enumerate(policies)]
    return Stock("main", TEA, **({"policies": planned} | fields))


def counted(units, *policies, assigned=0, **fields):
    return stock(*policies, bases={"": Base(units, assigned)}, **fields)


def claim(says, *waves, channels=("mall", "app")):
    return Claim("d11", 3, channels, says, waves)


def units(found):
    return {name: wanted.units for name, wanted in found.units.items()}


def test_a_policy_fills_a_shared_pool_and_each_channels_own():
    found = supply.plan(stock(POLICY), NOW)
    reference = "supply_policy", "p0@1"
    assert found.units == {
        SHARED: Wanted(100, *reference), MALL: Wanted(10, *reference), APP: Wanted(0, *reference),
    }  # fmt: skip
    assert found.offers == {
        "offer\x1fmain\x1f\x1fmall\x1ftea": Offer((Draw(MALL), Draw(SHARED, 20))),
        "offer\x1fmain\x1f\x1fapp\x1ftea": Offer((Draw(APP), Draw(SHARED, -1))),
    }
    assert (found.shorts, found.excess, found.again, found.next_at) == ({}, {}, False, None)


# What one SKU of a campaign comes to on the channels mall and app, declared.
SKUS = {
    "a quota each": (
        CampaignSku("tea", {"mall": 5, "app": 3}),
        {SALE["mall"]: 5, SALE["app"]: 3},
        {"mall": Offer((Draw(SALE["mall"]),)), "app": Offer((Draw(SALE["app"]),))},
    ),
    "a quota of 0 is a pool": (
        CampaignSku("tea", {"mall": 0}),
        {SALE["mall"]: 0},
        {"mall": Offer((Draw(SALE["mall"]),))},
    ),
    "limit and floor": (
        CampaignSku("tea", {"mall": 5}, per_buyer_limit=2, floor_price=codec.Money(900, "CNY")),
        {SALE["mall"]: 5},
        {"mall": Offer((Draw(SALE["mall"]),), 2, 900, 0, "CNY")},
    ),
    "then the shared pool, with the channel's cap": (
        CampaignSku("tea", {"mall": 5}, draws_shared=True),
        {SALE["mall"]: 5, SALE["app"]: 0},
        {
            "mall": Offer((Draw(SALE["mall"]), Draw(SHARED, 20))),
            "app": Offer((Draw(SALE["app"]), Draw(SHARED, -1))),
        },
    ),
}


@pytest.mark.parametrize(("sku", "own", "offers"), SKUS.values(), ids=SKUS)
def test_a_campaign_sku(sku, own, offers):
    found = supply.plan(stock(POLICY, claims=[claim(sku)]), NOW)
    assert {name: one for name, one in found.units.items() if name.campaign} == {
        name: Wanted(count, "campaign", "d11@3") for name, count in own.items()
    }
    assert {name: one for name, one in found.offers.items() if "d11" in name} == {
        f"offer\x1fmain\x1fd11\x1f{channel}\x1ftea": one for channel, one in offers.items()
    }


def test_without_a_policy_there_is_nothing_shared_to_draw():
    found = supply.plan(
        stock(claims=[claim(CampaignSku("tea", {"mall": 5}, draws_shared=True))]), NOW
    )
    assert [len(offer.draws) for offer in found.offers.values()] == [1]


def test_a_campaign_alone_has_a_shared_pool_only_of_what_is_counted():
    sale = [claim(CampaignSku("tea", {"mall": 5}))]
    assert units(supply.plan(stock(claims=sale), NOW)) == {SALE["mall"]: 5}
    assert units(supply.plan(counted(9, claims=sale), NOW)) == {SALE["mall"]: 5, SHARED: 4}


def test_of_what_nobody_speaks_nothing_is_made():
    found = supply.plan(counted(50), NOW)
    assert (found.units, found.offers) == ({}, {})


def test_what_documents_dropped_is_emptied_and_what_has_ended_is_left_alone():
    over = Pool("p9", SALE["mall"], 2, 5, moved=-5, ended=True)
    pools = [Pool("p1", APP, 1, 4, free=4), over]
    found = supply.plan(stock(PolicyFields("tea", 7), pools=pools), NOW)
    assert units(found) == {SHARED: 7, APP: 0}
    gone = supply.former_offers(stock(pools=pools), found.offers)
    assert gone == {"offer\x1fmain\x1f\x1fapp\x1ftea"}


def test_a_policy_of_many_declares_nothing_and_is_there_once_units_are_counted():
    wide = PolicyFields(every=True, channels=[PolicyChannel("mall", 10)])
    assert not supply.plan(stock(wide), NOW).offers
    found = supply.plan(counted(25, wide), NOW)
    assert units(found) == {SHARED: 15, MALL: 10}
    assert found.units[MALL] == Wanted(10, "stock", "p0@1")


def test_declared_units_are_shared_by_ratio():
    thirds = [PolicyChannel("mall", ratio=0.3333), PolicyChannel("app", ratio=0.5)]
    found = units(supply.plan(stock(PolicyFields("tea", 100, thirds)), NOW))
    assert found == {SHARED: 17, MALL: 33, APP: 50}


def test_floors_and_caps_of_declared_units_are_of_what_is_declared():
    floor, cap = PolicyChannel("mall", ratio=0.1, floor=30), PolicyChannel("app", ratio=0.5, cap=20)
    found = units(supply.plan(stock(PolicyFields("tea", 100, [floor, cap])), NOW))
    assert found == {SHARED: 50, MALL: 30, APP: 20}
    found = units(supply.plan(stock(PolicyFields("tea", 0, [PolicyChannel("mall", floor=5)])), NOW))
    assert found == {SHARED: 0, MALL: 0}, "a floor declares nothing"


# A counted SKU: what is there and what left, pools as they are, and what grants should amount to.
COUNTED = {
    "quotas first": (counted(30, POLICY), {SHARED: 20, MALL: 10, APP: 0}),
    "less than the quotas": (counted(6, POLICY), {SHARED: 0, MALL: 6, APP: 0}),
    "what left for orders counts": (
        counted(20, POLICY, assigned=5, pools=[Pool("1", SHARED, 1, 5, used=5)]),
        {SHARED: 15, MALL: 10, APP: 0},
    ),
    "what was moved stays moved": (
        counted(30, POLICY, pools=[
            Pool("1", SHARED, 1, 20, moved=-15, free=5), Pool("2", APP, 1, 0, moved=15, free=15),
            Pool("3", MALL, 1, 10, free=10),
        ]),
        {SHARED: 20, MALL: 10, APP: 0},
    ),
    "presale": (
        counted(5, PolicyFields("tea", channels=[
            PolicyChannel("mall", 5, presale=Presale(7, LATER), backorder=1)
        ])),
        {SHARED: 0, MALL: 13},
    ),
    "waves are kept out of the shared pool": (
        counted(30, PolicyFields("tea"), claims=[claim(
            CampaignSku("tea", {"mall": 4}), (NOW, {"mall": 3}), (LATER, {"mall": 8, "app": 2})
        )]),
        {SHARED: 13, SALE["mall"]: 7, SALE["app"]: 0},
    ),
    "a campaign that was returned claims no more": (
        counted(30, PolicyFields("tea"), pools=[
            Pool("1", SALE["mall"], 1, 4, moved=-4, ended=True),
            Pool("2", SHARED, 1, 26, moved=4, free=30),
        ],
                claims=[claim(CampaignSku("tea", {"mall": 4}))]),
        {SHARED: 26},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), COUNTED.values(), ids=COUNTED)
def test_a_counted_sku(given, wanted):
    assert units(supply.plan(given, NOW)) == wanted


def test_groups_are_planned_apart_and_drawn_from_in_order():
    policy = PolicyFields("tea", channels=[PolicyChannel("mall", 5)], node_groups=["e", "w"])
    bases = {"e": Base(8, 0), "w": Base(9, 0), "": Base(100, 0)}
    found = supply.plan(stock(policy, bases=bases), NOW)
    own, east, west = (SHARED._replace(channel=c, node_group=g) for c, g in
                       (("mall", "e"), ("", "e"), ("", "w")))  # fmt: skip
    assert units(found) == {own: 5, east: 3, west: 9}
    (offer,) = found.offers.values()
    assert offer == Offer((Draw(own), Draw(east), Draw(west)))


def test_a_loss_beyond_what_is_free_is_short():
    pools = [Pool("1", SHARED, 1, 20, free=2, used=18), Pool("2", MALL, 1, 10, used=10)]
    found = supply.plan(counted(-3, POLICY, assigned=20, pools=pools), NOW)
    assert units(found) == {SHARED: 18, MALL: 10, APP: 0}
    assert found.shorts == {"": 11}
    assert found.again


def test_what_one_pool_is_to_lose_no_other_gets_before():
    pools = [Pool("1", SHARED, 1, 20, free=20), Pool("2", MALL, 1, 0)]
    found = supply.plan(counted(22, POLICY, pools=pools), NOW)
    assert units(found) == {SHARED: 12, MALL: 2, APP: 0}, "2 are new, 8 still to be taken"
    assert found.again


def test_a_marketplace_keeps_what_it_shows():
    policy = PolicyFields("tea", channels=[PolicyChannel("mall", 4)])
    pools = [Pool("1", MALL, 1, 9, free=9), Pool("2", SHARED, 1, 0)]
    kept = supply.plan(counted(20, policy, pools=pools, external={"mall"}), NOW)
    assert units(kept) == {SHARED: 11, MALL: 9}
    assert kept.excess == {MALL: 5}
    ours = supply.plan(counted(20, policy, pools=pools), NOW)
    assert units(ours)[MALL] == 4
    assert ours.excess == {}


def test_time_brings_waves_and_policies():
    dated = PolicyFields("tea", since=LATER + timedelta(minutes=1))
    waves = claim(CampaignSku("tea"), (NOW, {"mall": 1}), (LATER, {"mall": 1}))
    given = stock(dated, claims=[waves])
    assert supply.plan(given, NOW).next_at == LATER
    assert supply.plan(given, LATER).next_at == dated.since
    assert supply.plan(given, dated.since).next_at is None


@pytest.mark.parametrize("seed", range(300))
def test_never_more_is_given_than_there_is_while_pools_and_stock_change(seed):
    """A cell that takes part of what is asked, moves, sales, losses: at every step of it."""
    rng = random.Random(seed)
    channels = [
        PolicyChannel("mall", rng.randint(0, 30), priority=rng.randint(0, 1)),
        PolicyChannel("app", ratio=rng.choice([0, 0.3, 1]), floor=rng.randint(0, 3)),
    ]
    sale = claim(CampaignSku("tea", {"mall": rng.randint(0, 20)}), (LATER, {"app": 9}))
    policy = PolicyFields("tea", channels=channels)
    pools, base = {}, rng.randint(0, 80)
    for step in range(12):
        now = LATER if step > 8 else NOW
        given = counted(base, policy, pools=list(pools.values()), claims=[sale])
        found = supply.plan(given, now)
        for name, wanted in found.units.items():
            one = pools.get(name, Pool(str(name), name))
            delta = wanted.units - one.given
            done = max(delta, -rng.choice([one.free, one.free // 2])) if delta < 0 else delta
            pools[name] = one._replace(given=one.given + done, free=one.free + done)
        total = sum(one.given for one in pools.values())
        used = sum(one.used for one in pools.values())
        if not found.again:
            waves = 9 if now == NOW else 0
            assert max(base, used) - waves <= total <= max(base, used)
            assert found.shorts.get("", 0) == max(0, used - base)
        name = rng.choice(sorted(pools))
        sold = rng.randint(0, pools[name].free)
        pools[name] = pools[name]._replace(
            free=pools[name].free - sold, used=pools[name].used + sold
        )
        if not found.again:
            base += rng.randint(-10, 10)


def test_shares_that_sales_move_are_not_followed_without_end():
    """The cell carries out each plan, and the shared pool sells meanwhile."""
    policy = PolicyFields("tea", 0, [PolicyChannel("mall", ratio=0.3), PolicyChannel("app")])
    pools = {name: Pool(name.channel or "s", name) for name in (SHARED, MALL, APP)}
    sold, rounds, at = 0, 0, NOW
    for base in (1_000, 1_050, 900):
        again, rounds = True, 0
        while again:
            found = supply.plan(counted(base, policy, pools=list(pools.values())), at)
            for name, wanted in found.units.items():
                one = pools[name]
                change = max(wanted.units - one.given, -one.free)
                pools[name] = one._replace(given=one.given + change, free=one.free + change)
            shared = pools[SHARED]
            went = min(7, shared.free)
            sold += went
            pools[SHARED] = shared._replace(free=shared.free - went, used=shared.used + went)
            assert sum(one.given for one in pools.values()) <= base
            again, rounds = found.again, rounds + 1
            assert rounds < 5
        late = found.next_at
    assert late == NOW + timedelta(seconds=5), "what is out of proportion is looked at once more"
    assert sum(one.given for one in pools.values()) == 900
