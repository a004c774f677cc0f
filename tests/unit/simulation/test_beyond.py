"""What marketplaces sold beyond stock: each difference is a fault, each owed unit has a remedy."""

import pytest

from engine.assurance.types import Certificate, PoolRow, PoolTotals
from engine.simulation.marketplace import Marketplace, Rates, Spec, beyond
from engine.simulation.marketplace.beyond import Booked, Owed, PoolState

SHOP = Spec(
    channel="tmall", seed=1, orders=60, stock={"TEA": 20}, published={"TEA": 40, "CUP": 20},
    rates=Rates(unmapped=0),
)  # fmt: skip
MARKET = Marketplace(SHOP)
BOOKED = {one.channel_order_id: Booked(one.version, one.units) for one in MARKET.truth}
WANTED = MARKET.wanted()
POOLS = {
    sku: PoolState(units, WANTED[sku], max(0, WANTED[sku] - units))
    for sku, units in SHOP.have.items()
}
FIRST = MARKET.truth[0]


def test_what_agrees_has_no_fault():
    assert POOLS["TEA"].owed > 0
    assert list(beyond.faults(MARKET, BOOKED, POOLS)) == []


def booked_but(order_id, booked):
    return {**BOOKED, order_id: booked}


# ruff: noqa: E501 - a row of a table is one line
# fmt: off
FAULTS = {
    "lost order":      ({key: one for key, one in BOOKED.items() if key != FIRST.channel_order_id}, POOLS, "is not recorded"),
    "phantom order":   (booked_but("999999", Booked("1", {})), POOLS, "it never sold one"),
    "earlier version": (booked_but(FIRST.channel_order_id, Booked("1", FIRST.units)), POOLS, "stands at version 1"),
    "other units":     (booked_but(FIRST.channel_order_id, Booked(FIRST.version, {"TEA": 99})), POOLS, "has {'TEA': 99} units"),
    "other grant":     (BOOKED, {**POOLS, "CUP": POOLS["CUP"]._replace(granted=21)}, "21 units of CUP are granted, in truth 20"),
    "owed too little": (BOOKED, {**POOLS, "TEA": POOLS["TEA"]._replace(owed=0)}, "0 units of TEA are owed"),
    "sold too little": (BOOKED, {**POOLS, "TEA": POOLS["TEA"]._replace(wanted=1)}, "1 units of TEA are wanted"),
}
# fmt: on


@pytest.mark.parametrize(("booked", "pools", "told"), FAULTS.values(), ids=FAULTS)
def test_a_difference_is_a_fault(booked, pools, told):
    faults = list(beyond.faults(MARKET, booked, pools))
    assert [told in fault for fault in faults] == [True]
    assert faults[0].startswith("tmall: ")


def test_a_pool_that_is_not_there_has_nothing():
    assert len(list(beyond.faults(MARKET, BOOKED, {"TEA": POOLS["TEA"]}))) == 2


def certified(total, elsewhere):
    totals = PoolTotals(10, elsewhere, 0, 0, 10 + elsewhere)
    other = PoolRow("p", "another sale", "tmall", "TEA", totals, totals, (0, 10 + elsewhere))
    return Certificate(
        checkpoint_id="c", log_id="1-0", position="1-0", accepted=1, recorded_there=1, recorded=1,
        orders=1, duplicates=0, pools=[other], oversold_by_us=0, sold_beyond_stock=total,
        dead_letters=0, faults=[],
    )  # fmt: skip


def test_the_certificate_names_what_was_sold_beyond_stock_in_this_sale():
    owed = sum(pool.owed for pool in POOLS.values())
    told = beyond.certificate_faults([MARKET], "this sale", certified(owed + 7, 7))
    assert list(told) == []
    told = beyond.certificate_faults([MARKET], "this sale", certified(owed, 7))
    assert list(told) == [
        f"{owed - 7} units are certified as sold beyond stock, in truth {owed}",
    ]


# fmt: off
REMEDIES = [
    # owed by order     free by pool                  the remedy
    ([6, 4, 2],         {"mall": 30},                 "move 12 free units from mall"),
    ([6, 4, 2],         {},                           "grant 12, or refund the 3 latest orders"),
    ([1],               {"mall": 0},                  "grant 1, or refund the latest order"),
    ([6, 4, 2],         {"mall": 5},                  "move 5 free units from mall; grant 7 more, or refund the 3 latest orders"),
    ([6, 4, 2],         {"mall": 6},                  "move 6 free units from mall; grant 6 more, or refund the 2 latest orders"),
    ([6, 4, 2],         {"mall": 11},                 "move 11 free units from mall; grant 1 more, or refund the latest order"),
    ([6, 3],            {"mall": 2, "shared": 40},    "move 9 free units from shared"),
    ([25, 25],          {"mall": 20, "shared": 40},   "move 40 free units from shared; move 10 free units from mall"),
    ([6, 3],            {"tmall": 9},                 "grant 9, or refund the 2 latest orders"),
]
# fmt: on


@pytest.mark.parametrize(("shorts", "free", "remedy"), REMEDIES)
def test_the_remedy_is_what_siblings_have_and_then_a_grant(shorts, free, remedy):
    pools = {("TEA", name): units for name, units in free.items()} | {("CUP", "mall"): 99}
    (found,) = beyond.remedies([Owed("tmall", "TEA", shorts)], pools)
    assert (found.units, found.orders, found.remedy) == (sum(shorts), len(shorts), remedy)


def test_a_free_unit_is_promised_once_and_the_largest_debt_comes_first():
    owed = [Owed("tmall", "TEA", [1] * 5), Owed("douyin", "TEA", [1] * 8)]
    found = beyond.remedies(owed, {("TEA", "mall"): 10})
    assert [(one.channel, one.remedy) for one in found] == [
        ("douyin", "move 8 free units from mall"),
        ("tmall", "move 2 free units from mall; grant 3 more, or refund the 3 latest orders"),
    ]
