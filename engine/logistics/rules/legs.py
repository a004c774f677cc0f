"""The rule: by when each stretch of a parcel's way is due, and how its clock stands.

What was promised is when the goods leave and when they arrive; what lies between is divided by
fixed shares, so that a parcel which falls behind is seen before its promise is broken.
"""

from datetime import datetime, timedelta
from typing import Final

from engine.logistics.types import Leg, LegState, Standing

_PICKUP_MAX: Final = timedelta(hours=24)  # the carrier has it
_LAST_MILE_MAX: Final = timedelta(hours=12)  # kept of the way for the door
_SHARE: Final = 4  # neither of both takes more than this part of the way
_NEAR: Final = (4, 5)  # of a leg's time gone by
_AHEAD_MAX: Final = timedelta(minutes=10)  # by how much a carrier's clock may be ahead of ours
_ENDED: Final = frozenset({"returning", "returned"})


def hand_over(planned_at: datetime, ship_by: datetime) -> Leg:
    """Return the node's leg: from when it is planned until it is to have left."""
    return Leg("hand_over", _near(planned_at, ship_by), ship_by)


def of_parcel(shipped_at: datetime, deliver_by: datetime | None) -> tuple[Leg, ...]:
    """Return the carrier's legs, each due no earlier than the one before.

    Without a promise only the pick-up has a clock. A promise that is past when the parcel leaves
    makes every leg due at once: each is late, whoever's fault it is.
    """
    if deliver_by is None:
        due = shipped_at + _PICKUP_MAX
        return (Leg("pickup", _near(shipped_at, due), due),)
    way = max(timedelta(), deliver_by - shipped_at)
    pickup = shipped_at + min(_PICKUP_MAX, way / _SHARE)
    transit = shipped_at + way - min(_LAST_MILE_MAX, way / _SHARE)
    last = shipped_at + way
    return (
        Leg("pickup", _near(shipped_at, pickup), pickup),
        Leg("transit", _near(pickup, transit), transit),
        Leg("last_mile", _near(transit, last), last),
    )


def clocked(leg: Leg, standing: Standing, now: datetime) -> Leg:
    """Return a carrier's leg as it stands; of what was told and the time, not of what it was.

    One that was met late is breached, with when it was met; none is met at an instant that is still
    to come. What is coming back has no clock left; what is lost misses all that it has not met.
    """
    met_at = dict(standing.reached).get(leg.leg)
    if met_at is None and standing.fate in _ENDED:
        return leg._replace(state="void", met_at=None)
    if met_at is None and standing.fate == "lost":
        return leg._replace(state="breached", met_at=None)
    if met_at is not None and met_at > now + _AHEAD_MAX:
        met_at = None
    return leg._replace(state=state_at(leg, met_at, now), met_at=met_at)


def state_at(leg: Leg, met_at: datetime | None, now: datetime) -> LegState:
    """Return how a clock stands; what is due at an instant is met at that instant."""
    if met_at is not None:
        return "met" if met_at <= leg.due_at else "breached"
    if now > leg.due_at:
        return "breached"
    return "near" if now >= leg.near_at else "open"


def _near(start: datetime, due: datetime) -> datetime:
    up, down = _NEAR
    return start + max(timedelta(), due - start) * up / down
