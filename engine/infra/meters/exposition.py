"""Metrics as Prometheus reads them, and what prometheus-client counts of the process itself."""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from engine.infra.meters.families import Family, Kind, Labels

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Shown(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return map(_metric, self._families)


def text(families: Iterable[Family]) -> bytes:
    """Return metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(families))
    return generate_latest(registry)


def of_this_process() -> list[Family]:
    """Return memory, descriptors, CPU and collections of garbage, as prometheus-client has them."""
    return [_family(one) for one in REGISTRY.collect()]


def _family(metric: Metric) -> Family:
    samples = [one for one in metric.samples if not one.name.endswith("_created")]
    labels: Labels = tuple(samples[0].labels) if samples else ()
    rows = [(tuple(one.labels.values()), [float(one.value)]) for one in samples]
    kind: Kind = "counter" if metric.type == "counter" else "gauge"
    return Family(metric.name, kind, metric.documentation, labels, "process", rows)


def _metric(one: Family) -> Metric:
    name, told, labels = one.name, one.told, one.labels
    if one.kind == "counter":
        counter = CounterMetricFamily(name, told, labels=labels)
        for values, (n,) in one.rows:
            counter.add_metric(values, n)
        return counter
    if one.kind == "histogram":
        histogram = HistogramMetricFamily(name, told, labels=labels)
        bounds = [*(str(float(bound)) for bound in one.bounds), "+Inf"]
        for values, (*counts, total) in one.rows:
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            histogram.add_metric(values, buckets, total)
        return histogram
    if one.kind == "summary":
        summary = SummaryMetricFamily(name, told, labels=labels)
        for values, (n, total) in one.rows:
            summary.add_metric(values, int(n), total)
        return summary
    gauge = GaugeMetricFamily(name, told, labels=labels)
    for values, (n,) in one.rows:
        gauge.add_metric(values, n)
    return gauge
