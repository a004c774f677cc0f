"""Listings from a file: what is read, and how what is wrong is told."""

import pytest

from engine.listings import files
from engine.listings.types import Listing, RowFault

HEADER = "channel,item_id,sku_id,sku,units_per\n"


def parse(text):
    return files.parse(text.splitlines(keepends=True))


def test_rows_are_numbered_by_the_line_they_begin_on():
    text = f'{HEADER}shop,1,,A,1\n\n , ,,,\nshop,"2\n3",,B,2\nshop, 4 ,5,C,10\n'
    assert parse(text) == (
        [
            (2, Listing("shop", "1", "A", 1)),
            (5, Listing("shop", "2\n3", "B", 2)),
            (7, Listing("shop", "4", "C", 10, "5")),
        ],
        [],
    )


def test_columns_may_stand_in_any_order():
    (row,) = parse("sku,channel,units_per,sku_id,item_id\nA,shop,3,v,i\n").rows
    assert row == (2, Listing("shop", "i", "A", 3, "v"))


@pytest.mark.parametrize("units", ["", "1.0", "-1", "+1", "１", "1e3", "1000000", "x"])  # noqa: RUF001 - a full-width digit
def test_units_are_a_whole_number(units):
    sheet = parse(f"{HEADER}shop,1,,A,{units}\nshop,2,,A,1\n")
    assert [(one.row, one.field) for one in sheet.faults] == [(2, "units_per")]
    assert len(sheet.rows) == 1


@pytest.mark.parametrize("text", ["6.78901E+11", "6e+12", "6.7E+11"])
def test_a_number_that_a_spreadsheet_shortened_is_no_id(text):
    sheet = parse(f"{HEADER}shop,{text},1,A,1\nshop,1,{text},A,1\n")
    assert [(one.row, one.field) for one in sheet.faults] == [(2, "item_id"), (3, "sku_id")]
    assert all("format it as text" in one.detail for one in sheet.faults)
    assert sheet.rows == []


def test_a_row_of_another_length_is_told_and_the_others_are_read():
    sheet = parse(f"{HEADER}shop,1,A,1\nshop,2,,A,1\n")
    assert sheet.faults == [RowFault(2, "", "4 fields where the header has 5")]
    assert [line for line, _ in sheet.rows] == [3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: the header must be channel,item_id,sku_id,sku,units_per"),
        ("channel;item_id;sku_id;sku;units_per\n", "line 1: the header"),
        ("channel,item_id,sku_id,sku\n", "line 1: the header"),
        (HEADER, "a file has 1 to 500000 rows"),
        (f'{HEADER}shop,"1,,A,1\n', "line 2: not CSV"),
    ],
)
def test_what_is_no_such_file_is_refused_as_a_whole(text, told):
    with pytest.raises(files.MalformedFile, match=told):
        parse(text)


def test_a_file_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(files, "LISTINGS_PER_FILE_MAX", 2)
    parse(f"{HEADER}shop,1,,A,1\nshop,1,,A,0.5\n")
    with pytest.raises(files.MalformedFile, match="1 to 2 rows"):
        parse(f"{HEADER}shop,1,,A,1\nshop,1,,A,0.5\nshop,1,,A,1\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_mark_at_the_begin_of_the_file_is_no_part_of_the_header(tmp_path, encoding):
    path = tmp_path / "listings.csv"
    path.write_text(f"{HEADER}shop,商品,,A,1\r\n", encoding=encoding)
    assert files.read(path).rows == [(2, Listing("shop", "商品", "A", 1))]


def test_gbk_is_named_where_it_is_not_utf_8(tmp_path):
    path = tmp_path / "listings.csv"
    path.write_text(f"{HEADER}shop,商品,,A,1\n", encoding="gbk")
    with pytest.raises(files.MalformedFile, match=r"listings\.csv is not UTF-8 .*GBK.*iconv"):
        files.read(path)
