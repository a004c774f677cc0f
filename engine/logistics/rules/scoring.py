"""The rule: what one parcel adds to the card of its service, and how cards are kept.

A parcel is counted once it has an end, on the day it left, so that no later news moves it to
another card. What is told after that changes what it counts for by the difference.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Final

from engine.logistics.types import Leg, Score, Standing

_DAY: Final = timezone(timedelta(hours=8))
_REGION_DIGITS: Final = 2  # a province

NONE: Final = Score()


def score(shipped_at: datetime, standing: Standing, legs: Iterable[Leg]) -> Score:
    """Return what a parcel counts for; nothing while it is on its way, or comes back.

    On time is what was delivered with the carrier's last leg met, where there was a promise.
    """
    if standing.fate is None or standing.at is None or standing.fate == "returning":
        return NONE
    delivered = standing.fate == "delivered"
    last = {leg.leg: leg.state for leg in legs}.get("last_mile", "")
    late = last == "breached"
    took = max(timedelta(), standing.at - shipped_at)
    return Score(
        parcels=1,
        on_time=int(delivered and last in {"", "met"}),
        breached=int(late),
        delivered=int(delivered),
        damaged=int(standing.damaged),
        refused=int(standing.fate == "refused"),
        lost=int(standing.fate == "lost"),
        minutes=took // timedelta(minutes=1) if delivered else 0,
    )


def added(one: Score, other: Score) -> Score:
    """Return the sum."""
    return Score(*(a + b for a, b in zip(one, other, strict=True)))


def difference(new: Score, old: Score) -> Score:
    """Return what to add where `old` was counted and `new` holds."""
    return Score(*(a - b for a, b in zip(new, old, strict=True)))


def card_of(shipped_at: datetime, region: str) -> tuple[date, str]:
    """Return the day and the province by which a parcel's card is found."""
    return shipped_at.astimezone(_DAY).date(), region[:_REGION_DIGITS]
