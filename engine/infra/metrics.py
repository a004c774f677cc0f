"""Every metric, declared: what a process counts itself, and what is read when somebody asks.

Counting is an addition to a number of Python's; names, labels and text are made when `/metrics` is
asked. Labels are nodes, services, channels, plans and words: few, and none of a person. What a
worker counts is at its own port (TIDEGATE_METRICS_PORT), what is read of the database at the API's.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from engine.infra.postgres import UNAVAILABLE, Pool
from engine.kernel.clock import Clock

_FRESH_S: Final = 5.0
_log: Final = structlog.get_logger(__name__)
Family = CounterMetricFamily | GaugeMetricFamily | SummaryMetricFamily


class Counts:
    """A number that only grows, by one label or by some."""

    def __init__(self, name: str, told: str, *labels: str) -> None:
        """Declare it; its name ends in `_total` where it is shown."""
        self.name, self._told, self._labels = name, told, labels
        self._counts = Counter[tuple[str, ...]]()

    def add(self, label: str | tuple[str, ...], n: int = 1) -> None:
        """Count; of several labels all are given."""
        self._counts[label if isinstance(label, tuple) else (label,)] += n

    def family(self) -> Family:
        """Return it as it is shown."""
        found = CounterMetricFamily(self.name, self._told, labels=self._labels)
        for labels, n in sorted(self._counts.items()):
            found.add_metric(labels, n)
        return found


class Times:
    """How often something was done, and for how many seconds in all, by one label."""

    def __init__(self, name: str, told: str, label: str) -> None:
        """Declare it."""
        self.name, self._told, self._label = name, told, label
        self._done = Counter[str]()
        self._seconds: dict[str, float] = {}

    def add(self, label: str, seconds: float) -> None:
        """Count one that took so long."""
        self._done[label] += 1
        self._seconds[label] = self._seconds.get(label, 0.0) + seconds

    def family(self) -> Family:
        """Return it as it is shown."""
        found = SummaryMetricFamily(self.name, self._told, labels=[self._label])
        for label, n in sorted(self._done.items()):
            found.add_metric([label], n, self._seconds[label])
        return found


class Measure(NamedTuple):
    """A number that is read of the database; `labels` are the names of its labels."""

    name: str
    told: str
    labels: tuple[str, ...] = ()


ROUTE_SECONDS: Final = Times(
    "tidegate_route_seconds", "What a router's batches took, by what was done of them", "stage"
)
ROUTED: Final = Counts("tidegate_routed", "Decisions of routers, by what came of them", "verdict")
LEGS_BREACHED: Final = Counts(
    "tidegate_legs_breached", "Stretches of parcels' ways that took too long", "service"
)
SHADOW_DIFFERENCES: Final = Counts(
    "tidegate_shadow_differences", "Orders that a SHADOW plan would send otherwise", "plan"
)
RULE_FAULTS: Final = Counts(
    "tidegate_rule_faults", "Conditions that failed, so that they did not hold", "plan"
)
WMS_CALLS: Final = Counts(
    "tidegate_wms_calls",
    "Calls to nodes' systems, by what was answered",
    "node",
    "method",
    "outcome",
)
STOPS: Final = Counts(
    "tidegate_stops", "Requests that something be stopped, by the one answer of each", "answer"
)
COUNTED: Final = (
    ROUTE_SECONDS, ROUTED, LEGS_BREACHED, SHADOW_DIFFERENCES, RULE_FAULTS, WMS_CALLS, STOPS,
)  # fmt: skip

ROUTE_QUEUE: Final = Measure(
    "tidegate_route_queue", "Orders that wait to be routed, by queue", ("queue",)
)
ROUTE_QUEUE_OLDEST: Final = Measure(
    "tidegate_route_queue_oldest_seconds", "How long the oldest of them waits", ("queue",)
)
BROKEN_PROMISES: Final = Measure(
    "tidegate_broken_promises", "Order lines that were sold and that no node can send"
)
ACKS: Final = Measure(
    "tidegate_acks", "Parcels that marketplaces have not confirmed", ("channel", "state")
)
JOBS: Final = Measure(
    "tidegate_jobs", "Calls to the outside that wait, or were given up", ("queue", "state")
)
WMS_BREAKER_OPEN: Final = Measure(
    "tidegate_wms_breaker_open", "Whether a node's system is only probed now and then", ("node",)
)
MEASURED: Final = (
    ROUTE_QUEUE, ROUTE_QUEUE_OLDEST, BROKEN_PROMISES, ACKS, JOBS, WMS_BREAKER_OPEN,
)  # fmt: skip

Values = Mapping[Measure, Mapping[tuple[str, ...], float]]
Reading = Callable[[Pool], Awaitable[Values]]


class _Counted(Collector):
    """What this process counted."""

    def collect(self) -> Iterator[Family]:
        for one in COUNTED:
            yield one.family()


REGISTRY.register(_Counted())


class Measured(Collector):
    """What the database says; read when it is asked for, and not twice within some seconds.

    While it says nothing, these metrics are missing: an old number would look like a new one.
    """

    def __init__(self, pool: Pool, time: Clock, readings: Sequence[Reading]) -> None:
        """Take what reads it; nothing was read yet."""
        self._pool, self._clock, self._readings = pool, time, readings
        self._at = float("-inf")
        self._values: list[Values] = []

    async def refresh(self) -> None:
        """Read what is older than it may be; never raises."""
        now = self._clock.monotonic()
        if now - self._at < _FRESH_S:
            return
        self._at = now
        try:
            self._values = [await one(self._pool) for one in self._readings]
        except UNAVAILABLE as away:
            self._values = []
            _log.warning("measures_missing", reason=type(away).__name__)

    def collect(self) -> Iterator[Family]:
        """Return what was read last."""
        for values in self._values:
            for measure, found in values.items():
                family = GaugeMetricFamily(measure.name, measure.told, labels=measure.labels)
                for labels, value in sorted(found.items()):
                    family.add_metric(labels, value)
                yield family


def names() -> Iterable[str]:
    """Return what everything is called, as it is declared."""
    return [one.name for one in (*COUNTED, *MEASURED)]
