"""Medians and how sure they are: pure arithmetic."""

from collections.abc import Sequence
from math import comb
from statistics import median
from typing import Final, NamedTuple

import msgspec

CONFIDENCE: Final = 0.95


class Interval(NamedTuple):
    """Where the median of the whole lies, with the probability `coverage`."""

    low: float
    high: float
    coverage: float


class Figure(msgspec.Struct, frozen=True):
    """The median of `n` values and its interval.

    `spread` is what the middle half of them spans, `reach` what all do, in parts of the median.
    """

    median: float
    low: float
    high: float
    coverage: float
    n: int
    spread: float
    reach: float


def interval(values: Sequence[float]) -> Interval:
    """Return the order-statistic interval of the median: no assumption about the distribution.

    It is the narrowest pair of values, as far from each end, that covers at least 95 %; of fewer
    than 6 values no pair does, and it is the smallest and the largest with what they cover.
    Source: P(x(k+1) <= median <= x(n-k)) = 1 - 2 P(Binomial(n, 1/2) <= k).
    """
    ordered, n = sorted(values), len(values)
    outside, k = 2 * comb(n, 0), 0
    while k + 1 < n / 2 and outside + 2 * comb(n, k + 1) <= (1 - CONFIDENCE) * 2**n:
        k += 1
        outside += 2 * comb(n, k)
    coverage = max(0.0, 1 - outside / 2**n)
    return Interval(ordered[k], ordered[n - 1 - k], coverage)


def figure(values: Sequence[float]) -> Figure:
    """Return the median of at least one value, with its interval."""
    middle, found = median(values), interval(values)
    ordered, quarter = sorted(values), len(values) // 4
    spread, reach = (
        (ordered[-1 - skipped] - ordered[skipped]) / middle if middle else 0.0
        for skipped in (quarter, 0)
    )
    return Figure(middle, found.low, found.high, found.coverage, len(values), spread, reach)


def ratios(values: Sequence[float], floors: Sequence[float]) -> list[float]:
    """Divide pairwise; a pair whose floor is 0 says nothing and is left out."""
    return [value / floor for value, floor in zip(values, floors, strict=True) if floor]
