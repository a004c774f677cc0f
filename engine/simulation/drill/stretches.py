"""A run cut into stretches of seconds, sums that can be put together in any choice."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import accumulate, pairwise
from math import log
from typing import Final, NamedTuple

from engine.simulation.drill.histograms import Spread
from engine.simulation.drill.summary import Series, Summary
from engine.simulation.drill.thinning import buckets

_WIDER: Final = log(1.1)  # a class of latency is a tenth wider than the one before
_LEAST_MS: Final = 0.05
_CLASSES: Final = 160  # up to 3 minutes
# A second is told by its percentiles. What lies between two of them is spread over them evenly by
# the logarithm; below the median it is taken to go down to a third of it, above p99.9 not beyond.
_PARTS: Final = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)
_BELOW_MEDIAN: Final = 3.0
_STEPS: Final = 4
_COUNTS: Final = ("planned", "sent", "accepted", "refused", "failed", "dropped")


class Stretch(NamedTuple):
    """Sums over some seconds, counting as `seconds` those in which an order was due.

    `classes` count accepted orders by latency; `exact` is the histogram of a
    whole run, which then says more.
    """

    sums: Mapping[str, float]
    classes: Sequence[float]
    exact: Spread | None = None

    def rate(self, name: str, of: str, times: float) -> float | None:
        """Return so many times a sum divided by another; None of nothing."""
        return times * self.sums.get(name, 0) / self.sums[of] if self.sums[of] > 0 else None

    def latency(self, part: float) -> float | None:
        """Return the milliseconds within which this part of the accepted orders was answered."""
        if self.exact is not None:
            return self.exact.at(part)
        sums = list(accumulate(self.classes))
        rank = part * sums[-1]
        if rank <= 0:
            return None
        at = bisect_left(sums, rank)
        within = (rank - (sums[at] - self.classes[at])) / self.classes[at]
        return float(_LEAST_MS * 1.1 ** (at + within))


def cut(summary: Summary, many: int) -> list[Stretch]:
    """Return a run in at most so many stretches of about one length."""
    series = summary.series
    return [_stretch(series, *bounds) for bounds in buckets(len(series.second), many)]


def together(stretches: Iterable[Stretch]) -> Stretch:
    """Return all of them as one; what is exact in each is exact in the whole."""
    return reduce(lambda one, other: _joined(one, other, 1), stretches)


def without(whole: Stretch, one: Stretch) -> Stretch:
    """Return a whole without one of the stretches it was made of."""
    return _joined(whole, one, -1)


def _joined(one: Stretch, other: Stretch, sign: int) -> Stretch:
    sums = {name: one.sums[name] + sign * other.sums.get(name, 0) for name in one.sums}
    sums |= {name: value for name, value in other.sums.items() if name not in sums}
    classes = [a + sign * b for a, b in zip(one.classes, other.classes, strict=True)]
    exact = [each.exact for each in (one, other) if each.exact is not None]
    both = Spread.together(exact) if len(exact) == 2 else None  # noqa: PLR2004 - of both
    return Stretch(sums, classes, both)


def _stretch(series: Series, start: int, stop: int) -> Stretch:
    lags = [value for value in series.lag_s[start:stop] if value is not None]
    flow = list(zip(series.planned[start:stop], series.accepted[start:stop], strict=True))
    sums: dict[str, float] = {name: sum(getattr(series, name)[start:stop]) for name in _COUNTS}
    sums |= {
        "runs": (stop - start) / len(series.second),
        "seconds": sum(planned > 0 for planned, _ in flow),
        "silent": sum(planned > 0 and not accepted for planned, accepted in flow),
        "unknown": 0,
        "lag": sum(lags),
        "lags": len(lags),
    }
    for name, values in series.cpu.items():
        sums[f"cpu {name}"] = sum(value or 0.0 for value in values[start:stop])
    classes = [0.0] * _CLASSES
    for at in range(start, stop):
        _spread(series, at, classes)
    return Stretch(sums, classes)


def _spread(series: Series, at: int, classes: list[float]) -> None:
    """Add the accepted orders of one second to their classes."""
    known = [one[at] for one in (series.p50, series.p90, series.p99, series.p999)]
    values = [value for value in known if value is not None]
    if len(values) < len(known) or not series.accepted[at]:
        return
    ends = [log(max(ms, _LEAST_MS) / _LEAST_MS) for ms in values]
    ends = [ends[0] - log(_BELOW_MEDIAN), *ends, ends[-1]]
    for (below, above), (low, high) in zip(pairwise(_PARTS), pairwise(ends), strict=True):
        orders = series.accepted[at] * (above - below) / _STEPS
        for step in range(_STEPS):
            place = int((low + (high - low) * (step + 0.5) / _STEPS) / _WIDER)
            classes[min(max(place, 0), _CLASSES - 1)] += orders
