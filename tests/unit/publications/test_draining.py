"""When units may leave a marketplace's pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.publications.rules import draining
from engine.publications.types import Confirmed, Drain

DRAIN = Drain("main", "m", "p1", "p2", "tmall", "A", 4, "draining", moving=False,
              listings=(("1", "", 5),), overdue=False, actor="a",
              confirmed_ago_s=2.0)  # fmt: skip
TAKEN = Confirmed(5, 5, 6, 0, "", reducible=True, units_per=1, reach=6, lag_s=1.0)


def d(**changed):
    return DRAIN._replace(**changed)


def c(**changed):
    return TAKEN._replace(**changed)


WAIT, MOVE, STUCK = ("wait", ""), ("move", ""), ("refuse", "not_reducible")
# fmt: off
CASES = {
    "confirmed and covered":      (d(), c(), 10, MOVE),
    "a later number confirmed":   (d(), c(number=9, acked_number=8), 10, MOVE),
    "not yet computed":           (d(state="requested", listings=(("1", "", 0),)), c(), 10, WAIT),
    "an older one confirmed":     (d(), c(acked_number=4), 10, WAIT),
    "just confirmed":             (d(confirmed_ago_s=None), c(), 10, ("confirm", "")),
    "within the lag":             (d(confirmed_ago_s=0.9), c(), 10, WAIT),
    "it shows what leaves":       (d(), c(acked=7), 10, WAIT),
    "in its own pieces":          (d(), c(acked=3, units_per=3), 10, WAIT),
    "nothing there, none shown":  (d(), c(acked=0, reach=-3), 4, MOVE),
    "sold meanwhile":             (d(), c(), 3, ("refuse", "short")),
    "sold before it was lowered": (d(state="requested"), c(), 3, ("refuse", "short")),
    "refused by the shop":        (d(), c(acked_number=4, refused_number=5), 10, STUCK),
    "refused an older one":       (d(), c(acked_number=3, refused_number=4), 10, WAIT),
    "refused, then taken":        (d(), c(refused_number=5, number=6, acked_number=6), 10, MOVE),
    "known as irreducible":       (d(), c(reducible=False), 10, STUCK),
    "too late":                   (d(overdue=True), c(acked_number=4), 10, ("refuse", "timed_out")),
    "late, just confirmed":       (d(overdue=True, confirmed_ago_s=None), c(), 10, ("confirm", "")),
    "late but ready":             (d(overdue=True), c(), 10, MOVE),
    "the cell may have moved it": (d(moving=True, overdue=True), c(acked_number=4), 0, MOVE),
}
# fmt: on


@pytest.mark.parametrize(("drain", "one", "free", "step"), CASES.values(), ids=CASES)
def test_step(drain, one, free, step):
    assert draining.step(drain, [one], free)[:2] == step


def test_one_listing_that_did_not_confirm_holds_all():
    both = d(listings=(("1", "", 5), ("2", "", 5)))
    assert draining.step(both, [TAKEN, TAKEN], 10).act == "move"
    assert draining.step(both, [TAKEN, c(acked_number=4)], 10).act == "wait"


@given(
    st.builds(
        c,
        acked_number=st.integers(0, 9), acked=st.integers(0, 20), reach=st.integers(-9, 20),
    ),
    st.builds(d, state=st.sampled_from(["requested", "draining"]), overdue=st.booleans(),
              confirmed_ago_s=st.none() | st.floats(0, 9)),
    st.integers(0, 20),
)  # fmt: skip
def test_nothing_moves_that_a_shop_may_still_sell(one, drain, free):
    if draining.step(drain, [one], free).act == "move":
        assert drain.state == "draining"
        assert one.acked_number >= 5
        assert one.acked <= max(0, one.reach)
        assert drain.confirmed_ago_s >= 1
        assert free >= 4
