"""Listings from a CSV file: `channel,item_id,sku_id,sku,units_per`, UTF-8 with or without BOM."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from engine.listings.rules import Numbered
from engine.listings.types import LISTINGS_PER_FILE_MAX, UNITS_PER_MAX, Listing, RowFault

COLUMNS: Final = ("channel", "item_id", "sku_id", "sku", "units_per")
# What a spreadsheet makes of a long number; the digits it dropped are gone.
_SHORTENED: Final = re.compile(r"\d(\.\d+)?E\+\d+", re.IGNORECASE)
_DIGITS_MAX: Final = len(str(UNITS_PER_MAX))


class MalformedFile(Exception):
    """The file is not listings; the message says what to mend."""


class Sheet(NamedTuple):
    """What a file says, each row by its line; `faults` are of rows that say nothing."""

    rows: list[Numbered]
    faults: list[RowFault]


def read(path: Path) -> Sheet:
    """Return the rows of a file.

    Raises:
        MalformedFile: it is not a CSV file of listings at all.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return parse(file)
    except UnicodeDecodeError as error:
        raise MalformedFile(
            f"{path.name} is not UTF-8 (byte {error.start}). Excel in Chinese saves CSV as GBK:"
            ' save it as "CSV UTF-8", or run iconv -f GBK -t UTF-8'
        ) from None
    except OSError as error:
        raise MalformedFile(f"{path.name} cannot be read: {error.strerror}") from None


def parse(lines: Iterable[str]) -> Sheet:
    """Return the rows of a file's lines; empty ones are left out.

    Raises:
        MalformedFile: no such header, not CSV, or no row.
    """
    reader = csv.reader(lines, strict=True)
    sheet = Sheet([], [])
    try:
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != sorted(COLUMNS):
            raise MalformedFile(f"line 1: the header must be {','.join(COLUMNS)}")
        for line, cells in islice(_numbered(reader), LISTINGS_PER_FILE_MAX + 1):
            if len(cells) == len(header):
                _take(sheet, line, dict(zip(header, map(str.strip, cells), strict=True)))
            else:
                told = f"{len(cells)} fields where the header has {len(header)}"
                sheet.faults.append(RowFault(line, "", told))
    except csv.Error as error:
        raise MalformedFile(f"line {reader.line_num}: not CSV: {error}") from None
    if not 0 < len(sheet.rows) + len(sheet.faults) <= LISTINGS_PER_FILE_MAX:
        raise MalformedFile(f"a file has 1 to {LISTINGS_PER_FILE_MAX} rows below its header")
    return sheet


def _numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with the line on which each begins: a quoted field may hold line ends."""
    line = reader.line_num + 1  # type: ignore[attr-defined]  # csv's reader is no class one can name
    for cells in reader:
        if any(map(str.strip, cells)):
            yield line, cells
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _take(sheet: Sheet, line: int, named: dict[str, str]) -> None:
    faults = [
        RowFault(line, name, f"{named[name]!r} was shortened by a spreadsheet: format it as text")
        for name in ("item_id", "sku_id")
        if _SHORTENED.fullmatch(named[name])
    ]
    units = named["units_per"]
    if units.isascii() and units.isdecimal() and len(units) <= _DIGITS_MAX:
        one = Listing(named["channel"], named["item_id"], named["sku"], int(units), named["sku_id"])
        if not faults:
            sheet.rows.append((line, one))
    else:
        accepted = f"must be a whole number from 1 to {UNITS_PER_MAX}"
        faults.append(RowFault(line, "units_per", accepted))
    sheet.faults.extend(faults)
