"""The table of regions that stands in the tree (`engine/places/data`), read once a process."""

import csv
from functools import lru_cache
from importlib import resources
from typing import Final

from engine.places.rules.regions import Region, Regions

_FILE: Final = "regions_cn.csv"


@lru_cache(maxsize=1)
def regions() -> Regions:
    """Return all regions that are known; what the table is made of stands at its head."""
    text = (resources.files("engine.places") / "data" / _FILE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return Regions(
        Region(row["code"], row["name"], _degrees(row["latitude"]), _degrees(row["longitude"]))
        for row in csv.DictReader(lines)
    )


def _degrees(text: str) -> float | None:
    return float(text) if text else None
