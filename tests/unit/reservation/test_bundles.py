"""What a bundle's line comes to, and how it is told of again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.errors import ValidationFailed
from engine.reservation import bundles
from engine.reservation.bundles import Part

KNOWN = {"SET": (("A", 2), ("B", 1)), "DUO": (("B", 1), ("C", 3)), "GONE": ()}


def test_components_stand_behind_all_lines_and_the_bundle_keeps_its_money():
    lines = (("A", 1, 100, "refuse"), ("SET", 3, 1_000, "refuse"), ("GONE", 1, 5, "drop"))
    assert bundles.expanded(lines, KNOWN) == (
        ("A", 1, 100, "refuse"), ("SET", 3, 1_000, "bundle"), ("GONE", 1, 5, "drop"),
        ("A", 6, 0, "2*2"), ("B", 3, 0, "2*1"),
    )  # fmt: skip
    assert bundles.have_parts(bundles.expanded(lines, KNOWN))
    assert not bundles.have_parts(lines)


@pytest.mark.parametrize(
    ("lines", "pointer"),
    [
        ([("SET", 1, 1, "drop")], "/lines/0/on_short"),
        ([("A", 1, 1, "refuse"), ("DUO", 400_000, 1, "refuse")], "/lines/1/quantity"),
        ([("SET", 1, 1, "refuse")] * 200, "/lines"),
    ],
)
def test_what_a_bundle_cannot_be(lines, pointer):
    with pytest.raises(ValidationFailed) as failure:
        bundles.expanded(tuple(lines), KNOWN)
    assert failure.value.extra["errors"][0]["pointer"] == pointer


def test_marks_are_columns_and_back():
    lines = bundles.expanded((("C", 1, 1, "drop"), ("SET", 2, 9, "refuse")), KNOWN)
    assert bundles.columns(lines) == [(0, 0), (2, 0), (2, 2), (2, 1)]
    assert bundles.columns([("A", 0, 0, "0*2")]) == [(-1, 2)]  # a component of no line any more
    assert bundles.parts_of(lines) == [Part(3, 2, "A", 2), Part(4, 2, "B", 1)]
    assert bundles.named(lines, 1) == {"line": 1, "sku": "C"}
    assert bundles.named(lines, 4) == {"line": 2, "sku": "SET", "component": "B"}


lines_of = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "SET", "DUO", "GONE"]),
        st.integers(1, 50),
        st.integers(0, 10_000),
        st.just("refuse"),
    ),
    min_size=1,
    max_size=8,
).map(tuple)
definitions = st.fixed_dictionaries(
    {
        name: st.lists(
            st.tuples(st.sampled_from(["A", "B", "C", "D"]), st.integers(1, 9)),
            max_size=4,
            unique_by=lambda one: one[0],
        )
        for name in ("SET", "DUO", "GONE")
    }
)


@given(lines_of, definitions, definitions)
def test_expanding_loses_no_unit_and_no_money_and_outlives_every_definition(lines, then, now):
    taken = bundles.expanded(lines, then)
    units = {}
    for sku, quantity, _, _ in lines:
        for part, per in then.get(sku) or [(sku, 1)]:
            units[part] = units.get(part, 0) + quantity * per
    held = {}
    for sku, quantity, _, mark in taken:
        if mark != bundles.SOLD:
            held[sku] = held.get(sku, 0) + quantity
    assert held == units
    assert [line[2] for line in taken] == [line[2] for line in lines] + [0] * (
        len(taken) - len(lines)
    )
    # whoever asks again under another definition is told what was taken then
    again = bundles.expanded(lines, now)
    assert bundles.as_accepted(again, bundles.parts_of(taken)) == taken
