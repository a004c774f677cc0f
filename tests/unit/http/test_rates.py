"""Buckets of integers, in time of their own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.infra.http.rates import Buckets, per_minute, per_second

SECOND = 1_000_000_000
ME = ("main", "me")
NOW = 1_000 * SECOND


def taken(buckets, rate, count, now, who=ME):
    return [buckets.take(who, rate, now).granted for _ in range(count)]


def test_as_many_at_once_as_the_burst_then_one_at_a_time():
    buckets, rate = Buckets(), per_second(10, 30)
    assert taken(buckets, rate, 31, NOW) == [True] * 30 + [False]
    assert taken(buckets, rate, 2, NOW + SECOND // 10) == [True, False]
    assert taken(buckets, rate, 31, NOW + 100 * SECOND) == [True] * 30 + [False]


def test_what_the_holder_is_told():
    buckets, rate = Buckets(), per_second(10, 30)
    assert rate.policy == '"default";q=30;w=3'
    first = buckets.take(ME, rate, NOW)
    assert (first.left, first.full_in_s) == (29, 1)
    taken(buckets, rate, 29, NOW)
    last = buckets.take(ME, rate, NOW)
    assert (last.granted, last.left, last.full_in_s, last.again_in_s) == (False, 0, 3, 1)
    slow = per_minute(2)
    assert slow.policy == '"default";q=2;w=60'
    taken(buckets, slow, 2, NOW, ("main", "slow"))
    assert buckets.take(("main", "slow"), slow, NOW).again_in_s == 30


def test_holders_do_not_share():
    buckets, rate = Buckets(), per_second(1, 1)
    assert taken(buckets, rate, 2, NOW) == [True, False]
    assert taken(buckets, rate, 2, NOW, ("main", "you")) == [True, False]
    assert taken(buckets, rate, 2, NOW, ("other", "me")) == [True, False]


def test_however_many_come_only_so_many_are_remembered():
    buckets, rate = Buckets(most=100), per_second(1, 1)
    for n in range(10_000):
        buckets.take(("main", str(n)), rate, NOW + n)
        assert len(buckets) <= 100
    assert not buckets.take(("main", "9999"), rate, NOW + 10_001).granted


def test_full_buckets_are_forgotten_first():
    buckets, rate, slow = Buckets(most=100), per_second(100, 100), per_minute(1)
    buckets.take(("main", "slow"), slow, NOW)
    for n in range(10_000):
        buckets.take(("main", str(n)), rate, NOW + n * SECOND // 1_000)
    assert not buckets.take(("main", "slow"), slow, NOW + 11 * SECOND).granted


@pytest.mark.parametrize("burst", [5, 7, 50])
@settings(max_examples=60, deadline=None)
@given(gaps=st.lists(st.integers(0, SECOND), min_size=1, max_size=80))
def test_never_more_than_the_burst_and_what_has_come_since(burst, gaps):
    buckets, rate, now, granted = Buckets(), per_second(5, burst), NOW, 0
    for gap in gaps:
        now += gap
        granted += buckets.take(ME, rate, now).granted
    assert granted <= burst + (now - NOW) * 5 // SECOND + 1
