"""Values by our names to Qimen's elements and back, as the rows of a table say.

Money is written in yuan with two decimals, weights in kg, sizes in cm, volumes in litres; read,
they are integers of fen, g, mm and cm³, rounded half up. Instants are Beijing's, without a zone.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, TypeAlias

from engine.kernel import codec
from engine.kernel.limits import AMOUNT_MAX
from engine.wms.rules.qimen_fields import Field, Kind, Table
from engine.wms.rules.xml import Content, Element

Values: TypeAlias = dict[str, Any]

BEIJING: Final = timezone(timedelta(hours=8))
INSTANT: Final = "%Y-%m-%d %H:%M:%S"
_DAY: Final = "%Y-%m-%d"
_SCALES: Final[Mapping[Kind, int]] = {"money": 100, "kg": 1_000, "cm": 10, "litre": 1_000}
_DIGITS: Final[Mapping[Kind, int]] = {"money": 2, "kg": 3, "cm": 1, "litre": 3}
# What we find things by, and what stands on labels.
_NAMES: Final = frozenset({"consignment_id", "report_id", "carrier", "waybill", "sku"})
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,16}(\.[0-9]{1,9})?")


def write(table: Table, values: Mapping[str, Any]) -> Content:
    """Return a message's elements; what is None or "" is left out.

    Raises:
        ValidationFailed: something that must be there is not, or is too long to be written.
    """
    root: dict[str, Any] = {}
    for field in table.fields:
        value = values.get(field.ours)
        if value is None or value == "":
            if field.required:
                codec.refuse(f"/{field.path}", "is required")
            continue
        _place(root, field.path, _written(field, value))
    for group in table.groups:
        several = values.get(group.ours) or ()
        if group.required and not several:
            codec.refuse(f"/{group.path}", "is required")
        if several:
            _place(root, group.path, [write(group.table, one) for one in several])
    return _content(root)


def read(table: Table, element: Element, at: str = "") -> Values:
    """Return what an element says, by our names; what is not there, or is empty, is left out.

    Raises:
        ValidationFailed: something that must be there is not, or is not of its type.
    """
    values: Values = {}
    for field in table.fields:
        text = _text(element, field.path)
        if text:
            values[field.ours] = _read(field, text, f"{at}/{field.path}")
        elif field.required:
            codec.refuse(f"{at}/{field.path}", "is required")
    for group in table.groups:
        found = element.all(group.path)
        if group.required and not found:
            codec.refuse(f"{at}/{group.path}", "is required")
        values[group.ours] = [
            read(group.table, one, f"{at}/{group.path}/{n}") for n, one in enumerate(found)
        ]
    return values


def instant(text: str, at: str) -> datetime:
    """Return a moment that was written in Beijing's time."""
    try:
        moment = datetime.strptime(text, INSTANT).replace(tzinfo=BEIJING)
    except ValueError as failure:
        codec.refuse(at, "must be like 2026-11-11 00:00:00", failure)
    return codec.instant(moment, at).astimezone(UTC)


def _text(element: Element, path: str) -> str:
    if not path:  # the element itself
        return "".join(element.parts).strip()
    return element.first(path) or ""


def _place(root: dict[str, Any], path: str, value: Any) -> None:
    *steps, last = path.split("/")
    for step in steps:
        root = root.setdefault(step, {})
    root[last] = value


def _content(tree: dict[str, Any]) -> Content:
    content: list[tuple[str, Content]] = []
    for name, value in tree.items():
        if isinstance(value, list):
            content += [(name, one) for one in value]
        else:
            content.append((name, _content(value) if isinstance(value, dict) else value))
    own = dict(content).get("")
    return own if isinstance(own, str) else content


def _written(field: Field, value: Any) -> str:
    if field.kind == "instant":
        return f"{value.astimezone(BEIJING):{INSTANT}}"
    if field.kind == "day":
        return f"{value:{_DAY}}"
    if field.kind in _SCALES:
        return f"{Decimal(value) / _SCALES[field.kind]:.{_DIGITS[field.kind]}f}"
    text = str(value)
    if len(text) > field.length:
        codec.refuse(f"/{field.path}", f"must have at most {field.length} characters")
    return text


def _read(field: Field, text: str, at: str) -> Any:
    if field.kind == "instant":
        return instant(text, at)
    if field.kind == "day":
        return _day(text, at)
    if field.kind == "text":
        if field.ours in _NAMES:
            codec.identifier(text, at)
        return codec.plain_text(text, at, field.length)
    number = _number(text, at)
    if field.kind == "whole":
        if number != number.to_integral_value():
            codec.refuse(at, "must be a whole number")
        return int(number)
    if number < 0:
        codec.refuse(at, "must not be below 0")
    return int((number * _SCALES[field.kind]).to_integral_value(ROUND_HALF_UP))


def _day(text: str, at: str) -> date:
    try:
        return datetime.strptime(text[:10], _DAY).replace(tzinfo=BEIJING).date()
    except ValueError as failure:
        codec.refuse(at, "must be like 2026-11-11", failure)


def _number(text: str, at: str) -> Decimal:
    if not _NUMBER.fullmatch(text) or abs(Decimal(text)) > AMOUNT_MAX:
        codec.refuse(at, f"must be a decimal number, at most {AMOUNT_MAX}")
    return Decimal(text)
