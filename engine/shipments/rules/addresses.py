"""The rule: whether what is told of an address is another one, and by what it is routed.

A marketplace tells its whole order with every change, and not always all of an address: a text that
only one of two tellings has, or that is masked in one of them, says nothing. Behind an opaque id
stands the whole consignee, so of the same id only the region is compared.
"""

from collections.abc import Mapping
from typing import Any, Final

_REGION: Final = ("country", "province", "city", "district", "town", "region_code")
_CONSIGNEE: Final = ("consignee_id", "name", "phone", "address", "postcode")
_MASK: Final = "*"


def region_of(ship_to: Mapping[str, Any]) -> str:
    """Return by what an address is routed: its region's code, else its names; "" without either."""
    names = [str(ship_to.get(name, "")) for name in ("country", "province", "city", "district")]
    return str(ship_to.get("region_code", "")) or ("/".join(names) if any(names) else "")


def has_moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether goods sent to `before` would not come to whom they are for `now`.

    Case and blanks do not count. Where nothing was told before, anything is another address; where
    nothing is told now, the former one holds.
    """
    if not now:
        return False
    if not before:
        return True
    same = _text(before, "consignee_id") == _text(now, "consignee_id") != ""
    compared = _REGION if same else _REGION + _CONSIGNEE
    return any(_differs(_text(before, name), _text(now, name)) for name in compared)


def _differs(before: str, now: str) -> bool:
    told = before and now and _MASK not in before + now
    return bool(told) and before != now


def _text(ship_to: Mapping[str, Any], name: str) -> str:
    value = ship_to.get(name)
    return " ".join(value.casefold().split()) if isinstance(value, str) else ""
