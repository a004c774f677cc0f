"""CSV files that people bring: rows with the line they begin on, UTF-8 with or without BOM.

It knows no column; a slice says which ones its files have, and reads what stands in them.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

# What a file of rejected rows has before their own columns; it can be mended and imported.
REJECTED: Final = ("line", "field", "reason")
# What a spreadsheet makes of a long number; the digits it dropped are gone.
_SHORTENED: Final = re.compile(r"\d(\.\d+)?E\+\d+", re.IGNORECASE)


class MalformedFile(Exception):
    """The file is not what it should be; the message says what to mend."""


class Row(NamedTuple):
    """What stands on a line; `detail` says what is wrong where that is no row of the table."""

    line: int
    named: Mapping[str, str]
    detail: str = ""


@contextmanager
def opened(path: Path) -> Iterator[Iterable[str]]:
    """Open a file for `rows`.

    Raises:
        MalformedFile: it cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise MalformedFile(
            f"{path.name} is not UTF-8 (byte {error.start}). Excel in Chinese saves CSV as GBK:"
            ' save it as "CSV UTF-8", or run iconv -f GBK -t UTF-8'
        ) from None
    except OSError as error:
        raise MalformedFile(f"{path.name} cannot be read: {error.strerror}") from None


def rows(
    lines: Iterable[str], required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[Row]:
    """Yield the rows below the header, stripped; empty ones are left out.

    Raises:
        MalformedFile: no such header, or not CSV.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not _fits(header, required, optional):
            more = f", and may have {','.join(optional)}" if optional else ""
            raise MalformedFile(f"line 1: the header must be {','.join(required)}{more}")
        for line, cells in _numbered(reader):
            if len(cells) == len(header):
                yield Row(line, dict(zip(header, map(str.strip, cells), strict=True)))
            else:
                told = f"{len(cells)} fields where the header has {len(header)}"
                yield Row(line, dict(zip(header, cells, strict=False)), told)
    except csv.Error as error:
        raise MalformedFile(f"line {reader.line_num}: not CSV: {error}") from None


def shortened(text: str) -> str:
    """Return what is wrong with an identifier that a spreadsheet took for a number, or ""."""
    if _SHORTENED.fullmatch(text):
        return f"{text!r} was shortened by a spreadsheet: format it as text"
    return ""


def _fits(header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> bool:
    named = set(header)
    return len(named) == len(header) and set(required) <= named <= {*required, *optional}


def _numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with the line on which each begins: a quoted field may hold line ends."""
    line = reader.line_num + 1  # type: ignore[attr-defined]  # csv's reader is no class one can name
    for cells in reader:
        if any(map(str.strip, cells)):
            yield line, cells
        line = reader.line_num + 1  # type: ignore[attr-defined]
