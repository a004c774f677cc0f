"""Who lends how much to whom."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.elastic.rules import decide
from engine.elastic.types import Bounds, Burn, Shop

BOUNDS = Bounds(step=50, cool_down_s=5, horizon_s=60)


def shop(channel, available, rate, **fields):
    """A shop that was watched for long enough to know its rate well."""
    return Shop(channel, available, fields.pop("granted", 1_000), Burn(rate * 1e6, 1e6), **fields)


def lent(*shops, bounds=BOUNDS, remaining_s=1_900.0):
    return [
        (one.source, one.target, one.units, one.how)
        for one in decide(shops, bounds, remaining_s).lendings
    ]


def test_the_slow_shop_lends_a_step_and_says_why():
    (one,) = decide([shop("mall", 72, 12), shop("jd", 300, 0.15)], BOUNDS, 1_900).lendings
    assert (one.source, one.target, one.units, one.how) == ("jd", "mall", 50, "move")
    assert one.reason == "mall sells out in 6 s at 12/s; jd has 300 for 1,995 s: 50 units"
    assert one.figures["target_lacks"] == 72  # 12/s would need more than one step in 5 s


@pytest.mark.parametrize(
    ("mall", "jd"),
    [
        (shop("mall", 120, 10), shop("jd", 300, 0.1)),  # lasts longer than two cool-downs
        (shop("mall", 0, 0), shop("jd", 300, 0.1)),  # sold out, and nobody asks
        (shop("mall", 0, 5), shop("jd", 100, 5)),  # needs them itself
        (shop("mall", 0, 5), shop("jd", 300, 0.1, floor=300)),
        (shop("mall", 0, 5, granted=80, ceiling=80), shop("jd", 300, 0.1)),
        (shop("mall", 0, 5, borrowed_s=4.9), shop("jd", 300, 0.1)),
        (shop("mall", 0, 5), shop("jd", 300, 0.1, borrowed_s=14.9)),  # borrowed and rests
        (shop("mall", 0, 5), shop("jd", 300, 0.1, lends="no")),
        (shop("mall", 0, 5), Shop("jd", 300, 300, Burn())),  # nobody has looked at it
        (shop("mall", 20, 5), shop("jd", 300, 40)),  # lasts longer, but not twice as long
    ],
)
def test_nothing_is_lent(mall, jd):
    assert lent(mall, jd) == []


@pytest.mark.parametrize(
    ("mall", "jd", "units"),
    [
        (shop("mall", 10, 5), shop("jd", 300, 0.1), 40),  # what it sells in two cool-downs
        (shop("mall", 0, 5), shop("jd", 300, 0.1, floor=290), 10),
        (shop("mall", 0, 5, granted=80, ceiling=83), shop("jd", 300, 0.1), 3),
        (shop("mall", 0, 5), shop("jd", 130, 1), 9),  # keeps what it sells in two horizons
        (shop("mall", 0, 5, borrowed_s=5), shop("jd", 300, 0.1, borrowed_s=15), 50),
    ],
)
def test_so_many_are_lent(mall, jd, units):
    assert lent(mall, jd) == [("jd", "mall", units, "move")]


def test_at_the_end_of_the_sale_only_what_is_still_sold_is_lent():
    assert lent(shop("mall", 2, 5), shop("jd", 300, 1), remaining_s=3) == [
        ("jd", "mall", 13, "move")
    ]
    assert lent(shop("mall", 0, 5), shop("jd", 300, 1), remaining_s=0) == []
    assert lent(shop("mall", 0, 5), shop("jd", 300, 1), remaining_s=-9) == []


def test_where_steps_do_not_keep_up_a_shop_asks_earlier():
    small = BOUNDS._replace(step=10)
    # 12/s sells 60 in a cool-down, six steps: it looks six times as far ahead, to the horizon
    assert lent(shop("mall", 600, 12), shop("jd", 5_000, 0.1), bounds=small) == [
        ("jd", "mall", 10, "move")
    ]


def test_who_sells_out_first_is_served_first_and_by_who_lasts_longest():
    shops = [shop("a", 5, 3), shop("b", 0, 3), shop("c", 500, 1), shop("d", 500, 0.5)]
    assert lent(*shops) == [("d", "b", 30, "move"), ("d", "a", 25, "move")]


def test_a_marketplace_is_only_asked_and_only_if_nobody_lends_at_once():
    mall, tmall = shop("mall", 0, 5), shop("tmall", 900, 0.1, after_drain=True)
    assert lent(mall, tmall) == [("tmall", "mall", 50, "drain")]
    assert lent(mall, tmall, shop("jd", 300, 0.1)) == [("jd", "mall", 50, "move")]
    # asked once, though two shops are in need
    assert lent(mall, shop("mini", 0, 4), tmall) == [("tmall", "mall", 50, "drain")]


def test_why_nobody_lends_is_noted():
    tmall = shop("tmall", 900, 0.1, lends="cannot be asked")
    ruling = decide([shop("mall", 0, 5), tmall], BOUNDS, 1_900)
    assert ruling.notes == {"mall": "no shop has units to spare (tmall: cannot be asked)"}
    assert ruling.again


def test_where_nobody_has_anything_left_nobody_looks_again():
    assert not decide([shop("mall", 0, 5), shop("jd", 0, 1)], BOUNDS, 1_900).again


SHOPS = st.builds(
    Shop,
    channel=st.just(""),
    available=st.integers(0, 1_000),
    granted=st.integers(0, 2_000),
    burn=st.builds(Burn, st.floats(0, 5_000), st.just(0.0) | st.floats(0.1, 100)),
    floor=st.integers(0, 300),
    ceiling=st.none() | st.integers(0, 2_500),
    after_drain=st.booleans(),
    lends=st.sampled_from(["", "", "", "no"]),
    borrowed_s=st.none() | st.floats(0, 60),
)
MANY = st.lists(SHOPS, min_size=2, max_size=6).map(
    lambda shops: [one._replace(channel=f"c{n}") for n, one in enumerate(shops)]
)
ANY_BOUNDS = st.builds(Bounds, st.integers(1, 500), st.floats(1, 60), st.floats(5, 1_000))


@settings(deadline=None)
@given(MANY, ANY_BOUNDS, st.floats(0, 5_000), st.randoms())
def test_bounds_hold_and_the_order_of_shops_does_not_matter(shops, bounds, remaining_s, rng):
    ruling = decide(shops, bounds, remaining_s)
    mixed = rng.sample(shops, len(shops))
    assert decide(mixed, bounds, remaining_s).lendings == ruling.lendings
    before = {one.channel: one for one in shops}
    free = {one.channel: one.available for one in shops}
    given_ = {one.channel: one.granted for one in shops}
    for one in ruling.lendings:
        source, target = before[one.source], before[one.target]
        assert 0 < one.units <= bounds.step
        assert one.how == ("drain" if source.after_drain else "move")
        assert not source.lends
        assert source.borrowed_s is None or source.borrowed_s >= 3 * bounds.cool_down_s
        assert target.borrowed_s is None or target.borrowed_s >= bounds.cool_down_s
        free[one.source] -= one.units
        assert free[one.source] >= source.floor
        if one.how == "move":
            given_[one.target] += one.units
        assert target.ceiling is None or given_[one.target] <= target.ceiling
    lenders = {one.source for one in ruling.lendings}
    assert not lenders & {one.target for one in ruling.lendings}
    drained = [one.source for one in ruling.lendings if one.how == "drain"]
    assert len(drained) == len(set(drained))


@settings(deadline=None, max_examples=50)  # each a whole sale
@given(
    shops=st.lists(st.tuples(st.integers(0, 800), st.floats(0, 30)), min_size=2, max_size=4),
    step=st.integers(1, 200),
    cool_down_s=st.integers(1, 20),
)
def test_with_steady_rates_no_two_shops_pass_units_back_and_forth(shops, step, cool_down_s):
    """Played for a sale of a thousand seconds: nobody lends to who once lent to him."""
    bounds = Bounds(step, cool_down_s, 100)
    free = {f"c{n}": float(units) for n, (units, _) in enumerate(shops)}
    rates = {f"c{n}": rate for n, (_, rate) in enumerate(shops)}
    borrowed: dict[str, int] = {}
    pairs = []
    for second in range(1, 1_000):
        for name, rate in rates.items():
            free[name] = max(0.0, free[name] - rate)
        standing = [
            Shop(
                name, int(free[name]), 0, Burn(rates[name] * 40, 40.0),
                borrowed_s=second - borrowed[name] if name in borrowed else None,
            )
            for name in free
        ]  # fmt: skip
        for one in decide(standing, bounds, 1_000 - second).lendings:
            free[one.source] -= one.units
            free[one.target] += one.units
            borrowed[one.target] = second
            pairs.append((one.source, one.target))
    assert not {(a, b) for a, b in pairs} & {(b, a) for a, b in pairs}


@settings(deadline=None, max_examples=50)  # each a whole sale
@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 40)), min_size=60, max_size=200))
def test_whatever_the_rates_do_who_borrowed_rests_before_it_lends(rates):
    """Demand that jumps from shop to shop with every second, the worst that can be asked of it."""
    bounds = Bounds(30, 2, 20)
    free = {"a": 500, "b": 500}
    borrowed: dict[str, int] = {}
    lendings = []
    for second, pair in enumerate(rates):
        for name, rate in zip("ab", pair, strict=True):
            free[name] = max(0, free[name] - round(rate))
        standing = [
            Shop(
                name, free[name], 0, Burn(rate * 10, 10.0),
                borrowed_s=second - borrowed[name] if name in borrowed else None,
            )
            for name, rate in zip("ab", pair, strict=True)
        ]  # fmt: skip
        for one in decide(standing, bounds, 1_000).lendings:
            free[one.source] -= one.units
            free[one.target] += one.units
            borrowed[one.target] = second
            lendings.append((second, one.source, one.target))
    for (before, source, _), (after, back, _) in pairwise(lendings):
        assert source == back or after - before >= 3 * bounds.cool_down_s
