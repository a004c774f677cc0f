"""What a shop's word about a number counts for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.publications.rules import telling
from engine.publications.types import Ack, Known

NOW = datetime(2026, 11, 11, tzinfo=UTC)


def known(**changed):
    """Number 7 is wanted, 5 was given out, 3 confirmed and 4 refused."""
    at = NOW - timedelta(seconds=2)
    return Known(7, 70, at, 5, 50, NOW - timedelta(seconds=8), 3, 4, None, None, None, None,
                 NOW)._replace(**changed)  # fmt: skip


# fmt: off
WORDS = [
    (7, True, "acked"), (5, True, "superseded"), (6, True, "stale"), (3, True, "repeated"),
    (2, True, "stale"), (8, True, "stale"), (4, True, "stale"),
    (7, False, "refused"), (5, False, "refused"), (4, False, "repeated"), (3, False, "repeated"),
    (2, False, "stale"), (9, False, "stale"),
]
# fmt: on


@pytest.mark.parametrize(("number", "accepted", "word"), WORDS)
def test_word(number, accepted, word):
    assert telling.word(known(), Ack("1", number, accepted)) == word


def test_a_number_that_was_refused_may_still_be_taken():
    assert telling.word(known(refused_number=7), Ack("1", 7, accepted=True)) == "acked"


def test_an_ack_is_of_the_quantity_that_its_number_had():
    assert telling.acked(known(), 7)[:2] == (7, 70)
    assert telling.acked(known(), 5)[:2] == (5, 50)


def test_the_lag_is_from_a_number_to_its_ack_and_smoothed():
    assert telling.acked(known(), 7).lag_s == 2
    assert telling.acked(known(), 5).lag_s == 8
    assert telling.acked(known(lag_s=1.0), 5).lag_s == pytest.approx(2.4)
    assert telling.acked(known(published_at=NOW - timedelta(days=1)), 7).lag_s == 600


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=20))
def test_what_is_confirmed_never_goes_back(acks):
    """In any order and as often as they come."""
    state = known(acked_number=0, refused_number=0)
    for number, accepted in acks:
        word = telling.word(state, Ack("1", number, accepted))
        if word in {"acked", "superseded"}:
            assert number > state.acked_number
            state = state._replace(acked_number=telling.acked(state, number).number)
        assert state.acked_number in {0, 5, 7}
