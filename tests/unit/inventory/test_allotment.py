"""Units are given out as policies say, for any mix of them: none is lost, and none given twice."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.inventory.rules.allotment import Claimant, allot, parts

SHARED = Claimant("shared", shared=True)


def one(key, **fields):
    return Claimant(key, **fields)


def granted(units, *claimants):
    return allot(units, [*claimants, SHARED]).granted


@dataclass(frozen=True)
class Case:
    says: str
    units: int
    claimants: tuple
    want: dict


CASES = [
    Case("nothing asks: all is shared", 100, (), {"shared": 100}),
    Case("a quota is exclusive", 100, (one("mall", quota=30),), {"mall": 30, "shared": 70}),
    Case(
        "a quota counts what was sold of it",
        70,
        (one("mall", quota=30, used=20),),
        {"mall": 30, "shared": 40},
    ),
    Case(
        "what was sold beyond a quota stays sold",
        70,
        (one("mall", quota=30, used=50),),
        {"mall": 50, "shared": 20},
    ),
    Case(
        "scarce: the first priority has all, the others what is left in proportion",
        50,
        (one("a", quota=30), one("b", quota=40, priority=1), one("c", quota=20, priority=1)),
        {"a": 30, "b": 13, "c": 7, "shared": 0},
    ),
    Case(
        "a ratio is of what is free beyond quotas",
        100,
        (one("jd", ratio=3_000), one("mall", quota=20)),
        {"jd": 24, "mall": 20, "shared": 56},
    ),
    Case(
        "ratios that make a whole leave nothing to share, and lose no unit",
        100,
        (one("a", ratio=3_333), one("b", ratio=3_333), one("c", ratio=3_334)),
        {"a": 33, "b": 33, "c": 34, "shared": 0},
    ),
    Case(
        "a unit left over goes to the larger fraction, of equal ones to the smaller key",
        1,
        (one("b", ratio=5_000), one("a", ratio=5_000)),
        {"a": 1, "b": 0, "shared": 0},
    ),
    Case(
        "ratios of more than a whole are weights",
        90,
        (one("a", ratio=10_000), one("b", ratio=5_000)),
        {"a": 60, "b": 30, "shared": 0},
    ),
    Case(
        "a floor is a part of a ratio's share",
        100,
        (one("a", ratio=1_000, floor=30), one("b", ratio=2_000, floor=5)),
        {"a": 30, "b": 20, "shared": 50},
    ),
    Case(
        "a cap keeps free units low, the rest is shared",
        100,
        (one("a", ratio=9_000, cap=10, used=7),),
        {"a": 17, "shared": 83},
    ),
    Case(
        "what people moved stays moved, with a quota",
        100,
        (one("a", quota=30, moved=20, used=10), one("b", quota=30, moved=-20)),
        {"a": 50, "b": 10, "shared": 40},
    ),
    Case(
        "and with a ratio, as long as it is not sold",
        100,
        (one("a", ratio=5_000, moved=20, free=50), one("b", ratio=5_000, moved=-20, free=30)),
        {"a": 70, "b": 30, "shared": 0},
    ),
    Case(
        "a marketplace keeps what it shows",
        100,
        (one("jd", quota=10, free=60, sticky=True), one("mall", quota=50)),
        {"jd": 60, "mall": 40, "shared": 0},
    ),
    Case(
        "but not what is lost",
        50,
        (one("jd", free=60, sticky=True), one("tb", free=40, sticky=True), one("mall", quota=50)),
        {"jd": 30, "tb": 20, "mall": 0, "shared": 0},
    ),
    Case(
        "nor what was never there",
        10,
        (one("jd", free=8, credit=8, sticky=True),),
        {"jd": 8, "shared": 10},
    ),
    Case(
        "what it keeps is a part of its part: it has no other when there is too little",
        30,
        (one("jd", quota=16, free=12, sticky=True), one("app", quota=24)),
        {"jd": 12, "app": 18, "shared": 0},
    ),
    Case(
        "more than its part it keeps, and the others share the rest",
        30,
        (one("jd", quota=15, free=14, sticky=True), one("app", quota=30), one("mall", quota=15)),
        {"jd": 14, "app": 11, "mall": 5, "shared": 0},
    ),
    Case(
        "what was moved and sold is not moved again",
        100,
        (one("a", ratio=5_000, moved=20, used=40),),
        {"a": 70, "shared": 30},
    ),
    Case(
        "a ratio is beside a quota",
        100,
        (one("a", quota=20, ratio=5_000),),
        {"a": 60, "shared": 40},
    ),
    Case(
        "credit is on top of what is there",
        10,
        (one("a", quota=5, credit=100),),
        {"a": 105, "shared": 5},
    ),
    Case(
        "and what was sold on credit leaves less of it",
        0,
        (one("a", used=60, credit=100),),
        {"a": 100, "shared": 0},
    ),
    Case("less than what is sold: nobody gets, nobody loses", 5, (one("a", used=9, quota=20),),
         {"a": 9, "shared": 0}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_the_table(case):
    assert granted(case.units, *case.claimants) == case.want


def test_a_shortage_is_what_is_held_and_sold_beyond_stock_and_credit():
    found = allot(-3, [one("a", used=9, credit=4), one("b", used=2), SHARED])
    assert (found.short, found.granted) == (10, {"a": 9, "b": 2, "shared": 0})


def test_what_a_marketplace_keeps_beyond_its_quota_is_told():
    found = allot(100, [one("jd", quota=10, free=60, sticky=True), SHARED])
    assert found.kept_back == {"jd": 50}
    assert not allot(100, [one("jd", quota=60, free=60, sticky=True), SHARED]).kept_back


units = st.integers(0, 60)
claimants = st.builds(
    Claimant,
    key=st.just(""),
    used=units,
    free=units,
    moved=st.integers(-20, 20),
    quota=units,
    ratio=st.integers(0, 10_000),
    floor=st.integers(0, 30),
    cap=st.none() | units,
    priority=st.integers(0, 2),
    sticky=st.booleans(),
    credit=st.just(0) | units,
    shared=st.sampled_from((False,)),
)
mixes = st.tuples(st.lists(claimants, max_size=6), st.integers(0, 50), st.integers(0, 50)).map(
    lambda mix: [
        *(each._replace(key=f"k{n}") for n, each in enumerate([*mix[0], *mix[0][:1]])),
        SHARED._replace(used=mix[1], free=mix[2]),
    ]
)
amounts = st.integers(-20, 300)


def free_of(mix, found):
    """Free units that are there, by key."""
    return {each.key: found.granted[each.key] - each.used - each.credit for each in mix}


@given(amounts, mixes)
def test_every_unit_is_accounted_for(amount, mix):
    found = allot(amount, mix)
    used = sum(each.used for each in mix)
    there = amount + sum(each.credit for each in mix)
    assert sum(found.granted.values()) == max(there, used)
    assert found.short == max(0, used - there)
    assert all(found.granted[each.key] >= each.used for each in mix)


@given(amounts, mixes, st.randoms(use_true_random=False))
def test_the_order_of_claimants_is_nothing(amount, mix, random):
    other = list(mix)
    random.shuffle(other)
    assert allot(amount, mix) == allot(amount, other)


@given(amounts, mixes)
def test_equals_get_the_same_but_for_a_unit_that_cannot_be_divided(amount, mix):
    found = allot(amount, mix)
    for each in mix:
        for other in mix:
            if each._replace(key="") == other._replace(key=""):
                assert abs(found.granted[each.key] - found.granted[other.key]) <= 1


def wanted(each):
    return each.capped(max(each.quota_left, each.floor))


@given(amounts, mixes)
def test_quotas_and_floors_come_before_ratios_and_the_rest(amount, mix):
    found = allot(amount, mix)
    if amount < sum(each.used for each in mix):
        return
    free = free_of(mix, found)
    lacking = [each for each in mix if not each.shared and free[each.key] < wanted(each)]
    for each in lacking:
        assert free["shared"] == max(0, mix[-1].kept)
        for other in mix:
            if other.priority > each.priority and not other.shared:
                assert free[other.key] <= max(other.kept, 0)


@given(amounts, mixes)
def test_no_cap_is_passed_and_nothing_is_taken_from_what_a_marketplace_shows(amount, mix):
    found = allot(amount, mix)
    there = amount - sum(each.used for each in mix)
    if there < 0:
        return
    enough = there >= sum(each.kept for each in mix)
    for each in mix:
        units = free_of(mix, found)[each.key]
        assert units >= 0
        if each.cap is not None:
            assert units <= max(each.cap, each.kept)
        if enough:
            assert units >= each.kept


def test_a_unit_that_cannot_be_divided_goes_to_the_smaller_key():
    assert parts(1, {"b": 1, "a": 1}) == {"a": 1, "b": 0}


@given(st.integers(0, 10_000), st.dictionaries(st.text(max_size=3), st.integers(0, 99), min_size=1))
def test_parts_are_within_a_unit_of_what_is_exact(units, weights):
    whole = sum(weights.values())
    if not whole:
        return
    found = parts(units, weights)
    assert sum(found.values()) == units
    for key, part in found.items():
        assert abs(part - units * weights[key] / whole) < 1


@given(st.integers(0, 10_000), st.lists(st.integers(0, 3_000), max_size=5))
def test_a_ratio_is_kept_within_a_unit_and_the_rest_is_shared(amount, ratios):
    found = granted(amount, *(one(f"k{n}", ratio=ratio) for n, ratio in enumerate(ratios)))
    if sum(ratios) > 10_000:
        return
    for n, ratio in enumerate(ratios):
        assert abs(found[f"k{n}"] - amount * ratio / 10_000) < 1
