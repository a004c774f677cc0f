"""Rows of files, cell by cell."""

from datetime import UTC, datetime

import pytest

from engine.infra.sheets import Row
from engine.physical.files import Defaults
from engine.shadow import files

NOW = datetime(2025, 11, 12, tzinfo=UTC)
PLACED = "2025-11-11T00:00:00Z"
ORDER = {"channel_order_id": "o-1", "placed_at": PLACED, "quantity": "2", "sku": "TEA"}
COUNT = {"node": "dc", "sku": "TEA", "quantity": "5", "as_of": PLACED}
NUMBER = {"seen_at": PLACED, "quantity": "0", "item_id": "i-1"}


def order(**cells):
    return files.order(Row(2, {**ORDER, **cells}), "tmall", NOW)


def test_a_line_is_known_by_its_name_or_by_what_it_is_of():
    assert order().line == "TEA"
    assert order(item_id="i-1", sku_id="red").line == "i-1/red"
    assert order(line_id="7").line == "7"


def test_a_row_that_names_its_channel_is_of_that():
    assert (order().channel, order(channel="mall").channel) == ("tmall", "mall")


def test_instants_are_the_same_in_any_zone():
    told = order(placed_at="2025-11-11T08:00:00+08:00")
    assert told.placed_at == datetime(2025, 11, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cells", "field", "told"),
    [
        ({"placed_at": ""}, "placed_at", "is required"),
        ({"placed_at": "2025-11-11 00:00"}, "placed_at", "with a zone"),
        ({"placed_at": "2025-11-13T00:00:00Z"}, "placed_at", "not in the future"),
        ({"quantity": "0"}, "quantity", "from 1 to"),
        ({"quantity": "-1"}, "quantity", "whole number"),
        ({"quantity": ""}, "quantity", "whole number"),
        ({"channel_order_id": ""}, "channel_order_id", "is required"),
        ({"channel_order_id": "6.7E+18"}, "channel_order_id", "shortened by a spreadsheet"),
        ({"sku": "a\x00b"}, "sku", "control characters"),
        ({"shipped_at": "2025-11-10T00:00:00Z"}, "shipped_at", "must not be before"),
    ],
)
def test_what_is_wrong_with_an_order_is_told_by_its_field(cells, field, told):
    faults = order(**cells)
    assert faults[0].n == 2
    assert faults[0].field == field
    assert told in faults[0].detail


def test_a_row_of_another_width_says_only_that():
    (fault,) = files.order(Row(9, {}, "3 fields where the header has 4"), "tmall", NOW)
    assert fault == (9, "", "3 fields where the header has 4")


def test_a_count_is_known_from_when_it_was_received():
    told = files.count(Row(2, {**COUNT, "received_at": "2025-11-11T01:00:00Z"}), Defaults(NOW))
    assert (told.received_at - told.read.as_of).total_seconds() == 3_600
    assert files.count(Row(2, COUNT), Defaults(NOW)).received_at == told.read.as_of


@pytest.mark.parametrize(
    ("cells", "field"),
    [({"as_of": ""}, "as_of"), ({"safety": "x"}, "safety"), ({"quantity": "x"}, "quantity")],
)
def test_what_is_wrong_with_a_count_is_told_by_its_field(cells, field):
    (fault,) = files.count(Row(2, {**COUNT, **cells}), Defaults(NOW))
    assert fault.field == field


def test_a_shop_may_show_nothing():
    assert files.number(Row(2, NUMBER), "tmall", NOW).quantity == 0
    (fault,) = files.number(Row(2, {**NUMBER, "item_id": ""}), "tmall", NOW)
    assert fault.field == "sku"
