"""The rule: where a parcel is, of the set of what was told; repeats and order do not matter.

The furthest counts, so a parcel never goes back: what a carrier tells late, or with a wrong clock,
fills in the way but does not change where it is. Of the ends the furthest counts, too, as in
`shipments.rules.states`: what was lost may be found and delivered, what was delivered may be said
to have been refused, and so on until it is back.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from engine.logistics.types import Fate, LegName, Seen, Standing

_RANK: Final = {
    "damaged": 0, "collected": 1, "in_transit": 2, "arrived": 3, "out_for_delivery": 4,
    "failed_attempt": 4, "lost": 5, "delivered": 6, "refused": 7, "returning": 8, "returned": 9,
}  # fmt: skip
_ENDS: Final = _RANK["lost"]
# What shows that a leg is done: the parcel was seen there, or anywhere behind it.
_DONE: Final[tuple[tuple[LegName, frozenset[str]], ...]] = (
    ("pickup", frozenset(_RANK) - {"damaged", "lost"}),
    ("transit", frozenset({"arrived", "out_for_delivery", "failed_attempt", "delivered",
                           "refused"})),
    ("last_mile", frozenset({"delivered", "refused"})),
)  # fmt: skip
# No parcel is so long on its way, and no carrier's clock so wrong.
_OLDEST: Final = timedelta(days=400)
_NEWEST: Final = timedelta(days=60)
# After these a carrier is not asked any more; what it tells by itself is kept all the same.
OVER: Final[frozenset[Fate | None]] = frozenset({"lost", "delivered", "returned"})
# What a shipment's parcels come to is the one that is furthest from being delivered.
_WORST: Final[tuple[Fate, ...]] = ("delivered", "lost", "refused", "returning", "returned")


def is_absurd(at: datetime, now: datetime) -> bool:
    """Whether nothing can have happened to a parcel at an instant that is told now."""
    return not now - _OLDEST <= at <= now + _NEWEST


def fold(told: Iterable[Seen]) -> Standing:
    """Return where a parcel is.

    On its way it is at the latest of what is furthest; its end was at the earliest that was told.
    """
    seen = list(told)
    damaged = any(one.milestone == "damaged" for one in seen)
    placed = [one for one in seen if one.milestone != "damaged"]
    if not placed:
        return Standing(damaged=damaged)
    top = max(_RANK[one.milestone] for one in placed)
    furthest = sorted((one.at, one.milestone) for one in placed if _RANK[one.milestone] == top)
    at, milestone = furthest[0] if top >= _ENDS else furthest[-1]
    fate: Fate | None = milestone if top >= _ENDS else None  # type: ignore[assignment]  # one of Fate
    return Standing(milestone, at, fate, damaged, _reached(placed))


def fate_of(parcels: Sequence[Standing], *, final: bool) -> tuple[Fate, datetime] | None:
    """Return what a shipment's parcels came to, and since when; None while one is on its way.

    `final`: no more parcels will leave. One that is coming back, or is lost, counts more than all
    that arrived: a shipment is `delivered` only if everything is.
    """
    ends = [(one.fate, one.at) for one in parcels]
    if not final or not ends:
        return None
    known = [(fate, at) for fate, at in ends if fate is not None and at is not None]
    if len(known) < len(ends):
        return None
    worst = max((fate for fate, _ in known), key=_WORST.index)
    return worst, max(at for fate, at in known if fate == worst)


def _reached(placed: Iterable[Seen]) -> tuple[tuple[LegName, datetime], ...]:
    seen = list(placed)
    found: list[tuple[LegName, datetime]] = []
    for leg, shows in _DONE:
        instants = [one.at for one in seen if one.milestone in shows]
        if instants:
            found.append((leg, min(instants)))
    return tuple(found)
