"""Counters, histograms and gauges of plain numbers: to count is an addition.

Names, labels and text are made when somebody asks. Where each order counts, its place is bound
beforehand (`of`), so that nothing is looked up and nothing is made.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from engine.infra.meters.families import Family, Kind, Labels, Scope

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)

Reading = Callable[[], Mapping[Labels, float]]


class Counts:
    """A number that only grows, by no label or by some."""

    kind: Kind = "counter"

    def __init__(self, name: str, told: str, *labels: str) -> None:
        """Declare it; its name ends in `_total` where it is shown."""
        self.name, self.told, self.labels = name, told, labels
        self._counts: dict[Labels, list[int]] = {} if labels else {(): [0]}

    def of(self, *labels: str) -> list[int]:
        """Return the place of these labels: a list of one number, to be added to."""
        place = self._counts.get(labels)
        if place is None:
            place = self._counts[labels] = [0]
        return place

    def add(self, label: str | Labels = (), n: int = 1) -> None:
        """Count; of several labels all are given."""
        self.of(*((label,) if isinstance(label, str) else label))[0] += n

    def family(self) -> Family:
        """Return it as it stands."""
        rows = [(labels, [float(n)]) for labels, (n,) in sorted(self._counts.items())]
        return Family(self.name, self.kind, self.told, self.labels, "sum", rows)


class Distribution:
    """How many values fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float, n: int = 1) -> None:
        """Count a value, or as many equal ones as `n` says."""
        self.counts[bisect_left(self._bounds, value)] += n
        self.total += value * n

    def add_falling(self, values: Sequence[float]) -> None:
        """Count values of which none is greater than the one before it; of few buckets, cheaply."""
        bounds, counts = self._bounds, self.counts
        most, least = bisect_left(bounds, values[0]), bisect_left(bounds, values[-1])
        if most == least:
            counts[most] += len(values)
        else:
            for value in values:
                counts[bisect_left(bounds, value)] += 1
        self.total += sum(values)


class Histogram:
    """How values are spread over buckets, by no label or by some."""

    kind: Kind = "histogram"

    def __init__(
        self,
        name: str,
        told: str,
        *labels: str,
        bounds: tuple[float, ...] = SECONDS,
        scope: Scope = "sum",
    ) -> None:
        """Declare it; a value that equals a bound belongs to its bucket."""
        self.name, self.told, self.labels = name, told, labels
        self._bounds, self._scope = bounds, scope
        self._spread: dict[Labels, Distribution] = {} if labels else {(): Distribution(bounds)}

    def of(self, *labels: str) -> Distribution:
        """Return the place of these labels, to add values to."""
        place = self._spread.get(labels)
        if place is None:
            place = self._spread[labels] = Distribution(self._bounds)
        return place

    def add(self, value: float) -> None:
        """Count a value, where there are no labels."""
        self.of().add(value)

    def family(self) -> Family:
        """Return it as it stands."""
        rows = [
            (labels, [*map(float, one.counts), one.total])
            for labels, one in sorted(self._spread.items())
        ]
        return Family(self.name, self.kind, self.told, self.labels, self._scope, rows, self._bounds)


class Times:
    """How often something was done, and for how many seconds in all, by one label."""

    kind: Kind = "summary"

    def __init__(self, name: str, told: str, label: str) -> None:
        """Declare it."""
        self.name, self.told, self.labels = name, told, (label,)
        self._done: dict[str, list[float]] = {}

    def add(self, label: str, seconds: float) -> None:
        """Count one that took so long."""
        done = self._done.setdefault(label, [0.0, 0.0])
        done[0] += 1
        done[1] += seconds

    def family(self) -> Family:
        """Return it as it stands."""
        rows: list[tuple[Labels, list[float]]] = [
            ((label,), list(done)) for label, done in sorted(self._done.items())
        ]
        return Family(self.name, self.kind, self.told, self.labels, "sum", rows)


class Gauge:
    """A number of one process as it is when somebody asks."""

    kind: Kind = "gauge"

    def __init__(self, name: str, told: str, *labels: str) -> None:
        """Declare it; it is missing until somebody says where it is read."""
        self.name, self.told, self.labels = name, told, labels
        self._reading: Reading = dict

    def reads(self, reading: Reading) -> None:
        """Say where it is read, by its labels; the last who says so is asked."""
        self._reading = reading

    def family(self) -> Family:
        """Return it as it is now."""
        rows = [(labels, [float(value)]) for labels, value in sorted(self._reading().items())]
        return Family(self.name, self.kind, self.told, self.labels, "process", rows)


class Level:
    """A number that a process stands at and sets itself; missing until it has."""

    kind: Kind = "gauge"
    labels: Labels = ()

    def __init__(self, name: str, told: str, value: float | None = None) -> None:
        """Declare it."""
        self.name, self.told, self.value = name, told, value

    def family(self) -> Family:
        """Return it as it is now."""
        rows: list[tuple[Labels, list[float]]] = [((), [float(self.value or 0)])]
        return Family(
            self.name, self.kind, self.told, (), "process", [] if self.value is None else rows
        )
