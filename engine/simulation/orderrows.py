"""Rows of a CSV file of order lines, cell by cell.

What is not as documented is refused at its line and column; what rows mean as orders is the
business of `orderfile`.
"""

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final, NamedTuple

COLUMNS: Final = (
    "order_no", "sku", "name", "quantity", "placed_at", "unit_price", "buyer_id", "country",
)  # fmt: skip
CURRENCY_COLUMN: Final = "currency"  # may be given; without it money is pounds
CURRENCY_DEFAULT: Final = "GBP"
CHANNEL_COLUMN: Final = "channel"  # may be given; which shop the order came to

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
    channel: str = ""


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


def _check_header(header: list[str]) -> None:
    if not header:
        raise MalformedFile(f"line 1: empty; the header is {','.join(COLUMNS)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    optional = (CURRENCY_COLUMN, CHANNEL_COLUMN)
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in {*COLUMNS, *optional}]
    for names, what in ((missing, "missing"), (unknown, "not known"), (twice, "given twice")):
        if names:
            raise MalformedFile(
                f"line 1: column {', '.join(map(repr, names))} is {what};"
                f" the header is {','.join(COLUMNS)} and, if you like, {' and '.join(optional)}"
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
        channel=_text(named.get(CHANNEL_COLUMN, ""), line, CHANNEL_COLUMN),
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
