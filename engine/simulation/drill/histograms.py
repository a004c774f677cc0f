"""HDR histograms of a summary: read, merged, asked. They count in a unit of their generator's."""

import zlib
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from math import ceil, log10
from typing import Any, Final, Self

from engine.kernel.errors import Misconfigured, NotInstalled
from engine.simulation.drill.summary import Latency, Summary

try:
    from hdrh import codec
    from hdrh.histogram import HdrHistogram
except ImportError:  # pragma: no cover - the extra is installed where drills run
    codec: Any = None  # type: ignore[no-redef]
    HdrHistogram: Any = None  # type: ignore[no-redef]

_STEPS_A_DECADE: Final = 16


class Spread:
    """How many answers took how many milliseconds, of one run or several."""

    def __init__(self, counts: Iterable[tuple[float, int]]) -> None:
        """Take pairs of milliseconds and how many; the same milliseconds may come again."""
        self.pairs = sorted(counts)
        self._values = [value for value, _ in self.pairs]
        self._sums = list(accumulate(count for _, count in self.pairs))

    @classmethod
    def together(cls, spreads: Iterable["Spread"]) -> Self:
        """Return the answers of all of them."""
        return cls(pair for one in spreads for pair in one.pairs)

    @property
    def count(self) -> int:
        """How many answers there are."""
        return self._sums[-1] if self._sums else 0

    def at(self, part: float) -> float:
        """Return the milliseconds within which this part of at least one answer came."""
        rank = max(1, ceil(part * self.count))
        return self._values[min(bisect_left(self._sums, rank), len(self._values) - 1)]

    def curve(self) -> list[tuple[float, float]]:
        """Return (log10 of 1/(1-q), milliseconds) from the fastest to the slowest answer."""
        if not self.count:
            return []
        steps = range(ceil(log10(max(self.count, 1)) * _STEPS_A_DECADE) + 1)
        places = [step / _STEPS_A_DECADE for step in steps]
        return [(place, self.at(1 - 10**-place)) for place in places]


def spread(name: str, summary: Summary) -> Spread:
    """Return what a run measured under this name; empty if it did not.

    Raises:
        NotInstalled: the library that reads histograms is missing.
        Misconfigured: one cannot be read.
    """
    text = summary.histograms.get(name)
    told = f"{summary.run_id}: histogram {name}"
    return Spread(_read(text, summary.latency.get(name), told) if text else [])


def _read(text: str, latency: Latency | None, what: str) -> list[tuple[float, int]]:
    if HdrHistogram is None:
        raise NotInstalled("HDR histograms need hdrhistogram: pip install 'tidegate[drill]'.")
    try:
        histogram = HdrHistogram.decode(text)
    except (
        ValueError, TypeError, zlib.error, codec.HdrCookieException,
        codec.HdrLengthException, codec.HdrHistogramSettingsException,
    ) as error:  # fmt: skip
        raise Misconfigured(f"{what} cannot be read: {error}") from None
    if not histogram.get_total_count():
        return []
    unit = _unit(histogram.get_value_at_percentile(50), latency)
    return [
        (each.value_iterated_to * unit, each.count_at_value_iterated_to)
        for each in histogram.get_recorded_iterator()
    ]


def _unit(median: float, latency: Latency | None) -> float:
    """Return how many ms one of its unit is: the power of ten that its median tells; else a us."""
    if latency is None or not latency.p50 or not median:
        return 1e-3
    return float(10.0 ** round(log10(latency.p50 / median)))
