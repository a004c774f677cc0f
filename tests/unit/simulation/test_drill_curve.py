"""Arrivals follow their curve: as many as are due, clumping as chance does, the same each time."""

from itertools import pairwise
from math import sqrt
from statistics import mean, pstdev

import pytest

from engine.simulation.drill.curve import Curve, Wave, arrivals

SALE = Curve(trickle=20, opens_at_s=5, peak=600, decay_s=4, tail=50, storms=[Wave(12, 200, 1.0)])
SECONDS = 20.0


@pytest.mark.parametrize("seed", range(5))
def test_as_many_come_in_each_second_as_are_due(seed: int) -> None:
    counts = [0] * int(SECONDS)
    for at_s in arrivals(SALE, SECONDS, seed):
        counts[int(at_s)] += 1
    for second, count in enumerate(counts):
        due = SALE.expected(second + 1.0) - SALE.expected(float(second))
        assert abs(count - due) <= 4.5 * sqrt(due) + 1, f"second {second}: {count}, due {due:.0f}"
    total = SALE.expected(SECONDS)
    assert abs(sum(counts) - total) <= 4.5 * sqrt(total)


def test_they_clump_as_chance_does_and_do_not_march() -> None:
    times = list(arrivals(Curve(200, 200, 200), 50.0, 7))
    gaps = [later - before for before, later in pairwise(times)]
    assert mean(gaps) == pytest.approx(1 / 200, rel=0.05)
    assert pstdev(gaps) / mean(gaps) == pytest.approx(1.0, abs=0.05), "of a metronome it is 0"


def test_in_order_within_the_time_and_the_same_for_the_same_seed() -> None:
    times = list(arrivals(SALE, SECONDS, 1))
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < SECONDS
    assert times == list(arrivals(SALE, SECONDS, 1))
    assert times != list(arrivals(SALE, SECONDS, 2))


def test_the_sale_opens_within_a_second_and_decays() -> None:
    assert SALE.rate(4.99) == 20
    assert SALE.rate(5.2) == pytest.approx(600, rel=0.06)
    assert SALE.rate(9.2) == pytest.approx(50 + 550 / 2.718, rel=0.06)
    assert SALE.rate(12.0) - SALE.rate(11.99) == pytest.approx(200, rel=0.05)
    assert SALE.highest(SECONDS) == pytest.approx(600, rel=0.06)


def test_nothing_comes_where_nothing_is_due() -> None:
    assert list(arrivals(Curve(0, 0, 0), 5.0, 1)) == []
    assert min(arrivals(Curve(0, 100, 100, opens_at_s=2), 4.0, 1)) >= 2.0


def test_scaled_it_has_the_same_shape() -> None:
    twice = SALE.scaled(2.0, 0.5)
    assert twice.expected(SECONDS / 2) == pytest.approx(SALE.expected(SECONDS), rel=0.03)
    assert twice.rate(8.0) == pytest.approx(2 * SALE.rate(16.0), rel=0.01)
