"""How many orders a second are due at each instant of a drill, and when each of them comes.

The curve of a sale: a trickle while people wait, a step within a second when it opens, exponential
decay, a long tail, and waves of clients that come again. Arrivals are an inhomogeneous Poisson
process, so they clump as real ones do; the same seed gives the same arrivals.
"""

from collections.abc import Iterator
from math import exp
from random import Random
from typing import Final

import msgspec

_STEP_S: Final = 0.005  # within which the rate is taken for constant


class Wave(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many more a second at an instant, and half a life of `decay_s` ln 2 from then on."""

    at_s: float
    peak: float
    decay_s: float


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Orders a second over time; with `trickle`, `peak` and `tail` alike it is level."""

    trickle: float
    peak: float
    tail: float
    opens_at_s: float = 0.0
    within_s: float = 0.2
    decay_s: float = 10.0
    storms: list[Wave] = []

    def rate(self, at_s: float) -> float:
        """Return how many orders a second are due at an instant."""
        since = at_s - self.opens_at_s
        if since < 0:
            return self.trickle
        rate = self.tail + (self.peak - self.tail) * exp(-since / self.decay_s)
        if since < self.within_s:
            rate = self.trickle + (self.peak - self.trickle) * since / self.within_s
        for storm in self.storms:
            if at_s >= storm.at_s:
                rate += storm.peak * exp(-(at_s - storm.at_s) / storm.decay_s)
        return rate

    def highest(self, seconds: float) -> float:
        """Return the highest rate within so many seconds."""
        return max(self.rate(n * _STEP_S) for n in range(int(seconds / _STEP_S) + 1))

    def expected(self, seconds: float) -> float:
        """Return how many orders come on the average within so many seconds."""
        return sum(
            self.rate((n + 0.5) * _STEP_S) * _STEP_S for n in range(round(seconds / _STEP_S))
        )

    def scaled(self, rates: float, times: float) -> "Curve":
        """Return the same shape with other rates, over another time."""
        return Curve(
            trickle=self.trickle * rates,
            peak=self.peak * rates,
            tail=self.tail * rates,
            opens_at_s=self.opens_at_s * times,
            within_s=self.within_s,  # a step within a second is one however long the drill is
            decay_s=self.decay_s * times,
            storms=[
                Wave(one.at_s * times, one.peak * rates, one.decay_s * times) for one in self.storms
            ],
        )


def arrivals(curve: Curve, seconds: float, seed: int) -> Iterator[float]:
    """Yield the instants at which orders are due, in seconds from the beginning."""
    rng = Random(seed)
    owed = rng.expovariate(1.0)  # expected arrivals until the next one
    for step in range(round(seconds / _STEP_S)):
        begins = step * _STEP_S
        rate = curve.rate(begins + _STEP_S / 2)
        budget, used = rate * _STEP_S, 0.0
        while owed <= budget - used:
            used += owed
            yield begins + used / rate
            owed = rng.expovariate(1.0)
        owed -= budget - used
