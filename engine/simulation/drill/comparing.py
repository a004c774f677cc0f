"""What got worse from one drill to another, beyond the noise: pure arithmetic, no dice.

With at least three runs a side the noise is what runs of a side differ by (Student's t on their
logarithms). Six runs estimate that only widely, so where all of one side lie beyond all of the
other no more is asked for than the floor of single runs. With fewer it comes from the seconds:
each run is cut into stretches, the same ones on both sides so that the curve of the load cancels
out, and the change is computed again without each stretch in turn (the jackknife over blocks;
Kuensch 1989). Seconds cannot tell that a whole run had a bad day, so below a floor nothing counts;
it is the higher the fewer runs there are.
"""

from collections.abc import Callable, Iterator, Sequence
from math import exp, log, sqrt
from statistics import median, stdev
from typing import Final, NamedTuple

from engine.kernel import codec
from engine.simulation.drill.histograms import Spread
from engine.simulation.drill.stretches import Stretch, cut, together, without
from engine.simulation.drill.student import quantile
from engine.simulation.drill.summary import Summary

RUNS_MIN: Final = 3  # a side, for noise between runs
_STRETCHES_MAX: Final = 20
_STRETCH_SECONDS: Final = 3
_STRETCHES_MIN: Final = 4
_SURE: Final = 0.998  # one-sided, of each of about fifteen metrics
_SAME_LOAD: Final = 0.05
_NONE: Final = 1e-9
_EXPECTED: Final = {"commit", "load"}  # to differ
_SHORT_S: Final = 15
_GENERATOR: Final = "generator"  # its CPU is none of the engine's
# Parts, and the least changes that count: with noise of runs, and of seconds.
_LATENCIES: Final = (
    (0.5, (0.05, 0.25)),
    (0.9, (0.05, 0.25)),
    (0.99, (0.1, 0.35)),
    (0.999, (0.2, 0.6)),
)
_SHARES: Final = (
    ("refused", "sent", "refused of sent"),
    ("failed", "sent", "failed of sent"),
    ("unknown", "sent", "without an answer"),
    ("dropped", "planned", "dropped of planned"),
)

WORSE: Final = "worse"
BETTER: Final = "better"
SAME: Final = "same"


class Run(NamedTuple):
    """A drill, and the histogram of its accepted orders."""

    summary: Summary
    accepted: Spread


class Row(codec.Answer, frozen=True):
    """A metric of both sides; `change` and `noise` are parts of `a`, or differences (`absolute`).

    None: it was not measured on that side.
    """

    metric: str
    unit: str
    a: float | None
    b: float | None
    change: float | None
    noise: float | None
    absolute: bool
    verdict: str


class Comparison(codec.Answer, frozen=True):
    """Two sides, row by row; `method` says where the noise is from: `runs` or `seconds`."""

    scenario: str
    a: list[str]
    b: list[str]
    method: str
    rows: list[Row]
    broken: list[str]
    notes: list[str]

    @property
    def worse(self) -> list[str]:
        """What got worse, thresholds and invariants first."""
        return [*self.broken, *(one.metric for one in self.rows if one.verdict == WORSE)]


class _Metric(NamedTuple):
    """A figure of a stretch or a run; `floors` are with noise of runs and of seconds.

    What is `absolute` is compared by its difference, everything else by its ratio. What is
    `counted` of an open load does not vary from second to second: that a stretch has none is what
    was found, and no noise. Of `clumped` ones (a fault fails all that is in flight, however many
    that were) only a doubling counts.
    """

    name: str
    unit: str
    of: Callable[[Stretch], float | None]
    floors: tuple[float, float]
    more_is_better: bool = False
    absolute: bool = False
    counted: bool = False
    clumped: bool = False


def different(a: Sequence[Summary], b: Sequence[Summary]) -> list[str]:
    """Say why these runs are not of one load; empty if they are."""
    told = []
    every = [*a, *b]
    scenarios = sorted({one.scenario for one in every})
    if len(scenarios) > 1:
        told.append(f"they are of different scenarios: {', '.join(scenarios)}")
    for name, values in (
        ("seconds long", [one.seconds for one in every]),
        ("a second planned at most", [one.rate_target_max for one in every]),
    ):
        if max(values) > min(values) * (1 + _SAME_LOAD):
            told.append(f"one is {min(values):,.0f} {name}, another {max(values):,.0f}")
    return told


