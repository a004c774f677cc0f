"""Counts from a file: what a row says, and how what is wrong is told."""

from datetime import UTC, date, datetime

import pytest

from engine.infra.sheets import Row
from engine.physical import files
from engine.physical.files import Defaults

NOW = datetime(2026, 11, 11, tzinfo=UTC)


def read(**named):
    row = {"node": "N", "sku": "A", "quantity": "1"} | named
    return files.read(Row(7, row), Defaults(NOW))


def test_what_a_row_does_not_say_is_as_usual():
    what = read()
    assert tuple(what.told) == (7, "N", "A", None, "good", "", "", 1, 0)
    assert tuple(what[1:]) == ("on_hand", NOW, 0, None, None)
    assert read(owner="", condition="", locked="", as_of="", sequence="", batch="") == what


def test_what_a_row_says():
    what = read(
        owner="o", condition="ZP", batch="b", unit="case", locked="2", basis="available",
        as_of="2026-11-11T01:00:00+08:00", sequence="9", expires_on="2027-01-31", quantity="-4",
    )  # fmt: skip
    assert tuple(what.told) == (7, "N", "A", "o", "ZP", "b", "case", -4, 2)
    moment = datetime(2026, 11, 10, 17, tzinfo=UTC)
    assert tuple(what[1:]) == ("available", moment, 9, None, date(2027, 1, 31))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("quantity", ""),
        ("quantity", "1.0"),
        ("quantity", "-1"),
        ("quantity", "１"),  # noqa: RUF001 - a full-width digit
        ("quantity", "1000000001"),
        ("quantity", "9" * 5_000),
        ("locked", "-1"),
        ("sequence", "x"),
        ("basis", "physical"),
        ("as_of", "2026-11-11"),
        ("as_of", "2026-11-11T00:00:00"),
        ("as_of", "2026-11-11T01:00:00Z"),
        ("expires_on", "31.1.2027"),
        ("sku", "6.78901E+11"),
    ],
)
def test_what_is_wrong_names_its_field(field, text):
    named = {"batch": "b"} | {field: text}
    assert [(one.n, one.field) for one in read(**named)] == [(7, field)]


def test_everything_that_is_wrong_is_told():
    faults = read(quantity="x", as_of="y", produced_on="2026-01-01")
    assert [one.field for one in faults] == ["quantity", "as_of", "batch"]
    (fault,) = files.read(Row(7, {}, "2 fields where the header has 3"), Defaults(NOW))
    assert fault == (7, "", "2 fields where the header has 3")
