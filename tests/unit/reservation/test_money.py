"""Money and identifiers: no unit is ever lost, and no thing gets two names."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import ids
from engine.kernel.limits import AMOUNT_MAX
from engine.kernel.money import apportion

amounts = st.integers(0, AMOUNT_MAX)
weights = st.lists(amounts, min_size=1, max_size=200)

# fmt: off
#                        total  weights      parts
SPLITS = {
    "evenly":           (9,     [1, 1, 1],   [3, 3, 3]),
    "the first on a tie": (10,  [1, 1, 1],   [4, 3, 3]),
    "largest remainder": (10,   [1, 2, 4],   [1, 3, 6]),
    "nothing weighs":   (5,     [0, 0],      [3, 2]),
    "nothing to split": (0,     [3, 4],      [0, 0]),
    "one takes all":    (7,     [0, 3, 0],   [0, 7, 0]),
    "nobody":           (7,     [],          []),
    "a refund":         (-10,   [1, 1, 1],   [-3, -3, -4]),
}
# fmt: on


@pytest.mark.parametrize(("total", "by", "parts"), SPLITS.values(), ids=SPLITS)
def test_apportion(total, by, parts):
    assert apportion(total, by) == parts


@settings(deadline=None)
@given(st.integers(-AMOUNT_MAX, AMOUNT_MAX), weights)
def test_no_unit_is_lost_and_none_is_invented(total, by):
    parts = apportion(total, by)
    assert sum(parts) == total
    assert len(parts) == len(by)
    scale = sum(by)
    if scale:
        for part, weight in zip(parts, by, strict=True):
            # within one unit of the exact share, and nothing for what weighs nothing
            assert abs(part * scale - total * weight) < scale
            assert weight or not part


@settings(deadline=None)
@given(st.tuples(amounts, amounts, amounts))
def test_parts_of_a_total_that_already_fits_are_the_weights(by):
    assert apportion(sum(by), by) == (list(by) if sum(by) else [0, 0, 0])


def test_an_order_id_is_derived_and_short():
    one = ids.order_id("main", "mall", "1")
    assert one == hashlib.blake2b(b"main\x1fmall\x1f1", digest_size=13).hexdigest()
    assert len(one) == 26


@settings(deadline=None)
@given(*[st.text(st.characters(exclude_characters="\x1f", codec="utf-8"), max_size=4)] * 6)
def test_two_orders_never_share_an_id(a, b, c, d, e, f):
    same = (a, b, c) == (d, e, f)
    assert (ids.order_id(a, b, c) == ids.order_id(d, e, f)) is same


def test_lines_and_fingerprints_and_tokens_have_their_shape():
    assert ids.line_id("o", 7) == "o-7"
    assert len(ids.fingerprint(b"x")) == 16
    assert ids.fingerprint(b"x") != ids.fingerprint(b"y")
    assert len(ids.token(4)) == 8
    assert ids.token() != ids.token()
