"""Regions: administrative units, and where they are."""

from typing import NamedTuple


class Region(NamedTuple):
    """One region; without coordinates it is taken for what it lies in."""

    code: str
    name: str
    latitude: float | None
    longitude: float | None
