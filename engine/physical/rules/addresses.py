"""What an address of a node must say so that routing can go by it."""

import re
from collections.abc import Iterator
from typing import Final

from engine.kernel.types import Fault
from engine.physical.types.nodes import Address

# The first two digits of GB/T 2260, which are the province's.
_PROVINCES: Final = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12]")
_CODE_LENGTH: Final = 6


def faults(address: Address, pointer: str) -> Iterator[Fault]:
    """Yield what is wrong with an address; what it does not say is not wrong."""
    country, code = address.country, address.region_code
    if country and not (country.isascii() and country.isalpha() and len(country) == 2):  # noqa: PLR2004 - ISO 3166
        yield Fault(f"{pointer}/country", "must be two letters, as in ISO 3166: CN")
    elif country != country.upper():
        yield Fault(f"{pointer}/country", "must be in capital letters, as in ISO 3166: CN")
    if code and country in {"", "CN"} and not _chinese(code):
        told = (
            "must be six digits of GB/T 2260, 440305 say; codes of other countries need `country`"
        )
        yield Fault(f"{pointer}/region_code", told)
    for given, missing in (("latitude", "longitude"), ("longitude", "latitude")):
        if getattr(address, given) is not None and getattr(address, missing) is None:
            yield Fault(f"{pointer}/{missing}", f"is required with {given}")


def _chinese(code: str) -> bool:
    digits = code.isascii() and code.isdecimal() and len(code) == _CODE_LENGTH
    return digits and _PROVINCES.match(code) is not None
