"""Order lines of a CSV file as demand.

A file that cannot be read as documented is refused before anything starts, with its line and its
column. What can be read but not sold (no units, a price below nothing, a cancel of nothing) is left
out and noted with its line.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Final, NamedTuple

from engine.kernel.clock import rfc3339, to_ms
from engine.simulation.types import Cancel, Demand, Line, Order, Pay, Step

COLUMNS: Final = (
    "order_no", "sku", "name", "quantity", "placed_at", "unit_price", "buyer_id", "country",
)  # fmt: skip
CURRENCY_COLUMN: Final = "currency"  # may be given; without it money is pounds
CURRENCY_DEFAULT: Final = "GBP"
SKUS_MAX: Final = 10_000  # of one campaign

_DIGITS: Final = {
    "BHD": 3,
    "CLP": 0,
    "ISK": 0,
    "JOD": 3,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "OMR": 3,
    "PYG": 0,
    "TND": 3,
    "UGX": 0,
    "VND": 0,
}  # fmt: skip - ISO 4217; all others have 2
_IDENTIFIER_MAX: Final = 100  # a run's mark goes before an order number
_NAME_MAX: Final = 512
_QUANTITY_DIGITS_MAX: Final = 9
_PRICE_MAX: Final = Decimal(10) ** 9
_PAID_OF_TEN: Final = 8
_ORDERS_PER_SECOND: Final = 400
_DURATION_S_MIN: Final = 5.0


class MalformedFile(Exception):
    """The file is not order lines; the message says where and what is accepted there."""


class Row(NamedTuple):
    """One line of the file; `price` is minor units, `rounded` says that it had more digits."""

    line: int
    order_no: str
    sku: str
    name: str
    quantity: int
    placed_at: datetime
    price: int
    buyer: str
    country: str
    rounded: bool = False


@dataclass(slots=True)
class _Draft:
    """An order that is being put together."""

    first: Row
    rows: list[Row] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    cancels: list[Cancel] = field(default_factory=list)


def read(path: Path) -> Demand:
    """Return the demand of a file.

    Raises:
        MalformedFile: with what to mend.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            currency, rows = parse(file)
    except UnicodeDecodeError as error:
        raise MalformedFile(f"{path.name} is not UTF-8 (byte {error.start}): save it so") from None
    except OSError as error:
        raise MalformedFile(f"{path.name} cannot be read: {error.strerror}") from None
    return demand_of(path.name, currency, rows)


