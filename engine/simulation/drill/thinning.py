"""Long series made short enough to be drawn: a plot has fewer pixels than an hour has seconds."""

from collections.abc import Sequence
from typing import Final

POINTS_MAX: Final = 1_200

Values = Sequence[float | None]


def thinned(values: Values, points_max: int = POINTS_MAX) -> list[tuple[int, float | None]]:
    """Return at most so many (index, value): the least and the most of each bucket, as they came.

    A spike of one second stays as high as it was. Where a bucket has no value there is one None.
    """
    if len(values) <= points_max:
        return list(enumerate(values))
    points: list[tuple[int, float | None]] = []
    for start, stop in buckets(len(values), points_max // 2):
        known = [(value, at) for at in range(start, stop) if (value := values[at]) is not None]
        if not known:
            points.append((start, None))
            continue
        ends = {at: value for value, at in (min(known), max(known))}
        points += sorted(ends.items())
    return points


def buckets(length: int, many: int) -> list[tuple[int, int]]:
    """Cut `length` places into at most `many` stretches of about one size."""
    many = min(length, many)
    return [(length * n // many, length * (n + 1) // many) for n in range(many)]


def means(values: Values, many: int) -> list[float | None]:
    """Return the mean of what is known in each bucket."""
    return [_mean(values[start:stop]) for start, stop in buckets(len(values), many)]


def tops(values: Values, many: int) -> list[float | None]:
    """Return the most of what is known in each bucket."""
    return [_top(values[start:stop]) for start, stop in buckets(len(values), many)]


def _mean(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _top(values: Values) -> float | None:
    return max((value for value in values if value is not None), default=None)
