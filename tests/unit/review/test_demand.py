"""What is still to be sent of an order."""

import pytest

from engine.review.rules.demand import demand
from engine.review.types.judging import Demand

GROUPS = {"p": "main", "q": "east"}


@pytest.mark.parametrize(
    ("draws", "lines", "sent", "found"),
    [
        ([(1, "p", 2)], {1: ("A", 2)}, {}, [(1, "A", "main", 2)]),
        ([(1, "p", 2)], {1: ("A", 2)}, {1: 2}, []),
        ([(1, "p", 2)], {1: ("A", 2)}, {1: 1}, [(1, "A", "main", 1)]),
        ([(1, "p", 2)], {1: ("A", 1)}, {}, [(1, "A", "main", 1)]),
        ([(1, "p", 2)], {1: ("A", 1)}, {1: 2}, []),
        ([(1, "p", 2), (1, "p", 1)], {1: ("A", 3)}, {}, [(1, "A", "main", 3)]),
        ([(1, "p", 2), (1, "q", 1)], {1: ("A", 3)}, {},
         [(1, "A", "east", 1), (1, "A", "main", 2)]),
        ([(1, "p", 2), (1, "q", 1)], {1: ("A", 3)}, {1: 1},
         [(1, "A", "east", 1), (1, "A", "main", 1)]),
        ([(1, "r", 2)], {1: ("A", 2)}, {}, [(1, "A", "", 2)]),
        ([(2, "p", 2)], {1: ("A", 2)}, {}, []),
        ([], {1: ("A", 2)}, {}, []),
    ],
)  # fmt: skip
def test_demand_is_what_was_drawn_is_open_and_was_not_sent(draws, lines, sent, found):
    assert demand(draws, GROUPS, lines, sent) == tuple(Demand(*one) for one in found)
