"""What a line says once SKU, owner and unit are known."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.catalogue.types import Stocked
from engine.kernel.errors import ValidationFailed
from engine.physical.rules import lines
from engine.physical.rules.lines import Placed, Told
from engine.physical.types.facts import Key
from engine.physical.types.stock import STOCK_QUANTITY_MAX

SKUS = {"A": Stocked("me", {"case": 12}), "B": Stocked("", {})}


def told(**more):
    plain = {"n": 0, "node": "N", "sku": "A", "owner": None, "condition": "good", "batch": "",
             "unit": "", "quantity": 2}  # fmt: skip
    return Told(**plain | more)


@pytest.mark.parametrize(
    ("code", "name"),
    [("ZP", "good"), ("CC", "defective"), ("JS", "carrier_damaged"), ("XS", "box_damaged"),
     ("ZT", "in_transit"), ("in_transit", "in_transit")],
)  # fmt: skip
def test_conditions_have_two_names(code, name):
    ((placed,), _) = lines.place([told(condition=code)], {"N"}, SKUS)
    assert placed.key == Key("N", "me", "A", name, "")


def test_an_owner_that_is_told_wins_and_units_are_multiplied():
    placed, faults = lines.place(
        [told(owner="", unit="case", locked=1), told(n=1, owner="x")], {"N"}, SKUS
    )
    assert faults == []
    assert [(one.key.owner, one.quantity, one.locked) for one in placed] == [
        ("", 24, 12), ("x", 2, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"node": "X"}, "node"),
        ({"sku": "X"}, "sku"),
        ({"owner": "\x00"}, "owner"),
        ({"batch": "b" * 129}, "batch"),
        ({"condition": "bad"}, "condition"),
        ({"unit": "box"}, "unit"),
        ({"unit": "case", "quantity": STOCK_QUANTITY_MAX}, "quantity"),
        ({"unit": "case", "locked": STOCK_QUANTITY_MAX}, "locked"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_placed(more, field):
    placed, faults = lines.place([told(n=1, **more), told(n=2)], {"N"}, SKUS)
    assert [one.n for one in placed] == [2]
    assert [(one.n, one.field) for one in faults] == [(1, field)]


def test_only_names_are_asked_for():
    assert lines.askable(["a", "", "b\x00", "c" * 129, "商品"]) == {"a", "商品"}


def test_a_key_is_counted_once_a_page():
    one = Placed(0, Key("N", "", "A", "good", ""), 1, 0)
    repeated = list(lines.repeats([one, one._replace(n=1), one._replace(n=2, key="other")]))
    assert [(fault.n, fault.detail) for fault in repeated] == [(1, "was counted before, by line 0")]


def test_clocks_may_differ_a_little():
    now = datetime(2026, 11, 11, tzinfo=UTC)
    near = now + timedelta(seconds=600)
    assert lines.not_ahead(near, now, "/as_of") == near
    for far in (near + timedelta(microseconds=1), now.replace(year=1999)):
        with pytest.raises(ValidationFailed):
            lines.not_ahead(far, now, "/as_of")


@pytest.mark.parametrize(
    ("kind", "quantity", "effect"),
    [
        ("receipt", 3, (3, 0)),
        ("adjustment", -3, (-3, 0)),
        ("transfer_out", 3, (-3, 0)),
        ("transfer_in", 3, (3, 0)),
        ("damage", 3, (-3, 0)),
        ("return_in", 3, (3, 0)),
        ("lock", 3, (0, 3)),
        ("unlock", 3, (0, -3)),
        ("receipt", -3, None),
        ("damage", 0, None),
        ("adjustment", 0, None),
    ],
)
def test_what_a_kind_does_to_units_and_locked_ones(kind, quantity, effect):
    done, faults = lines.effects(kind, [Placed(0, Key("N", "", "A", "good", ""), quantity, 0)])
    if effect is None:
        assert [one.field for one in faults] == ["quantity"]
    else:
        assert (faults, [(one.quantity, one.locked) for one in done]) == ([], [effect])


def change(*told):
    return [Placed(n, Key(*key), quantity, 0) for n, (key, quantity) in enumerate(told)]


GOOD, BAD = ("N", "", "A", "good", ""), ("N", "", "A", "defective", "b")


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        ([(GOOD, -2), (BAD, 2)], []),
        ([(GOOD, -2)], [""]),
        ([(GOOD, -2), (BAD, 1), (BAD, 1)], [""]),
        ([(GOOD, -2), (BAD, 3)], ["quantity"]),
        ([(GOOD, -2), (GOOD, 2)], ["condition"]),
        ([(GOOD, -2), (("M", *BAD[1:]), 2)], [""]),
    ],
)
def test_a_condition_change_takes_from_one_condition_what_it_gives_to_another(told, fields):
    _, faults = lines.effects("condition_change", change(*told))
    assert [one.field for one in faults] == fields
