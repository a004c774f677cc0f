"""Whether a drill was passed: thresholds against what was measured, and what 5xx must have.

Nothing here asks anybody; a threshold that could not be measured was not met.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from engine.kernel.errors import Misconfigured
from engine.simulation.drill.summary import Fault, Invariant, Latency, Series, Threshold, Totals


class Measured(NamedTuple):
    """What thresholds are of; `drained_s` is from the last arrival until all was recorded."""

    totals: Totals
    latency: Mapping[str, Latency]
    series: Series
    faults: Sequence[Fault]
    snapshots: Mapping[str, int]
    drained_s: float | None


class Measure(NamedTuple):
    """One thing a threshold may name."""

    unit: str
    of: Callable[[Measured], float | None]


_KINDS: Final = {"<=": "max", ">=": "min", "==": "equal"}
_WORDS: Final = {"max": "at most", "min": "at least", "equal": "exactly"}
_THIRD_MIN_S: Final = 1
# What an engine answers while something is broken on purpose; a fault alone explains these.
_EXPLAINED: Final = frozenset({"closed", "outcome_unknown"})
# What an engine answers that has more to do than it can: right as an answer. Whether a drill may
# meet it at all is its threshold `shed_share`.
_SHED: Final = "overloaded"
_AFTER_S: Final = 2.0  # a client that was told just before the end counts it a second later


def thresholds(bars: Mapping[str, str], measured: Measured) -> list[Threshold]:
    """Return every bar of a scenario with what was found.

    Raises:
        Misconfigured: a bar names no measure, or cannot be read.
    """
    return [_judged(name, bar, measured) for name, bar in bars.items()]


def check(bars: Mapping[str, str]) -> None:
    """Refuse bars that could not be judged, before an hour of load.

    Raises:
        Misconfigured: the sentence names the bar and what it may be.
    """
    for name, bar in bars.items():
        _bar(name, bar)


def sentence(threshold: Threshold) -> str:
    """Return why a threshold was not met."""
    found = "not measured" if threshold.found is None else f"{threshold.found:g} {threshold.unit}"
    bar = f"{_WORDS[threshold.kind]} {threshold.bar:g} {threshold.unit}"
    return f"{threshold.name} is {found.strip()}, wanted is {bar.strip()}"


def unexplained(failed: Mapping[int, Counter[str]], faults: Sequence[Fault]) -> Invariant:
    """Return whether every 5xx is explained: by shedding, or by a fault at that time."""
    strange: Counter[str] = Counter()
    total = shed = 0
    for second, codes in failed.items():
        during = any(_during(second, fault) for fault in faults)
        for code, count in codes.items():
            total += count
            if code == _SHED:
                shed += count
            elif not during or code not in _EXPLAINED:
                strange[f"{code} in second {second}"] += count
    told = f"{total} answers of 5xx, {shed} of them shed, {strange.total()} unexplained"
    if strange:
        told += ": " + ", ".join(f"{count} x {what}" for what, count in strange.most_common(5))
    return Invariant("no unexplained 5xx", not strange, told)


def _during(second: int, fault: Fault) -> bool:
    ends = float("inf") if fault.ended_s is None else fault.ended_s + _AFTER_S
    return int(fault.at_s) <= second <= ends


def _judged(name: str, text: str, measured: Measured) -> Threshold:
    measure, kind, bar = _bar(name, text)
    found = measure.of(measured)
    if found is not None:
        found = round(found, 4)
    return Threshold(name, kind, bar, found, measure.unit, _met(kind, bar, found))


def _met(kind: str, bar: float, found: float | None) -> bool:
    if found is None:
        return False
    return {"max": found <= bar, "min": found >= bar, "equal": found == bar}[kind]


def _bar(name: str, text: str) -> tuple[Measure, str, float]:
    if name not in MEASURES:
        raise Misconfigured(f"threshold {name}: it is none of {', '.join(sorted(MEASURES))}")
    sign, _, value = text.partition(" ")
    try:
        return MEASURES[name], _KINDS[sign], float(value)
    except (KeyError, ValueError):
        raise Misconfigured(
            f"threshold {name}: {text!r} is no bar like '<= 100', '>= 0.9' or '== 0'"
        ) from None


def _percentile(kind: str, name: str) -> Callable[[Measured], float | None]:
    def of(measured: Measured) -> float | None:
        found = measured.latency[kind]
        return float(getattr(found, name)) if found.count else None

    return of


def _share(part: Callable[[Measured], float], whole: Callable[[Measured], float]) -> Measure:
    return Measure("", lambda one: part(one) / whole(one) if whole(one) else None)


def _lag_max(measured: Measured) -> float | None:
    return max((lag for lag in measured.series.lag_s if lag is not None), default=None)


def _drift(measured: Measured) -> float | None:
    """Return how much slower the last third is than the first: medians of each second's p99."""
    known = [one for one in measured.series.p99 if one is not None]
    third = len(known) // 3
    if third < _THIRD_MIN_S or not (first := median(known[:third])):
        return None
    return median(known[-third:]) / first


def _back(measured: Measured) -> float | None:
    """Return the longest time that a fault's harm lasted."""
    lasted = [
        None if fault.ended_s is None else fault.ended_s - fault.at_s for fault in measured.faults
    ]
    known = [one for one in lasted if one is not None]
    return max(known) if known and len(known) == len(lasted) else None


def _sent(measured: Measured) -> float:
    return measured.totals.sent


def _told(measured: Measured) -> float:
    return sum(measured.snapshots.values())


MEASURES: Final[dict[str, Measure]] = {
    "accepted_p50_ms": Measure("ms", _percentile("accepted", "p50")),
    "accepted_p99_ms": Measure("ms", _percentile("accepted", "p99")),
    "accepted_p999_ms": Measure("ms", _percentile("accepted", "p999")),
    "refused_p99_ms": Measure("ms", _percentile("refused", "p99")),
    "accepted": Measure("orders", lambda one: one.totals.accepted),
    "accepted_share": _share(lambda one: one.totals.accepted, _sent),
    "refused_share": _share(lambda one: sum(one.totals.refused.values()), _sent),
    "unknown_share": _share(lambda one: one.totals.unknown, _sent),
    "paid_share": _share(lambda one: one.totals.paid, lambda one: one.totals.accepted),
    "stale_share": _share(lambda one: one.snapshots.get("stale", 0), _told),
    "dropped": Measure("orders", lambda one: one.totals.dropped),
    "failed": Measure(
        "answers", lambda one: sum(one.totals.failed.values()) - one.totals.failed.get(_SHED, 0)
    ),
    "shed_share": _share(lambda one: one.totals.failed.get(_SHED, 0), _sent),
    "lag_max_s": Measure("s", _lag_max),
    "drained_s": Measure("s", lambda one: one.drained_s),
    "back_s": Measure("s", _back),
    "p99_drift": Measure("times", _drift),
}
