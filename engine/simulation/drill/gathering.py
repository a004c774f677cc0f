"""What several generators and the observer saw, as one drill."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from engine.simulation.drill.observe import Observer
from engine.simulation.drill.summary import Generator, Latency, Series, Totals
from engine.simulation.drill.tally import KINDS, Second, Seen, added, encoded

_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}


def totals(seen: Sequence[Seen]) -> Totals:
    """Return what became of all arrivals."""
    seconds = [second for one in seen for second in one.seconds]
    return Totals(
        planned=sum(one.planned for one in seconds),
        sent=sum(one.sent for one in seconds),
        dropped=sum(one.dropped for one in seconds),
        accepted=sum(one.accepted for one in seconds),
        repeated=sum(one.repeated for one in seen),
        refused=_summed(one.refused for one in seen),
        failed=_summed(one.failed for one in seen),
        unknown=sum(one.unknown for one in seconds),
        retried=sum(one.retried for one in seen),
        paid=sum(one.paid for one in seen),
    )


def latencies(seen: Sequence[Seen]) -> tuple[dict[str, Latency], dict[str, str]]:
    """Return percentiles and histograms by what was measured."""
    found, texts = {}, {}
    for kind in KINDS:
        one = added([part.histograms[kind] for part in seen])
        found[kind] = _latency(one)
        texts[kind] = encoded(one)
    return found, texts


def generator(name: str, seen: Sequence[Seen]) -> Generator:
    """Return who made the load, CPU of all its processes together."""
    cpus = [_cpu(seconds) for seconds in zip_longest(*(one.seconds for one in seen))]
    used = [cpu for cpu in cpus if cpu is not None]
    late = added([one.late for one in seen])
    return Generator(
        name=name,
        processes=len(seen),
        cpu_mean=round(sum(used) / len(used), 3) if used else 0.0,
        cpu_max=round(max(used, default=0.0), 3),
        late_p99_ms=round(late.get_value_at_percentile(99.0) / 1_000, 2),
        aborted=any(one.aborted for one in seen),
    )


def series(seen: Sequence[Seen], observed: Observer) -> Series:
    """Return one value a second of everything, as long as anybody saw something."""
    rows = [
        [one for one in row if one is not None]
        for row in zip_longest(*(one.seconds for one in seen))
    ]
    length = max(len(rows), len(observed.lag_s))
    rows += [[] for _ in range(length - len(rows))]
    percentiles = [_of_second(row) for row in rows]
    return Series(
        second=list(range(length)),
        planned=[sum(one.planned for one in row) for row in rows],
        sent=[sum(one.sent for one in row) for row in rows],
        accepted=[sum(one.accepted for one in row) for row in rows],
        refused=[sum(one.refused for one in row) for row in rows],
        failed=[sum(sum(one.failed.values()) for one in row) for row in rows],
        dropped=[sum(one.dropped for one in row) for row in rows],
        p50=[one.get("p50") for one in percentiles],
        p90=[one.get("p90") for one in percentiles],
        p99=[one.get("p99") for one in percentiles],
        p999=[one.get("p999") for one in percentiles],
        lag_s=_filled(observed.lag_s, length),
        cpu={kind: _filled(values, length) for kind, values in observed.cpu.items()},
    )


def failures_by_second(seen: Sequence[Seen]) -> dict[int, Counter[str]]:
    """Return the 5xx of each second, by code."""
    found: dict[int, Counter[str]] = {}
    for one in seen:
        for n, second in enumerate(one.seconds):
            if second.failed:
                found.setdefault(n, Counter()).update(second.failed)
    return found


def percentile(counts: Mapping[int, int], share: float) -> int:
    """Return the value that this share of the counted ones does not exceed."""
    wanted = share * sum(counts.values())
    passed = 0
    for value in sorted(counts):
        passed += counts[value]
        if passed >= wanted:
            return value
    return max(counts, default=0)


def _of_second(row: Sequence[Second]) -> dict[str, float]:
    counts: Counter[int] = Counter()
    for one in row:
        counts.update(one.latency)
    if not counts:
        return {}
    return {
        name: percentile(counts, percent / 100) / 1_000 for name, percent in _PERCENTILES.items()
    }


def _latency(one: Any) -> Latency:
    count = int(one.get_total_count())
    if not count:
        return Latency(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p90, p99, p999 = (
        round(one.get_value_at_percentile(percent) / 1_000, 3) for percent in _PERCENTILES.values()
    )
    return Latency(count, p50, p90, p99, p999, round(one.get_max_value() / 1_000, 3))


def _cpu(row: Iterable[Second | None]) -> float | None:
    used = [one.cpu for one in row if one is not None and one.cpu is not None]
    return sum(used) if used else None


def _filled(values: Sequence[float | None], length: int) -> list[float | None]:
    return [*values, *[None] * (length - len(values))][:length]


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))
