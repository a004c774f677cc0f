"""Student's t: how far a mean of few values may lie off by chance."""

from functools import cache
from math import atan, cos, pi, sin, sqrt

_LOOKED = 60  # halvings: as exact as a float


@cache
def quantile(part: float, free: int) -> float:
    """Return the t below which this part (over one half) lies, with so many degrees of freedom."""
    low, high = 0.0, 1e6
    for _ in range(_LOOKED):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, free) < part else (low, middle)
    return high


def _below(t: float, free: int) -> float:
    """Return P(T < t), t >= 0. Source: Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = atan(t / sqrt(free))
    odd = free % 2
    term = cos(angle) if odd else 1.0
    total = 0.0
    for step in range(1 + odd, free, 2):
        total += term
        term *= cos(angle) ** 2 * step / (step + 1)
    within = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    return (1 + within) / 2