def compare(a: Sequence[Run], b: Sequence[Run]) -> Comparison:
    """Compare two sides of at least one run each."""
    by_runs = min(len(a), len(b)) >= RUNS_MIN
    both = _runs(a, b) if by_runs else _seconds(a, b)
    return Comparison(
        scenario=a[0].summary.scenario,
        a=[one.summary.run_id for one in a],
        b=[one.summary.run_id for one in b],
        method="runs" if by_runs else "seconds",
        rows=[both(metric) for metric in _metrics(a, b)],
        broken=list(_broken(a, b)),
        notes=list(_notes(a, b, by_runs=by_runs)),
    )


def _metrics(a: Sequence[Run], b: Sequence[Run]) -> Iterator[_Metric]:
    accepted = _rate("accepted", "seconds")
    yield _Metric("orders accepted", "/s", accepted, (0.02, 0.1), more_is_better=True, counted=True)
    for part, floors in _LATENCIES:
        yield _Metric(f"latency p{100 * part:g}", "ms", _latency(part), floors)
    for name, of, told in _SHARES:
        share = _rate(name, of, 100)
        yield _Metric(told, "%", share, (0.1, 0.5), absolute=True, counted=True, clumped=True)
    silent = _rate("silent", "runs")
    yield _Metric(
        "without an accepted order", "s", silent, (2, 3), absolute=True, counted=True, clumped=True
    )
    lag = _rate("lag", "lags")
    yield _Metric("oldest unrecorded order, mean", "s", lag, (0.05, 0.25), absolute=True)
    sides = [{name for one in side for name in one.summary.series.cpu} for side in (a, b)]
    for name in sorted((sides[0] & sides[1]) - {_GENERATOR}):
        cpu = _rate(f"cpu {name}", "accepted", 1e6)
        yield _Metric(f"CPU of {name} an order", "us", cpu, (0.05, 0.25))


def _rate(name: str, of: str, times: float = 1) -> Callable[[Stretch], float | None]:
    return lambda one: one.rate(name, of, times)


def _latency(part: float) -> Callable[[Stretch], float | None]:
    return lambda one: one.latency(part)


def _runs(a: Sequence[Run], b: Sequence[Run]) -> Callable[[_Metric], Row]:
    """Return how a metric is judged by what runs of a side differ by."""
    sides = [[_whole(one) for one in side] for side in (a, b)]

    def judged(metric: _Metric) -> Row:
        values = [[metric.of(one) for one in side] for side in sides]
        if any(value is None for side in values for value in side):
            return _unmeasured(metric, *(_middle(side) for side in values))
        of_a, of_b = ([value for value in side if value is not None] for side in values)
        noise = _between(of_a, of_b, metric)
        return _row(metric, median(of_a), median(of_b), noise, metric.floors[0])

    return judged


def _between(a: Sequence[float], b: Sequence[float], metric: _Metric) -> float:
    """Return what a difference must exceed to be none of the runs' own."""
    if not metric.absolute:
        if min(*a, *b) <= _NONE:
            return 0.0
        a, b = [log(one) for one in a], [log(one) for one in b]
    free = len(a) + len(b) - 2
    squares = (len(a) - 1) * stdev(a) ** 2 + (len(b) - 1) * stdev(b) ** 2
    noise = quantile(_SURE, free) * sqrt(squares / free * (1 / len(a) + 1 / len(b)))
    apart = max(a) < min(b) or max(b) < min(a)
    if apart and not metric.absolute:
        return min(noise, log(1 + metric.floors[1]))
    return noise


