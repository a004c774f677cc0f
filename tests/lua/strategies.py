"""What Hypothesis draws for the machine of `test_model.py`."""

from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st

from tests.lua.model import Ask, Line

CHANNELS, CAMPAIGNS = ("mall", "shop", "tmall", "jd", "book"), ("d11", "pre", "")
SKUS = ("A", "B", "G")


@dataclass
class Cut:
    """A split to be: lines of whatever the source has by then, as (which, units, payable)."""

    order_id: str
    source: int
    lines: list[tuple[int, int, int]]
    gathered: bool  # instead, all that is left of each SKU in one line
    spoilt: str


@dataclass
class Told:
    """A snapshot to be: of a marketplace's own order, or of one that was asked for there."""

    order: int | str
    channel: str
    version: str
    progress: int
    shipped: bool  # it is closed, but not before it was shipped
    campaign: str
    buyer: str
    age: int
    lines: list[tuple[str, int, str]]
    recalled: bool


orders = st.integers(0, 40).map("o{}".format)
picks = st.integers(0, 1_000)  # which of the orders that are there by then, see Machine.picked
channels = st.sampled_from(["mall", "mall", "mall", "shop", "shop", "tmall"])
campaigns = st.sampled_from(["d11", "pre", "pre", ""])
buyers = st.sampled_from(["", "b1", "b1", "b2", "b2"])
line = st.builds(
    Line,
    st.sampled_from(["A", "A", "B", "G"]),
    st.integers(1, 3),
    st.integers(0, 20),
    st.sampled_from(["", "drop"]),
)
lines = st.lists(line, min_size=1, max_size=3)
asks = st.builds(
    Ask, orders, st.just(""), channels, campaigns, buyers,
    st.sampled_from(["", "", "", "", "", "paid"]), st.integers(0, 1), lines,
)  # fmt: skip
cuts = st.builds(
    Cut,
    st.integers(0, 400).map("s{}".format),
    picks,
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([1, 1, 1, 2, 3]), st.integers(0, 20)),
        min_size=1,
        max_size=2,
    ),
    st.booleans(),
    st.sampled_from(["", "", "", "", "", "", "", "channel", "campaign", "buyer"]),
)
tolds = st.builds(
    Told,
    st.one_of(*[st.integers(0, 15).map("x{}".format)] * 3, picks),
    st.sampled_from(["", "", "", "", "", "", "", "mall", "new"]),  # mostly the order's own
    st.sampled_from(["1", "2", "3", "4", "5", "05", "6", "9", "10", "11", "12", "20", "a", "b"]),
    st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5]),
    st.booleans(),
    st.sampled_from(["d11", ""]),
    st.sampled_from(["", "b1", "b2"]),
    st.sampled_from([0, 0, 10, 1_000, 5_000]),
    st.lists(
        st.tuples(
            st.sampled_from(["A", "A", "A", "B", "B", "G", ""]),
            st.sampled_from([0, 1, 1, 2, 3, 4, 9]),
            st.sampled_from(["", "", "x", "y"]),
        ),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
# of ten payments, four are what is due now, three are all that is not paid yet, one is wrong
kinds = st.sampled_from(["due"] * 4 + ["whole"] * 3 + ["total", "nothing", "wrong"])
payments = st.tuples(picks, st.integers(0, 3).map("p{}".format), kinds)
cancels = st.tuples(
    picks,
    st.integers(0, 3).map("c{}".format),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)).map(list), max_size=2),
    st.booleans(),
)


# how a snapshot of a known order goes on: its version and progress, and what it says else
steps = st.tuples(picks, st.integers(-1, 3), st.integers(-1, 2), st.integers(0, 3))


def batches(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(of, min_size=1, max_size=4)
