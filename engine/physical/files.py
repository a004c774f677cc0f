"""Counts from a CSV file: who counted how many of what, where; rows are read one by one.

A file that was rejected is a file that can be mended and imported: its three more columns are left
out when it is read.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Final, NamedTuple, get_args

import msgspec

from engine.infra import sheets
from engine.infra.sheets import Row
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.physical.rules import lines as rules
from engine.physical.rules.lines import LineFault, Told
from engine.physical.service.imports import Read
from engine.physical.types.facts import Basis
from engine.physical.types.stock import STOCK_QUANTITY_MAX

REQUIRED: Final = ("node", "sku", "quantity")
OPTIONAL: Final = (
    "owner",
    "condition",
    "batch",
    "unit",
    "locked",
    "basis",
    "as_of",
    "sequence",
    "produced_on",
    "expires_on",
)
_BASES: Final = get_args(Basis)
SEQUENCE_MAX: Final = 2**62
_DIGITS_MAX: Final = len(str(SEQUENCE_MAX))


class Defaults(NamedTuple):
    """What a row says that says nothing."""

    as_of: datetime
    basis: Basis = "on_hand"


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        MalformedFile: it is not a CSV file of counts at all.
    """
    with sheets.opened(path) as lines:
        yield from sheets.rows(lines, REQUIRED, (*OPTIONAL, *sheets.REJECTED))


def read(row: Row, defaults: Defaults) -> Read | list[LineFault]:
    """Return what a row says, or everything that is wrong with it by itself."""
    if row.detail:
        return [LineFault(row.line, "", row.detail)]
    reader = Reader(row.line, row.named)
    basis = reader.basis(defaults.basis)
    told = Told(
        row.line,
        reader.text("node"),
        reader.text("sku"),
        reader.text("owner") or None,
        reader.text("condition") or "good",
        reader.text("batch"),
        reader.text("unit"),
        reader.quantity(basis),
        reader.number("locked", STOCK_QUANTITY_MAX, 0),
    )
    what = Read(
        told,
        basis,
        reader.instant("as_of", defaults.as_of) or defaults.as_of,
        reader.number("sequence", SEQUENCE_MAX, 0),
        reader.day("produced_on"),
        reader.day("expires_on"),
    )
    if (what.produced_on or what.expires_on) and not told.batch:
        reader.fault("batch", "is required with dates: they are a batch's")
    if not rules.in_order(what.produced_on, what.expires_on):
        reader.fault("expires_on", rules.NOT_IN_ORDER)
    return reader.faults or what


class Reader:
    """Reads the fields of one row and collects what is wrong with them."""

    def __init__(self, line: int, named: Mapping[str, str]) -> None:
        """Begin with the row of a line."""
        self._line, self._named = line, named
        self.faults: list[LineFault] = []

    def fault(self, field: str, detail: str) -> None:
        """Note what is wrong with a field."""
        self.faults.append(LineFault(self._line, field, detail))

    def text(self, field: str) -> str:
        """Return a text that no spreadsheet has shortened."""
        text = self._named.get(field, "")
        if wrong := sheets.shortened(text):
            self.fault(field, wrong)
        return text

    def number(
        self, field: str, most: int, default: int | None = None, text: str | None = None
    ) -> int:
        """Return a whole number, `default` when the field is empty."""
        text = self._named.get(field, "") if text is None else text
        if not text and default is not None:
            return default
        sound = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX
        if sound and int(text) <= most:
            return int(text)
        self.fault(field, f"must be a whole number from 0 to {most}")
        return 0

    def quantity(self, basis: Basis) -> int:
        """Return the counted units; below 0 is possible where promised ones are taken off."""
        text = self._named["quantity"]
        if basis == "available" and text.startswith("-"):
            return -self.number("quantity", STOCK_QUANTITY_MAX, text=text[1:])
        return self.number("quantity", STOCK_QUANTITY_MAX)

    def basis(self, default: Basis) -> Basis:
        """Return what the quantity means."""
        text = self._named.get("basis", "") or default
        if text not in _BASES:
            self.fault("basis", f"must be one of {', '.join(_BASES)}")
            return default
        found: Basis = "available" if text == "available" else "on_hand"
        return found

    def instant(self, field: str, now: datetime) -> datetime | None:
        """Return an instant that is not after `now`, None when the field is empty."""
        text = self._named.get(field, "")
        if not text:
            return None
        try:
            return rules.not_ahead(msgspec.convert(text, codec.Instant), now, "")
        except (msgspec.ValidationError, ValidationFailed):
            accepted = "must be an instant with a zone, as in RFC 3339, and not in the future"
            self.fault(field, accepted)
            return None

    def day(self, field: str) -> date | None:
        """Return a date, None when the field is empty."""
        text = self._named.get(field, "")
        if not text:
            return None
        try:
            return msgspec.convert(text, date)
        except msgspec.ValidationError:
            self.fault(field, "must be a date: YYYY-MM-DD")
            return None