def _seconds(a: Sequence[Run], b: Sequence[Run]) -> Callable[[_Metric], Row]:
    """Return how a metric is judged by what seconds differ by."""
    shortest = min(len(one.summary.series.second) for one in (*a, *b))
    many = max(min(_STRETCHES_MAX, shortest // _STRETCH_SECONDS), _STRETCHES_MIN)
    wholes = [together(map(_whole, side)) for side in (a, b)]
    pairs = list(zip(*(_but_one(side, many) for side in (a, b)), strict=False))

    def judged(metric: _Metric) -> Row:
        was, now = map(metric.of, wholes)
        if was is None or now is None:
            return _unmeasured(metric, was, now)
        values = [] if metric.counted else [(metric.of(one), metric.of(two)) for one, two in pairs]
        changes = [
            _difference(one, two, metric)
            for one, two in values
            if one is not None and two is not None
        ]
        return _row(metric, was, now, _jackknife(changes), metric.floors[1])

    return judged


def _but_one(side: Sequence[Run], many: int) -> list[Stretch]:
    """Return a side without each of its stretches in turn."""
    cuts = zip(*(cut(one.summary, many) for one in side), strict=False)
    stretches = [together(each) for each in cuts]
    whole = together(stretches)
    return [without(whole, one) for one in stretches]


def _jackknife(changes: Sequence[float]) -> float:
    """Return what a difference must exceed, of the differences that leave one stretch out."""
    many = len(changes)
    if many < _STRETCHES_MIN:
        return 0.0
    return quantile(_SURE, many - 1) * (many - 1) / sqrt(many) * stdev(changes)


def _whole(run: Run) -> Stretch:
    """Return a run as one stretch, with what only its totals and its histogram know."""
    (one,) = cut(run.summary, 1)
    exact = run.accepted if run.accepted.count else None
    sums = {**one.sums, "unknown": run.summary.totals.unknown}
    return one._replace(sums=sums, exact=exact)


def _difference(was: float, now: float, metric: _Metric) -> float:
    if metric.absolute:
        return now - was
    return log(max(now, _NONE) / max(was, _NONE))


def _row(metric: _Metric, was: float, now: float, noise: float, floor: float) -> Row:
    """Judge a change; that of a ratio was judged by its logarithm, alike up and down."""
    change = _difference(was, now, metric)
    limit = max(noise, floor if metric.absolute else log(1 + floor))
    if metric.clumped:
        limit = max(limit, max(was, now) / 2)
    verdict = SAME
    if abs(change) > limit:
        verdict = BETTER if (change > 0) == metric.more_is_better else WORSE
    told = (change, limit) if metric.absolute else (exp(change) - 1, exp(limit) - 1)
    return Row(metric.name, metric.unit, was, now, *told, metric.absolute, verdict)


def _unmeasured(metric: _Metric, was: float | None, now: float | None) -> Row:
    """Judge what one side has not: an engine that accepted nothing has no latency at all."""
    return Row(metric.name, metric.unit, was, now, None, None, metric.absolute, SAME)


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _broken(a: Sequence[Run], b: Sequence[Run]) -> Iterator[str]:
    """Name what A kept in all its runs and B did not in most of its own.

    An invariant may not break even once.
    """
    for name in sorted(_missed(b, "invariants") - _missed(a, "invariants")):
        yield f"invariant {name}: it held in A, and is broken in B"
    often = [one for one in _missed(b, "thresholds") if _misses(b, one) * 2 > len(b)]
    for name in sorted(set(often) - _missed(a, "thresholds")):
        yield f"threshold {name}: met in A, and missed in B"


def _missed(side: Sequence[Run], what: str) -> set[str]:
    return {one.name for run in side for one in getattr(run.summary, what) if not one.met}


def _misses(side: Sequence[Run], name: str) -> int:
    return sum(
        any(one.name == name and not one.met for one in run.summary.thresholds) for run in side
    )


def _notes(a: Sequence[Run], b: Sequence[Run], *, by_runs: bool) -> Iterator[str]:
    """Say what makes the comparison weaker."""
    if not by_runs:
        yield (
            f"with fewer than {RUNS_MIN} runs a side the noise is that of seconds: a run that was"
            " slow as a whole cannot be told from a slower engine, so small changes do not count"
        )
        if min(one.summary.seconds for one in (*a, *b)) < _SHORT_S:
            yield f"a run of less than {_SHORT_S} s hardly tells what noise is: little is judged"
    keys = sorted({key for run in (*a, *b) for key in run.summary.machine} - _EXPECTED)
    for key in keys:
        sides = [sorted({one.summary.machine.get(key, "-") for one in side}) for side in (a, b)]
        if sides[0] != sides[1]:
            yield f"{key} differs: {', '.join(sides[0])} in A, {', '.join(sides[1])} in B"
    yield from (
        f"{one.summary.run_id}: aborted, its generator was the bottleneck"
        for one in (*a, *b)
        if one.summary.generator.aborted
    )
