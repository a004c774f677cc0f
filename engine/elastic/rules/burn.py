"""How fast a shop sells: an exponentially weighted mean that knows when it cannot see.

A unit counts for half after one half-life, and so does a second: their quotient needs no time to
warm up, and is exact for a steady flow however often it is looked at. What an empty shop does not
sell says nothing about what is asked of it, so its rate is not lowered by that; it only fades.
"""

from math import log
from typing import Final

from engine.elastic.types import Burn

LOOK_S: Final = 1.0  # between two looks at the pools
_LN2: Final = log(2)
_FADES_SLOWER: Final = 8  # an empty shop is thought as busy as it was for so many half-lives


def first(units: int, seconds: float, half_life_s: float) -> Burn:
    """Return the burn of a shop that nobody watched so far: a steady flow since the sale began."""
    weighed = (half_life_s / _LN2) * (1 - 2 ** (-max(seconds, 1.0) / half_life_s))
    return Burn(max(0, units) / max(seconds, 1.0) * weighed, weighed)


def watched(burn: Burn, units: int, seconds: float, half_life_s: float, *, empty: bool) -> Burn:
    """Return the burn after so many more units went in so many seconds.

    Units that came back (below 0) are none that went. `empty`: nothing was left at the end.
    """
    if seconds <= 0:
        return burn
    kept = 2 ** (-seconds / half_life_s)
    weight = (half_life_s / _LN2) * (1 - kept)
    went = max(0, units) / seconds
    after = Burn(burn.units * kept + went * weight, burn.seconds * kept + weight)
    if not empty or after.rate >= burn.rate:
        return after
    return Burn(burn.units * 2 ** (-seconds / (half_life_s * _FADES_SLOWER)), burn.seconds)


def since(
    burn: Burn, units: int, seconds: float, half_life_s: float, *, was: int, now: int
) -> Burn:
    """Return the burn of a shop that had `was` units free when it last changed, and has `now`.

    Pools are looked at every second and noted when they have changed: what went, went just now.
    """
    quiet_s = max(0.0, seconds - LOOK_S)
    burn = watched(burn, 0, quiet_s, half_life_s, empty=was <= 0)
    return watched(burn, units, seconds - quiet_s, half_life_s, empty=now <= 0)
