"""What mappings may say, and how many go together."""

import pytest

from engine.listings import rules
from engine.listings.types import BadRows, Kept, Listing, RowFault


def listing(item="1", sku="A", units=1, channel="shop", sku_id=""):
    return Listing(channel, item, sku, units, sku_id)


def test_an_item_without_variants_is_a_link():
    assert list(rules.faults_of(0, listing(sku_id=""))) == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"channel": ""}, "channel"),
        ({"item": "x" * 129}, "item_id"),
        ({"item": "a\nb"}, "item_id"),
        ({"sku_id": "x" * 129}, "sku_id"),
        ({"sku_id": "\x00"}, "sku_id"),
        ({"sku": "\ud800"}, "sku"),
        ({"units": 0}, "units_per"),
        ({"units": 10_001}, "units_per"),
    ],
)
def test_what_cannot_be_kept_is_named(fields, wrong):
    (fault,) = rules.faults_of(7, listing(**fields))
    assert (fault.row, fault.field) == (7, wrong)


def test_everything_wrong_with_a_row_is_told():
    assert [one.field for one in rules.faults_of(0, listing("", "", 0))] == [
        "item_id", "sku", "units_per",
    ]  # fmt: skip


def test_channels_and_skus_have_to_exist():
    rows = [(3, listing()), (4, listing(channel="other", sku="B"))]
    assert list(rules.unknown(rows, {"shop"}, {"A"})) == [
        RowFault(4, "channel", "there is no such channel"),
        RowFault(4, "sku", "there is no such SKU"),
    ]


def test_the_same_twice_is_no_contradiction_but_other_units_are():
    rows = [(1, listing()), (2, listing()), (3, listing(units=2)), (4, listing(sku="B", units=2))]
    assert list(rules.contradictions(rows)) == [
        RowFault(3, "units_per", "was 1 before, for the same link and SKU")
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_link_is_never_cut_in_two(size):
    items = ["2", "1", "3", "2", "1", "2", "4"]
    rows = [(n, listing(item, f"S{n}")) for n, item in enumerate(items)]
    slices = list(rules.in_slices(rows, size))
    assert sorted(one.sku for part in slices for one in part) == [f"S{n}" for n in range(7)]
    links = [{one.link for one in part} for part in slices]
    assert sum(map(len, links)) == len(set().union(*links)) == 4
    assert len(slices) == {1: 4, 2: 3, 3: 2, 100: 1}[size]


def test_counts_of_slices_add_up():
    assert Kept(1, 2, 3, 4, 5).plus(Kept(10, 20, 30, 40, 50)) == Kept(11, 22, 33, 44, 55)


def test_faults_are_told_in_the_order_of_rows():
    faults = [RowFault(9, "sku", "x"), RowFault(1, "sku", "x"), RowFault(1, "channel", "x")]
    assert [(one.row, one.field) for one in BadRows(faults).faults] == [
        (1, "channel"), (1, "sku"), (9, "sku"),
    ]  # fmt: skip
