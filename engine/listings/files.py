"""Listings from a CSV file: `channel,item_id,sku_id,sku,units_per`, UTF-8 with or without BOM."""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from engine.infra import sheets
from engine.infra.sheets import MalformedFile
from engine.listings.rules import Numbered
from engine.listings.types import LISTINGS_PER_FILE_MAX, UNITS_PER_MAX, Listing, RowFault

__all__ = ["COLUMNS", "MalformedFile", "Sheet", "parse", "read"]

COLUMNS: Final = ("channel", "item_id", "sku_id", "sku", "units_per")
_DIGITS_MAX: Final = len(str(UNITS_PER_MAX))


class Sheet(NamedTuple):
    """What a file says, each row by its line; `faults` are of rows that say nothing."""

    rows: list[Numbered]
    faults: list[RowFault]


def read(path: Path) -> Sheet:
    """Return the rows of a file.

    Raises:
        MalformedFile: it is not a CSV file of listings at all.
    """
    with sheets.opened(path) as lines:
        return parse(lines)


def parse(lines: Iterable[str]) -> Sheet:
    """Return the rows of a file's lines; empty ones are left out.

    Raises:
        MalformedFile: no such header, not CSV, or no row.
    """
    sheet = Sheet([], [])
    for line, named, detail in islice(sheets.rows(lines, COLUMNS), LISTINGS_PER_FILE_MAX + 1):
        if detail:
            sheet.faults.append(RowFault(line, "", detail))
        else:
            _take(sheet, line, named)
    if not 0 < len(sheet.rows) + len(sheet.faults) <= LISTINGS_PER_FILE_MAX:
        raise MalformedFile(f"a file has 1 to {LISTINGS_PER_FILE_MAX} rows below its header")
    return sheet


def _take(sheet: Sheet, line: int, named: Mapping[str, str]) -> None:
    faults = [
        RowFault(line, name, told)
        for name in ("item_id", "sku_id")
        if (told := sheets.shortened(named[name]))
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
