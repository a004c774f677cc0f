"""Files of a shadow: orders, counts and shown numbers as another system exports them, row by row.

A file that was rejected can be mended and imported: its three more columns are left out.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from engine.infra import sheets
from engine.infra.sheets import Row
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import IDENTIFIER_LENGTH_MAX, QUANTITY_MAX
from engine.physical import files as counts
from engine.physical.files import Defaults, Reader
from engine.physical.rules.lines import LineFault
from engine.physical.service.imports import Read
from engine.physical.types.stock import STOCK_QUANTITY_MAX
from engine.shadow.types import OrderLine, Shown

ORDER_COLUMNS: Final = (
    "channel", "channel_order_id", "placed_at", "quantity", "sku", "item_id", "sku_id", "line_id",
    "version", "node", "known_at", "accepted_at", "shipped_at", "cancelled_at",
)  # fmt: skip
COUNT_COLUMNS: Final = (*counts.REQUIRED, *counts.OPTIONAL, "received_at", "safety")
NUMBER_COLUMNS: Final = ("channel", "seen_at", "quantity", "sku", "item_id", "sku_id")
_ORDERS_REQUIRED: Final = ("channel_order_id", "placed_at", "quantity")
_NUMBERS_REQUIRED: Final = ("seen_at", "quantity")
_NAME: Final = f"1 to {IDENTIFIER_LENGTH_MAX} characters without control characters"


class CountRow(NamedTuple):
    """A count as the importer of counts reads it, units to keep, and when it was known."""

    read: Read
    safety: int
    received_at: datetime


def order_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of orders.

    Raises:
        MalformedFile: it is no such CSV file at all.
    """
    with sheets.opened(path) as lines:
        yield from sheets.rows(lines, _ORDERS_REQUIRED, (*ORDER_COLUMNS, *sheets.REJECTED))


def count_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of counts.

    Raises:
        MalformedFile: it is no such CSV file at all.
    """
    with sheets.opened(path) as lines:
        yield from sheets.rows(lines, counts.REQUIRED, (*COUNT_COLUMNS, *sheets.REJECTED))


def number_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of shown numbers.

    Raises:
        MalformedFile: it is no such CSV file at all.
    """
    with sheets.opened(path) as lines:
        yield from sheets.rows(lines, _NUMBERS_REQUIRED, (*NUMBER_COLUMNS, *sheets.REJECTED))


def order(row: Row, channel: str, now: datetime) -> OrderLine | list[LineFault]:
    """Return what a row says, or all that is wrong with it; `channel` is of rows that name none.

    A line without a name of its own is known by what it is of.
    """
    reader = _Reader(row, now)
    item_id, sku_id, sku = reader.what()
    placed_at = reader.moment("placed_at")
    found = OrderLine(
        reader.name("channel", channel), reader.name("channel_order_id"),
        reader.optional("line_id") or "/".join(filter(None, (item_id, sku_id))) or sku,
        reader.optional("version"), item_id, sku_id, sku, reader.optional("node"),
        reader.pieces(1), placed_at, reader.later("known_at", placed_at),
        reader.later("accepted_at", placed_at), reader.later("shipped_at", placed_at),
        reader.later("cancelled_at", placed_at),
    )  # fmt: skip
    return reader.wrong() or found


def number(row: Row, channel: str, now: datetime) -> Shown | list[LineFault]:
    """Return what a row says, or all that is wrong with it; `channel` is of rows that name none."""
    reader = _Reader(row, now)
    what, seen_at = reader.what(), reader.moment("seen_at")
    found = Shown(reader.name("channel", channel), *what, seen_at, reader.pieces(0))
    return reader.wrong() or found


def count(row: Row, defaults: Defaults) -> CountRow | list[LineFault]:
    """Return what a row says, or all that is wrong with it.

    What `tidegate import stock` says of a row counts here too, but that a count without an instant
    says nothing of a history.
    """
    read = counts.read(row, defaults)
    reader = _Reader(row, defaults.as_of)
    safety = reader.number("safety", STOCK_QUANTITY_MAX, 0)
    if not row.named.get("as_of"):
        reader.fault("as_of", "is required: a report asks what was known when")
    if not isinstance(read, Read):
        return [*read, *(one for one in reader.faults if one not in read)]
    received_at = reader.later("received_at", read.as_of) or read.as_of
    return reader.faults or CountRow(read, safety, received_at)


class _Reader(Reader):
    """Reads the fields of one row of a history."""

    def __init__(self, row: Row, now: datetime) -> None:
        super().__init__(row.line, row.named)
        self._row, self._now = row, now

    def wrong(self) -> list[LineFault]:
        """Return all that is wrong with the row."""
        return (
            [LineFault(self._row.line, "", self._row.detail)] if self._row.detail else self.faults
        )

    def name(self, field: str, default: str = "") -> str:
        """Return an identifier."""
        text = self.optional(field) or default
        if not text:
            self.fault(field, f"is required: {_NAME}")
        return text

    def optional(self, field: str) -> str:
        """Return an identifier, "" when the field is empty."""
        text = self.text(field)
        if not text:
            return ""
        try:
            return codec.identifier(text, "")
        except ValidationFailed:
            self.fault(field, f"must be {_NAME}")
            return ""

    def what(self) -> tuple[str, str, str]:
        """Return the link, the SKU, or both: item_id, sku_id, sku."""
        item_id, sku_id, sku = (self.optional(name) for name in ("item_id", "sku_id", "sku"))
        if not (item_id or sku):
            self.fault("sku", "a row says its sku, or the item_id of the link")
        return item_id, sku_id if item_id else "", sku

    def pieces(self, least: int) -> int:
        """Return a number of pieces."""
        many = self.number("quantity", QUANTITY_MAX)
        if many < least and not any(one.field == "quantity" for one in self.faults):
            self.fault("quantity", f"must be a whole number from {least} to {QUANTITY_MAX}")
        return many

    def moment(self, field: str) -> datetime:
        """Return an instant that has to be there."""
        if not self._row.named.get(field):
            self.fault(field, "is required: an instant with a zone, as in RFC 3339")
        return self.instant(field, self._now) or self._now

    def later(self, field: str, start: datetime) -> datetime | None:
        """Return an instant that is not before another, None when the field is empty."""
        at = self.instant(field, self._now)
        if at is not None and at < start:
            self.fault(field, "must not be before it began")
        return at
