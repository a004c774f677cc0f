"""What a listing is to show, and when it is told.

A SKU with several listings in one channel shows the whole on each of them, as shops do it: a buyer
of one must not see it sold out while another has it, and each sale lowers all of them. Who wants
the units divided instead gives each listing its `share`.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final

from engine.publications.types import SHARE_WHOLE, Number, Reach, Shelf

INTERVAL_S: Final = 0.5  # a listing is told at most one number in that time, the newest
DRIFT_PATIENCE_S: Final = 60.0

_UNMAPPED: Final = Number("unmapped", "", 1)


def number(shelf: Shelf, reach: Reach, burn: float, draining: int) -> Number:
    """Return what a listing is to show, never more pieces than there are units for.

    `burn` are units a second that its pools lose, `draining` those on their way out of them.
    """
    if len(shelf.skus) != 1:
        last = shelf.last or _UNMAPPED
        sku, units_per = shelf.skus[0] if shelf.skus else (last.sku, last.units_per)
        return Number("doubled" if shelf.skus else "unmapped", sku, units_per)
    sku, units_per = shelf.skus[0]
    there = reach.sellable - reach.owed - draining
    if reach.state != "on_sale":
        return Number(reach.state, sku, units_per, reach=there)
    buffer = ceil(burn * shelf.lag_s) + shelf.settings.buffer
    shown = max(0, there - buffer) * shelf.settings.share // (SHARE_WHOLE * units_per)
    return Number("on_sale", sku, units_per, shown, buffer, there)


def of_parts(parts: Iterable[tuple[Reach, int, float, int]], lag_s: float) -> tuple[Reach, float]:
    """Return for a bundle how many can be made of the part that binds, and how fast they go.

    Parts are what is there of each, its units in one bundle, what its pools lose a second, and what
    is on its way out of them.
    """
    found = [
        ((one.sellable - one.owed - draining) // per, burn / per, one)
        for one, per, burn, draining in parts
    ]
    there, burn, one = min(found, key=lambda part: part[0] - ceil(part[1] * lag_s))
    return Reach(one.state, there, 0, one.pools), burn


def smallest(reaches: Sequence[Reach]) -> Reach:
    """Return what is safe to show where several offers are in force: the one with the least.

    Which of them an order will name is not known before it comes.
    """
    if not reaches:
        return Reach("not_on_sale")
    return min(reaches, key=lambda one: one.sellable - one.owed)


def waits_s(shelf: Shelf, wanted: Number, *, urgent: bool) -> float:
    """Return for how long a changed number waits, so that many changes become one.

    A number that stops the sale, or that units are to leave a pool by, does not wait.
    """
    last = shelf.last
    if last is None or last.published == wanted.published or urgent or wanted.published == 0:
        return 0.0
    return max(0.0, INTERVAL_S - shelf.age_s)


def drift_to_tell(drift: int | None, told: int, seen_after_ack_s: float) -> int | None:
    """Return the drift that an event has to tell, None when there is nothing new to say.

    A shop that shows less than our number may only have sold meanwhile: that is given time.
    """
    if drift is None or drift == told:
        return None
    if drift < 0 and seen_after_ack_s < DRIFT_PATIENCE_S:
        return 0 if told else None
    return drift
