"""From which status a version of a plan may come into which."""

import pytest

from engine.kernel.errors import InConflict
from engine.routing.rules.lifecycle import SHADOWS_MAX, moves, require_room

ALLOWED = {
    ("DRAFT", "SHADOW"), ("DRAFT", "ACTIVE"), ("DRAFT", "ARCHIVED"), ("SHADOW", "ACTIVE"),
    ("SHADOW", "ARCHIVED"), ("ACTIVE", "ARCHIVED"), ("ARCHIVED", "ACTIVE"),
    ("ARCHIVED", "SHADOW"),
}  # fmt: skip


@pytest.mark.parametrize("after", ["SHADOW", "ACTIVE", "ARCHIVED"])
@pytest.mark.parametrize("before", ["DRAFT", "SHADOW", "ACTIVE", "ARCHIVED"])
def test_a_version_moves_only_along_its_ways(before, after):
    if before == after:
        assert not moves(before, after)
    elif (before, after) in ALLOWED:
        assert moves(before, after)
    else:
        with pytest.raises(InConflict):
            moves(before, after)


def test_few_plans_are_tried_at_a_time():
    require_room(SHADOWS_MAX - 1)
    with pytest.raises(InConflict):
        require_room(SHADOWS_MAX)
