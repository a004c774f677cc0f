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


def quotient(values: Sequence[float], others: Sequence[float]) -> Figure:
    """Return how many times as large values are as others that nothing pairs them with.

    The median of all their ratios, and the interval that the Mann-Whitney test does not reject:
    no assumption about the distribution but that both have the same one up to that factor.
    Source: Hodges and Lehmann (1963), on the logarithms.
    """
    ordered = sorted(value / other for value in values for other in others)
    counts = _ranked(len(values), len(others))
    every, k = sum(counts), 0
    outside = 2 * counts[0]
    while k + 1 < len(ordered) / 2 and outside + 2 * counts[k + 1] <= (1 - CONFIDENCE) * every:
        k += 1
        outside += 2 * counts[k]
    middle, quarter, last = median(ordered), len(ordered) // 4, len(ordered) - 1
    return Figure(
        median=middle,
        low=ordered[k],
        high=ordered[last - k],
        coverage=max(0.0, 1 - outside / every),
        n=min(len(values), len(others)),
        spread=(ordered[last - quarter] - ordered[quarter]) / middle if middle else 0.0,
        reach=(ordered[last] - ordered[0]) / middle if middle else 0.0,
    )


def _ranked(n: int, m: int) -> list[int]:
    """Return in how many orders of n and m values each number of inversions is met, 0 to n * m."""
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for place in range(n * m, m + i - 1, -1):
            counts[place] -= counts[place - m - i]
        for place in range(i, n * m + 1):
            counts[place] += counts[place - i]
    return counts


def ratios(values: Sequence[float], floors: Sequence[float]) -> list[float]:
    """Divide pairwise; a pair whose floor is 0 says nothing and is left out."""
    return [value / floor for value, floor in zip(values, floors, strict=True) if floor]
