"""What a service is worth by how it fared."""

import pytest

from engine.carriers.rules.scorecards import PARCELS_MIN, STEP, score, scores
from engine.carriers.types.services import Fared


@pytest.mark.parametrize(
    ("written", "fared", "points"),
    [
        (700, None, 700),
        (700, Fared(PARCELS_MIN - 1, PARCELS_MIN - 1), 700),
        (700, Fared(PARCELS_MIN, PARCELS_MIN), 10_000),
        (9_000, Fared(100, 50), 5_000),
        (0, Fared(100, 97), 9_500),
        (0, Fared(100, 96), 9_500),
        (0, Fared(100, 0), 0),
        (0, Fared(100, 100, damaged=20), 8_000),
        (0, Fared(100, 10, damaged=20), 0),
        (0, Fared(200, 100, refused=100), 10_000),
        (300, Fared(100, 0, refused=90), 300),
    ],
)
def test_points(written, fared, points):
    assert score(written, fared) == points


def test_a_parcel_more_or_less_turns_nothing_over():
    told = {score(0, Fared(1_000, on_time)) for on_time in range(951, 1_000)}
    assert told == {9_500}
    assert STEP == 500


def test_each_service_has_a_score():
    assert scores({"a": 5, "b": 6}, {"b": Fared(100, 90), "gone": Fared(9, 9)}) == {
        "a": 5, "b": 9_000
    }  # fmt: skip
