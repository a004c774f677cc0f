"""A node as whoever routes, sends or promises needs it: its document and its profile as one."""

from typing import NamedTuple

from engine.places.types.calendars import Calendar
from engine.places.types.profiles import ProfileFields


class Site(NamedTuple):
    """One node that we send from; coordinates are its own or those of its region, or None.

    `profile` is what was written, for limits and for how it is told; the rest is made of it.
    """

    node: str
    kind: str
    group: str
    region: str
    latitude: float | None
    longitude: float | None
    calendar: Calendar
    handling: tuple[tuple[int, int], ...]
    modes: frozenset[str]
    tags: frozenset[str]
    sequence: int
    pick_cost: int
    profile: ProfileFields
