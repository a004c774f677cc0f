"""What a service is worth where promise and price are the same; no I/O."""

from collections.abc import Mapping
from typing import Final

from engine.carriers.types.services import Fared

DAYS: Final = 30  # of parcels that are looked at
PARCELS_MIN: Final = 30  # fewer say nothing: what is written in the service's document counts
_POINTS: Final = 10_000
# Services that differ by less are equal, so that shares of the day are kept between them, and so
# that a parcel more or less does not turn all parcels of a day over to another one.
STEP: Final = 500


def score(written: int, fared: Fared | None) -> int:
    """Return points of 10,000: the share that came in time and whole, in steps of 500.

    `written` is what an operator gives a service that has brought too little yet.
    """
    of = 0 if fared is None else fared.parcels - fared.refused
    if fared is None or of < PARCELS_MIN:
        return written
    good = min(max(fared.on_time - fared.damaged, 0), of)
    return good * _POINTS // of // STEP * STEP


def scores(written: Mapping[str, int], fared: Mapping[str, Fared]) -> dict[str, int]:
    """Return the score of each service."""
    return {name: score(points, fared.get(name)) for name, points in written.items()}