def parse(lines: Iterable[str]) -> tuple[str, list[Row]]:
    """Return the currency and all rows.

    Raises:
        MalformedFile: at the first place that is not as documented.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header)
        currencies: dict[str, int] = {}
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise MalformedFile(
                    f"line {reader.line_num}: {len(cells)} fields where the header has"
                    f" {len(header)}: quote a field that holds a comma"
                )
            named = dict(zip(header, map(str.strip, cells), strict=True))
            currency = _currency(named, reader.line_num)
            currencies.setdefault(currency, reader.line_num)
            rows.append(_row(named, reader.line_num, _DIGITS.get(currency, 2)))
    except csv.Error as error:
        raise MalformedFile(f"line {reader.line_num}: not CSV: {error}") from None
    if len(currencies) > 1:
        other, line = list(currencies.items())[1]
        raise MalformedFile(f"line {line}, column currency: {other}: one file has one currency")
    if not any(row.quantity > 0 for row in rows):
        raise MalformedFile("no line with a quantity above 0: there is nothing to order")
    return next(iter(currencies)), rows


def demand_of(title: str, currency: str, rows: Iterable[Row]) -> Demand:
    """Return the demand of rows: orders in file order, stock 0.9 of what each SKU is asked for.

    Stock is rounded down, so a SKU asked for once has none. An order's dearest line decides over
    it; the others are left out when they are sold out, or a file of long orders would hardly sell.
    """
    notes: list[str] = []
    drafts: dict[str, _Draft] = {}
    for row in rows:
        notes += _odd(row)
        if row.quantity > 0 and row.price >= 0:
            draft = drafts.setdefault(row.order_no, _Draft(row))
            if row.buyer != draft.first.buyer:
                notes.append(f"line {row.line}: another buyer_id than its order has; ignored")
            draft.rows.append(row)
            draft.left.append(row.quantity)
        elif row.quantity < 0:
            notes += _cancel(row, drafts)
    wanted: dict[str, int] = {}
    names: dict[str, str] = {}
    for draft in drafts.values():
        for row in draft.rows:
            wanted[row.sku] = wanted.get(row.sku, 0) + row.quantity
            names[row.sku] = names.get(row.sku) or row.name
    if len(wanted) > SKUS_MAX:
        raise MalformedFile(f"{len(wanted)} SKUs: one sale takes at most {SKUS_MAX}")
    duration_s = max(_DURATION_S_MIN, len(drafts) / _ORDERS_PER_SECOND)
    return Demand(
        title=title,
        currency=currency,
        orders=[
            _order(draft, n, duration_s * n / len(drafts))
            for n, draft in enumerate(drafts.values())
        ],
        stock={sku: units * 9 // 10 for sku, units in wanted.items()},
        names={sku: name or sku for sku, name in names.items()},
        notes=notes,
    )


def _order(draft: _Draft, n: int, at_s: float) -> Order:
    dearest = max(
        range(len(draft.rows)), key=lambda i: draft.rows[i].price * draft.rows[i].quantity
    )
    lines = tuple(
        Line(row.sku, row.quantity, row.price, droppable=i != dearest)
        for i, row in enumerate(draft.rows)
    )
    # who pays, and before or after a cancel, follows from the place in the file: no chance
    pays: list[Step] = [Pay(0.5)] if n % 10 < _PAID_OF_TEN else []
    steps = [*draft.cancels, *pays] if n % 2 else [*pays, *draft.cancels]
    return Order(
        order_no=draft.first.order_no,
        buyer=draft.first.buyer,
        at_s=at_s,
        lines=lines,
        steps=tuple(steps),
        placed_at=rfc3339(to_ms(draft.first.placed_at)),
        country=draft.first.country,
    )


def _cancel(row: Row, drafts: dict[str, _Draft]) -> Iterator[str]:
    """Give the units of a negative row to earlier orders of this buyer and SKU, latest first."""
    wanted = -row.quantity
    for draft in reversed(drafts.values()):
        if draft.first.buyer != row.buyer or draft.first.order_no == row.order_no:
            continue
        taken = []
        for i in reversed(range(len(draft.rows))):
            units = min(wanted, draft.left[i]) if draft.rows[i].sku == row.sku else 0
            if units:
                draft.left[i] -= units
                wanted -= units
                taken.append((i + 1, units))
        if taken:
            cancel_id = f"{row.order_no}:{row.line}"
            draft.cancels.append(Cancel(0.5, cancel_id, tuple(taken)))
        if not wanted:
            return
    yield (
        f"line {row.line}: {wanted} of {-row.quantity} cancelled units of {row.sku} match no"
        " earlier order of this buyer"
    )


def _odd(row: Row) -> Iterator[str]:
    if row.quantity == 0:
        yield f"line {row.line}: quantity 0; left out"
    elif row.price < 0 < row.quantity:
        yield f"line {row.line}: unit_price below 0; left out"
    elif row.rounded:
        yield f"line {row.line}: unit_price has more digits than its currency; rounded"


def _check_header(header: list[str]) -> None:
    if not header:
        raise MalformedFile(f"line 1: empty; the header is {','.join(COLUMNS)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in {*COLUMNS, CURRENCY_COLUMN}]
    for names, what in ((missing, "missing"), (unknown, "not known"), (twice, "given twice")):
        if names:
            raise MalformedFile(
                f"line 1: column {', '.join(map(repr, names))} is {what};"
                f" the header is {','.join(COLUMNS)} and, if you like, {CURRENCY_COLUMN}"
            )


def _currency(named: dict[str, str], line: int) -> str:
    text = named.get(CURRENCY_COLUMN) or CURRENCY_DEFAULT
    if not (len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()):  # noqa: PLR2004 - ISO 4217
        raise _bad(line, CURRENCY_COLUMN, text, "three capital letters, as in ISO 4217")
    return text


def _row(named: dict[str, str], line: int, digits: int) -> Row:
    order_no = _identifier(named["order_no"], line, "order_no")
    price, rounded = _price(named["unit_price"], line, digits)
    return Row(
        line=line,
        order_no=order_no,
        sku=_identifier(named["sku"], line, "sku"),
        name=_text(named["name"], line, "name"),
        quantity=_quantity(named["quantity"], line),
        placed_at=_instant(named["placed_at"], line),
        price=price,
        buyer=_identifier(named["buyer_id"] or f"guest-{order_no}", line, "buyer_id"),
        country=_text(named["country"], line, "country"),
        rounded=rounded,
    )


def _identifier(text: str, line: int, column: str) -> str:
    if not 0 < len(text) <= _IDENTIFIER_MAX or not text.isprintable():
        raise _bad(line, column, text, f"1 to {_IDENTIFIER_MAX} printable characters")
    return text


def _text(text: str, line: int, column: str) -> str:
    if len(text) > _NAME_MAX or "\0" in text:
        raise _bad(line, column, text, f"at most {_NAME_MAX} characters, none of them NUL")
    return text


def _quantity(text: str, line: int) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _QUANTITY_DIGITS_MAX):
        raise _bad(line, "quantity", text, "a whole number; below 0 it cancels")
    return int(text)


def _price(text: str, line: int, digits: int) -> tuple[int, bool]:
    accepted = "a decimal number with a point, such as 12.95"
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise _bad(line, "unit_price", text, accepted) from None
    if not price.is_finite() or abs(price) > _PRICE_MAX:
        raise _bad(line, "unit_price", text, accepted)
    scaled = price.scaleb(digits)
    whole = scaled.to_integral_value(ROUND_HALF_UP)
    return int(whole), whole != scaled


def _instant(text: str, line: int) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _bad(
            line, "placed_at", text, "an ISO 8601 instant; without a zone it is UTC"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not datetime(2000, 1, 2, tzinfo=UTC) <= moment < datetime(2199, 1, 1, tzinfo=UTC):
        raise _bad(line, "placed_at", text, "an instant between the years 2000 and 2198")
    return moment


def _bad(line: int, column: str, text: str, accepted: str) -> MalformedFile:
    shown = text if len(text) <= 40 else text[:40] + "…"  # noqa: PLR2004 - what fits beside the rest
    return MalformedFile(f"line {line}, column {column}: {shown!r} is not {accepted}")
