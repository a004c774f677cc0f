"""Where regions are and how far apart; no I/O."""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from engine.places.types.regions import Region

_CODE_LENGTH: Final = 6
_EARTH_METRES: Final = 6_371_000
_KINDS: Final = (
    "维吾尔自治区", "壮族自治区", "回族自治区", "特别行政区", "自治区", "自治州", "地区",
    "省", "市", "盟",
)  # fmt: skip
_NAME_MIN: Final = 2


@lru_cache(maxsize=16_384)  # the districts of China are 3,000
def chain(code: str) -> tuple[str, ...]:
    """Return a region and what it lies in, from the smallest to "", which is everywhere.

    Of six digits of GB/T 2260: district, city, province. Of others, as US-CA: the part before the
    hyphen, the country.
    """
    if len(code) == _CODE_LENGTH and code.isascii() and code.isdecimal():
        found = [code, code[:4] + "00", code[:2] + "0000", ""]
    else:
        found = [code, code.partition("-")[0], ""]
    return tuple(dict.fromkeys(found))


def metres(latitude: float, longitude: float, latitude2: float, longitude2: float) -> int:
    """Return the distance of two points, degrees, on a sphere (haversine), in whole metres."""
    north, north2 = math.radians(latitude), math.radians(latitude2)
    across = math.sin((north2 - north) / 2) ** 2
    along = math.sin(math.radians(longitude2 - longitude) / 2) ** 2
    half = min(1.0, across + math.cos(north) * math.cos(north2) * along)
    return round(2 * _EARTH_METRES * math.asin(math.sqrt(half)))


def _bare(name: str) -> str:
    """Return a name without the word for its kind; two characters of it stay in any case."""
    kept = name.strip()
    for kind in _KINDS:
        if kept.endswith(kind) and len(kept) - len(kind) >= _NAME_MIN:
            return kept.removesuffix(kind)
    return kept


class Regions:
    """All regions that are known, and how far apart they are; frozen after it was made."""

    def __init__(self, regions: Iterable[Region]) -> None:
        """Take regions; a later one of the same code counts."""
        self._regions: Mapping[str, Region] = {one.code: one for one in regions}
        self._points = {
            one.code: (one.latitude, one.longitude)
            for one in self._regions.values()
            if one.latitude is not None and one.longitude is not None
        }
        self._by_name = {
            ("" if one.code.endswith("0000") else one.code[:2], _bare(one.name)): one.code
            for one in self._regions.values()
            if one.code.endswith("00")
        }
        self._metres: dict[tuple[str, str], int | None] = {}

    def name(self, code: str) -> str:
        """Return what a region is called, or what it lies in, "" if neither is known."""
        return next((self._regions[one].name for one in chain(code) if one in self._regions), "")

    def point(self, code: str) -> tuple[float, float] | None:
        """Return latitude and longitude of a region, or of what it lies in."""
        return next((self._points[one] for one in chain(code) if one in self._points), None)

    def metres(self, a: str, b: str) -> int | None:
        """Return the distance of two regions; None where one is not known."""
        key = (a, b) if a <= b else (b, a)
        if key not in self._metres:
            one, two = self.point(a), self.point(b)
            self._metres[key] = metres(*one, *two) if one and two else None
        return self._metres[key]

    def find(self, province: str, city: str) -> str:
        """Return the code of a city or else a province of these names, "" if neither is known.

        Names are compared without what only says of which kind they are (深圳 is 深圳市), as
        channels write them both ways; a city counts in its own province alone.
        """
        whole = self._by_name.get(("", _bare(province)), "")
        return self._by_name.get((whole[:2], _bare(city)), whole) if whole else ""

    def codes(self) -> list[str]:
        """Return all that are known, in the order in which they were told."""
        return list(self._regions)
