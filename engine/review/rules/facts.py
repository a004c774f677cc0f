"""What rules of review may ask of an order, out of its document and its lines.

Neither a name nor a phone is among it. Of what is longer than a field the beginning counts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.kernel import codec
from engine.kernel.expressions.schemas import LINES_MAX, TAGS_MAX, UNITS_MAX
from engine.kernel.expressions.types import INT_MAX, Schema, flag, number, text, texts
from engine.kernel.limits import AMOUNT_MAX, IDENTIFIER_LENGTH_MAX

_LONG: Final = 512

# `risk` is what the channel or a risk service wrote as the whole number `risk` of extensions, 0
# without. `has_address`: somebody could go there, by its text or by the id of an encrypted
# consignee (`encrypted`). `hour` and `weekday` (1 is Monday) are of when it was placed.
REVIEW_SCHEMA: Final = Schema(
    text("channel"),
    text("campaign"),
    text("order_kind"),
    number("total", AMOUNT_MAX),
    text("currency"),
    number("units", UNITS_MAX),
    number("lines", LINES_MAX),
    texts("skus", LINES_MAX),
    texts("tags", TAGS_MAX),
    text("buyer"),
    text("buyer_note", _LONG),
    text("seller_note", _LONG),
    number("seller_flag"),
    text("country", _LONG),
    text("province", _LONG),
    text("city", _LONG),
    text("district", _LONG),
    text("town", _LONG),
    text("region", _LONG),
    text("address", _LONG),
    flag("has_address"),
    flag("encrypted"),
    text("payment_method", _LONG),
    flag("on_delivery"),
    number("hour", 23),
    number("weekday", 7),
    number("risk"),
)
_ADDRESS: Final = ("country", "province", "city", "district", "town", "address")


def review_facts(  # noqa: PLR0913 - an order has that many sides
    document: Mapping[str, Any],
    ship_to: Mapping[str, Any],
    lines: Sequence[tuple[str, int]],
    *,
    payable: int,
    currency: str,
    on_delivery: bool,
    placed_at: int,
    zone: str = "Asia/Shanghai",
) -> tuple[Any, ...]:
    """Return facts in the order of `REVIEW_SCHEMA`.

    `document` is the order as posted, `ship_to` where it goes now, `lines` (sku, open units).
    """
    place = ship_to or {}
    at = datetime.fromtimestamp(placed_at / 1_000, ZoneInfo(zone))
    told: dict[str, object] = {name: _text(place, name) for name in _ADDRESS}
    told |= {name: _text(document, name) for name in ("buyer_note", "seller_note")}
    told |= {name: _short(document, name) for name in ("channel", "campaign")}
    consignee = _text(place, "consignee_id")
    risk = _member(document, "extensions").get("risk")
    method = _text(_member(document, "payment"), "method")
    paid_by = next((_text(one, "method") for one in _listed(document, "payments")), "")
    return REVIEW_SCHEMA.facts(
        told
        | {
            "order_kind": _short(document, "kind") or "sale",
            "total": min(payable, AMOUNT_MAX),
            "currency": currency,
            "units": min(sum(units for _, units in lines), UNITS_MAX),
            "lines": min(len(lines), LINES_MAX),
            "skus": sorted({sku for sku, _ in lines})[:LINES_MAX],
            "tags": _tags(document),
            "buyer": _short(document, "buyer_id"),
            "seller_flag": _number(document.get("flag")),
            "region": _text(place, "region_code"),
            "has_address": bool(consignee or _text(place, "address")),
            "encrypted": bool(consignee),
            "payment_method": method or paid_by,
            "on_delivery": on_delivery,
            "hour": at.hour,
            "weekday": at.isoweekday(),
            "risk": _number(risk),
        }
    )


def digest(facts: tuple[Any, ...]) -> str:
    """Return what stands for facts: of other ones it is another, and none can be read from it."""
    return hashlib.sha256(codec.encode(facts)).hexdigest()


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value[:_LONG] if isinstance(value, str) else ""


def _short(told: Mapping[str, Any], name: str) -> str:
    return _text(told, name)[:IDENTIFIER_LENGTH_MAX]


def _number(value: object) -> int:
    """Return a whole number, 0 for all else; `true` is no number."""
    return max(-INT_MAX, min(value, INT_MAX)) if type(value) is int else 0


def _member(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _listed(told: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = told.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _tags(document: Mapping[str, Any]) -> list[str]:
    value = document.get("tags")
    many = value if isinstance(value, list) else []
    return [one[:IDENTIFIER_LENGTH_MAX] for one in many if isinstance(one, str)][:TAGS_MAX]
