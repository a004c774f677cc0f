"""How long the reconciler rests: a pass takes a minute at most, and a tenth of the time."""

import pytest

from engine.assurance.reconciling.reconciler import rest_of


def passed(work_s, last_s, step_s=0.05):
    """Seconds a pass takes that works so long in all, when the one before worked `last_s`."""
    left_s, took_s = 50.0, 0.0
    for _ in range(round(work_s / step_s)):
        rest_s = rest_of(step_s, last_s, left_s)
        left_s = max(0.0, left_s - rest_s)
        took_s += step_s + rest_s
    return took_s


@pytest.mark.parametrize("work_s", [0.2, 1.0, 2.0, 5.0])
def test_a_pass_of_up_to_five_seconds_takes_less_than_a_minute(work_s):
    assert passed(work_s, work_s) < 60
    assert passed(work_s, 0.0) < 60, "the first of a process"
    assert passed(work_s, work_s / 3) < 90, "three times what the last one had to do"


@pytest.mark.parametrize("work_s", [0.2, 5.0, 30.0, 120.0])
@pytest.mark.parametrize("last", [0.0, 0.3, 1.0, 3.0])
def test_it_never_works_more_than_a_tenth_of_the_time(work_s, last):
    assert passed(work_s, work_s * last) >= work_s * 10 * 0.999


def test_a_small_one_works_a_thirtieth_of_the_time():
    assert passed(0.2, 0.2) == pytest.approx(0.2 * 30)


def test_no_rest_is_so_long_that_the_duty_lapses():
    assert rest_of(20.0, 1.0, 50.0) <= 5
