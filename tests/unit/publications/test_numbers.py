"""What a listing is to show: a table, and that it is never more than there is."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.publications.rules import numbers
from engine.publications.rules.burn import Burn
from engine.publications.types import Link, Number, Reach, Settings, Shelf

LINK = Link("main", "tmall", "1", "")


def of(*skus, **settings):
    return Shelf(LINK, skus or (("A", 1),), Settings(**settings))


def has(sellable, owed=0, state="on_sale"):
    return Reach(state, sellable, owed, ("p1",))


# fmt: off
#    what                    of which listing, what is there, burn, draining, shown, state
CASES = {
    "all there is":          (of(), has(10), 0, 0, 10, "on_sale"),
    "whole pieces":          (of(("A", 3)), has(10), 0, 0, 3, "on_sale"),
    "less what is owed":     (of(), has(10, owed=4), 0, 0, 6, "on_sale"),
    "less the fixed buffer": (of(buffer=3), has(10), 0, 0, 7, "on_sale"),
    "buffer before pieces":  (of(("A", 2), buffer=1), has(10), 0, 0, 4, "on_sale"),
    "less burn times lag":   (of(lag_seconds=2), has(10), 1.2, 0, 7, "on_sale"),
    "a lag of its own":      (of(), has(10), 1, 0, 5, "on_sale"),
    "less what drains":      (of(), has(10), 0, 4, 6, "on_sale"),
    "a share":               (of(share=5_000), has(9), 0, 0, 4, "on_sale"),
    "a share of pieces":     (of(("A", 2), share=5_000), has(12), 0, 0, 3, "on_sale"),
    "never below nothing":   (of(buffer=99), has(10), 0, 0, 0, "on_sale"),
    "more owed than there":  (of(), has(1, owed=9), 0, 0, 0, "on_sale"),
    "paused":                (of(), has(10, state="paused"), 0, 0, 0, "paused"),
    "not sold here":         (of(), Reach("not_on_sale"), 0, 0, 0, "not_on_sale"),
    "nobody mapped it":      (Shelf(LINK, (), Settings()), has(10), 0, 0, 0, "unmapped"),
    "mapped twice":          (of(("A", 1), ("B", 1)), has(10), 0, 0, 0, "doubled"),
}
# fmt: on


@pytest.mark.parametrize(
    ("one", "there", "burn", "draining", "shown", "state"), CASES.values(), ids=CASES
)
def test_number(one, there, burn, draining, shown, state):
    found = numbers.number(one, there, burn, draining)
    assert (found.published, found.state) == (shown, state)


units = st.integers(0, 10**9)
listings = st.builds(
    lambda units_per, fixed, lag, share: of(
        ("A", units_per), buffer=fixed, lag_seconds=lag, share=share
    ),
    st.integers(1, 10_000), units, st.floats(0, 600), st.integers(1, 10_000),
)  # fmt: skip
states = st.sampled_from(["on_sale", "paused", "not_on_sale"])


@given(listings, st.builds(has, units, units, states), st.floats(0, 1e5), units)
def test_no_listing_shows_more_than_is_there(one, there, burn, draining):
    found, units_per = numbers.number(one, there, burn, draining), one.skus[0][1]
    left = there.sellable - there.owed - draining
    left -= one.settings.buffer + ceil(burn * one.settings.lag_seconds)
    assert found.published >= 0
    assert found.published * units_per <= max(0, left)
    if there.state != "on_sale":
        assert found.published == 0
    elif one.settings.share == 10_000:
        assert (found.published + 1) * units_per > left, "and no piece less than that"


@given(st.lists(st.tuples(units, units), max_size=4))
def test_of_several_offers_the_one_with_the_least_counts(offers):
    found = numbers.smallest([has(*one) for one in offers])
    if not offers:
        assert found.state == "not_on_sale"
    else:
        assert found.sellable - found.owed == min(one - owed for one, owed in offers)


def published(shown, age_s, was=10):
    one = of()._replace(number=1, last=Number("on_sale", "A", 1, was), age_s=age_s)
    return one, Number("on_sale", "A", 1, shown)


def test_changes_within_an_interval_become_one():
    assert numbers.waits_s(*published(9, 0.1), urgent=False) == pytest.approx(0.4)
    assert numbers.waits_s(*published(9, 0.6), urgent=False) == 0
    assert numbers.waits_s(*published(10, 0.1), urgent=False) == 0, "it does not change"
    assert numbers.waits_s(*published(9, 0.1), urgent=True) == 0
    assert numbers.waits_s(*published(0, 0.1), urgent=False) == 0, "stopping does not wait"


#      drift told after_ack_s  event
DRIFTS = [
    (None, 0, 0, None),
    (0, 0, 0, None),
    (3, 0, 0, 3),
    (3, 3, 9, None),
    (5, 3, 9, 5),
    (0, 3, 9, 0),
    (-2, 0, 1, None),  # sold meanwhile, probably
    (-2, 0, 61, -2),
    (-2, 3, 1, 0),
]


@pytest.mark.parametrize(("drift", "told", "after_s", "event"), DRIFTS)
def test_drift_to_tell(drift, told, after_s, event):
    assert numbers.drift_to_tell(drift, told, after_s) == event


def test_burn_is_the_fastest_of_a_minute_and_shorter_times():
    burn = Burn()
    assert burn.rate("p", 100) == 0
    burn.add("p", 100, 60)
    assert burn.rate("p", 100) == 20, "a sale that has just begun"
    assert burn.rate("p", 103) == 6
    assert burn.rate("p", 120) == 1, "and then not at all"
    burn.add("p", 121, 3)
    assert burn.rate("q", 121) == 0
    assert burn.rate("p", 161) == pytest.approx(3 / 60)
    assert burn.rate("p", 181) == 0


def test_of_a_bundle_the_part_counts_that_lasts_shortest():
    full, scarce = Reach("on_sale", 100, 10, ("a",)), Reach("on_sale", 40, 0, ("b",))
    found, burn = numbers.of_parts([(full, 2, 0.0, 10), (scarce, 1, 0.5, 0)], 30.0)
    assert (found.sellable, found.pools, burn) == (40, ("b",), 0.5)
    found, burn = numbers.of_parts([(full, 2, 8.0, 30), (scarce, 1, 0.0, 0)], 2.0)
    assert (found.sellable, found.pools, burn) == (30, ("a",), 4.0)
