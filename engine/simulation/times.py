"""Percentiles as they are told."""

from collections.abc import Sequence

from engine.kernel import codec
from engine.simulation.seen import percentile


class Latency(codec.Answer, frozen=True):
    """Percentiles of one kind of time, milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


def latency(seconds: Sequence[float]) -> Latency:
    """Return the percentiles of times in seconds; all 0 of none."""
    ordered = sorted(seconds)
    p50, p95, p99, longest = (
        round(percentile(ordered, share) * 1_000, 1) for share in (0.5, 0.95, 0.99, 1.0)
    )
    return Latency(p50, p95, p99, longest)
