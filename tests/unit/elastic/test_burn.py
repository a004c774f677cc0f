"""How fast a shop sells: exact for a steady flow, forgetting, and not fooled by an empty shelf."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.elastic import rules
from engine.elastic.rules.burn import watched
from engine.elastic.types import Burn

HALF_LIFE_S = 30.0


@settings(deadline=None)
@given(
    rate=st.floats(0.01, 1_000),
    spans=st.lists(st.floats(0.1, 500), min_size=1, max_size=20),
)
def test_a_steady_flow_is_seen_as_it_is_however_often_it_is_looked_at(rate, spans):
    burn = Burn()
    for seconds in spans:
        burn = watched(burn, rate * seconds, seconds, HALF_LIFE_S, empty=False)
        assert burn.rate == pytest.approx(rate)


def test_after_a_half_life_the_past_counts_for_half():
    burn = rules.first(3_000, 300, HALF_LIFE_S)
    assert burn.rate == pytest.approx(10)
    after = watched(burn, 0, HALF_LIFE_S, HALF_LIFE_S, empty=False)
    assert after.rate == pytest.approx(5, rel=0.01)


def test_an_empty_shop_is_thought_as_busy_as_it_was_and_fades():
    burn = rules.first(3_000, 300, HALF_LIFE_S)
    empty = watched(burn, 0, HALF_LIFE_S, HALF_LIFE_S, empty=True)
    assert empty.rate == pytest.approx(10 * 2 ** (-1 / 8))


def test_what_an_empty_shop_sold_faster_than_before_counts():
    burn = rules.first(3_000, 300, HALF_LIFE_S)
    assert watched(burn, 40, 1, HALF_LIFE_S, empty=True).rate > 10


def test_units_that_come_back_are_none_that_went():
    burn = rules.first(300, 300, HALF_LIFE_S)
    back = watched(burn, -50, 1, HALF_LIFE_S, empty=False)
    assert back == watched(burn, 0, 1, HALF_LIFE_S, empty=False)


def test_no_time_is_no_news():
    burn = Burn(3, 5)
    assert watched(burn, 7, 0, HALF_LIFE_S, empty=False) == burn
    assert Burn().rate == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_what_went_after_a_quiet_time_is_seen_as_if_it_had_been_watched_all_along(sold):
    """Pools that do not change are not noted: the later look makes up for it."""
    often = seldom = rules.first(0, 1, HALF_LIFE_S)
    noted_s = 0
    for second, units in enumerate(sold, start=1):
        often = rules.since(often, units, 1, HALF_LIFE_S, was=9, now=9)
        if units or second == len(sold):
            seldom = rules.since(seldom, units, second - noted_s, HALF_LIFE_S, was=9, now=9)
            noted_s = second
    assert seldom == pytest.approx(often)
