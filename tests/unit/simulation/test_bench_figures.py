"""The arithmetic of the bench: medians, intervals, pairs, and the comparison with a baseline."""

from random import Random
from statistics import median

import msgspec
import pytest

from engine.simulation.bench import baseline, report
from engine.simulation.bench.figures import figure, interval, quotient, ratios
from engine.simulation.bench.machine import Machine, Versions
from engine.simulation.bench.report import Report, Row

#    values         low high coverage in %
# fmt: off
INTERVALS = {
    "one value knows nothing": ([5],           5,  5, 0.0),
    "two cover half":          ([1, 2],        1,  2, 50.0),
    "six are the first to do": (range(1, 7),   1,  6, 96.9),
    "seven":                   (range(1, 8),   1,  7, 98.4),
    "eight":                   (range(1, 9),   1,  8, 99.2),
    "nine leave out one each": (range(1, 10),  2,  8, 96.1),
    "fifteen":                 (range(1, 16),  4, 12, 96.5),
}
# fmt: on


@pytest.mark.parametrize(("values", "low", "high", "coverage"), INTERVALS.values(), ids=INTERVALS)
def test_the_interval_of_a_median(values, low, high, coverage):
    shuffled = list(values)
    Random(1).shuffle(shuffled)
    found = interval(shuffled)
    assert (found.low, found.high) == (low, high)
    assert round(found.coverage * 100, 1) == coverage


def test_the_interval_covers_the_median_as_often_as_it_says():
    """Of a skewed distribution, too: nothing is assumed about it."""
    rng, inside = Random(7), 0
    for _ in range(4_000):
        found = interval([rng.expovariate(1) for _ in range(9)])
        inside += found.low <= 0.6931 <= found.high
    assert inside / 4_000 == pytest.approx(0.961, abs=0.012)


def test_a_figure_tells_the_middle_half_and_all():
    found = figure([10, 12, 9, 8, 30, 11, 1, 10])
    assert found.median == 10
    assert found.spread == pytest.approx(0.2)
    assert found.reach == pytest.approx(2.9)
    assert found.n == 8


# Left out at each end is the critical value of the Mann-Whitney test, as tables of it have it.
#    n   m  critical
# fmt: off
CRITICAL = {
    "four and four": (4, 4, 0),
    "five and five": (5, 5, 2),
    "five and nine": (5, 9, 7),
    "seven":         (7, 7, 8),
    "ten":           (10, 10, 23),
    "fifteen":       (15, 15, 64),
}
# fmt: on


@pytest.mark.parametrize(("n", "m", "critical"), CRITICAL.values(), ids=CRITICAL)
def test_the_interval_of_a_quotient_is_what_the_rank_test_does_not_reject(n, m, critical):
    rng = Random(3)
    values, others = ([rng.uniform(1, 2) for _ in range(size)] for size in (n, m))
    found = quotient(values, others)
    every = sorted(one / other for one in values for other in others)
    assert (found.low, found.high) == (every[critical], every[-1 - critical])
    assert found.coverage >= 0.95
    assert found.median == median(every)


def test_the_interval_of_a_quotient_covers_it_as_often_as_it_says():
    rng, inside, said = Random(7), 0, set()
    for _ in range(2_000):
        values = [1.1 * rng.lognormvariate(0, 0.4) for _ in range(7)]
        found = quotient(values, [rng.lognormvariate(0, 0.4) for _ in range(9)])
        said.add(found.coverage)
        inside += found.low <= 1.1 <= found.high
    assert inside / 2_000 == pytest.approx(said.pop(), abs=0.015)


def test_a_quotient_of_few_says_how_little_it_knows():
    found = quotient([2.0, 4.0], [1.0, 2.0])
    assert (found.median, found.low, found.high, found.n) == (2.0, 1.0, 4.0, 2)
    assert found.coverage == pytest.approx(2 / 3)


def test_pairs_are_divided_one_by_one_and_an_empty_floor_is_left_out():
    """The ratio of medians would be another number: pairs share their minute of the machine."""
    values, floors = [10.0, 30.0, 80.0], [10.0, 20.0, 40.0]
    assert median(ratios(values, floors)) == 1.5
    assert ratios([1.0, 2.0], [0.0, 4.0]) == [0.5]


# Against a baseline.


def row(name="single", **legs):
    return Row(name=name, title="t", to_bare={leg: figure(values) for leg, values in legs.items()})


def compared(then, now):
    return baseline.compare({then.name: then}, {now.name: now})


#    now: seven ratios, where the baseline's median is 2.0                    worse
# fmt: off
CHANGES = {
    "the same":                        ([2.0, 2.1, 1.9, 2.0, 2.0, 2.1, 1.9],    False),
    "more, but by less than 15 %":     ([2.2, 2.25, 2.2, 2.2, 2.28, 2.2, 2.2],  False),
    "certainly more than 15 %":        ([2.4, 2.5, 2.4, 2.31, 2.4, 2.4, 2.6],   True),
    "far more, but one pair says no":  ([3.0, 3.1, 3.0, 2.29, 3.0, 3.0, 3.0],   False),
    "less":                            ([1.0, 1.1, 1.0, 1.0, 1.0, 1.0, 1.0],    False),
}
# fmt: on


@pytest.mark.parametrize(("now", "worse"), CHANGES.values(), ids=CHANGES)
def test_only_what_is_certain_is_worse(now, worse):
    (change,) = compared(row(ingest=[2.0] * 7), row(ingest=now))
    assert change.worse is worse
    assert change.change == pytest.approx(median(now) / 2 - 1)
    assert change.low == pytest.approx(min(now) / 2 - 1)


LEGS = ("ingest", "cell", "recorder", "postgres")


def several(cost, **others):
    """Three scenarios with four legs each; `others` are costs of legs of the first."""
    found = {}
    for name in ("single", "paid", "sync"):
        legs = {leg: [cost] * 7 for leg in LEGS}
        if name == "single":
            legs |= {leg: [value] * 7 for leg, value in others.items()}
        found[name] = row(name, **legs)
    return found


def test_what_all_have_in_common_is_the_machine_and_what_goes_beyond_it_is_not():
    then = several(1.0)
    alike = baseline.compare(then, several(1.4))
    assert [one.worse for one in alike] == [False] * 12
    assert baseline.common(alike) == [
        "half of all legs are at least +40%: a leg is worse 15% beyond that"
    ]
    one = baseline.compare(then, several(1.4, ingest=1.7))
    assert [(one.name, one.leg) for one in one if one.worse] == [("single", "ingest")]
    quiet = baseline.compare(then, several(1.0, ingest=1.2, cell=1.2, recorder=1.2, postgres=1.2))
    assert {one.leg for one in quiet if one.worse} == set(LEGS), "a third is no machine"
    assert baseline.common(quiet) == []
    faster = baseline.compare(then, several(0.7, ingest=1.1))
    assert not any(one.worse for one in faster), "nothing is worse than it was"


def test_a_few_legs_have_nothing_in_common():
    then = {"single": row(ingest=[1.0] * 7, cell=[1.0] * 7)}
    found = baseline.compare(then, {"single": row(ingest=[1.4] * 7, cell=[1.4] * 7)})
    assert [one.worse for one in found] == [True, True]


def told(**given):
    return Report(
        **{
            "machine": None, "versions": None, "durability": "fsync", "api_processes": 1,
            "quick": True, "pairs": 7, "orders": 1, "rows": [], "bars": [], "noise": None,
            "certificate": None, "notes": [], "faults": [], "seconds": 1.0, **given,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("again", "worse"), [(CHANGES["the same"][0], False), ([2.4] * 7, True), (None, True)]
)
def test_what_looks_worse_has_to_look_so_again(again, worse):
    then, first = row(ingest=[2.0] * 7), row(ingest=[2.5] * 7)
    second = compared(then, row(ingest=again)) if again else []
    found = baseline.confirmed(
        told(changes=compared(then, first)), told(changes=second, pairs=15, faults=["lost"])
    )
    assert [one.worse for one in found.changes] == [worse]
    assert found.faults == ["lost"], "a fault of the second one is a fault"
    assert ("at least +25%" in "".join(found.notes)) is bool(again)


def test_what_did_not_look_worse_is_not_made_so_by_the_second_time():
    then = row(ingest=[2.0] * 7)
    first, second = compared(then, row(ingest=[2.0] * 7)), compared(then, row(ingest=[3.0] * 7))
    found = baseline.confirmed(told(changes=first), told(changes=second))
    assert [one.worse for one in found.changes] == [False]


def test_on_another_machine_nothing_is_judged_to_be_worse():
    then, now = row(ingest=[2.0] * 7), row(ingest=[9.0] * 7)
    (change,) = baseline.compare({"single": then}, {"single": now}, same_machine=False)
    assert (change.worse, change.change) == (False, 3.5)


def test_what_costs_nearly_nothing_and_what_is_no_cost_is_not_judged():
    then = row(ingest=[1.0], cell=[0.01], answers=[1.0])
    (change,) = compared(then, row(ingest=[1.0], cell=[0.09], answers=[0.1]))
    assert change.leg == "ingest"


def test_a_cost_that_was_nothing_is_judged_once_it_is_something():
    (change,) = compared(row(cell=[0.01]), row(cell=[0.5]))
    assert change.worse


def test_what_only_one_of_both_has_is_not_compared():
    assert compared(row(ingest=[1.0]), row(cell=[1.0])) == []
    assert compared(row("single", ingest=[1.0]), row("hot", ingest=[9.0])) == []


def a_report(**given):
    told = {
        "machine": Machine(cpu="c", cores=2, system="s", load=[0.0], commit=""),
        "versions": Versions(python="3", valkey="v", postgres="p", packages={}),
        "durability": "fsync", "api_processes": 1, "quick": True, "pairs": 7, "orders": 10,
        "rows": [], "bars": [], "noise": None, "certificate": None, "changes": [], "notes": [],
        "faults": [], "seconds": 1.0,
    }  # fmt: skip
    return report.Report(**(told | given))


def test_a_report_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "kept.json"
    kept = a_report(rows=[row(ingest=[1.5, 1.6])])
    path.write_bytes(msgspec.json.encode(kept))
    assert baseline.read(path) == kept


def test_another_machine_is_said():
    here = a_report()
    assert baseline.remarks(here, here.machine, here.versions) == []
    there = msgspec.structs.replace(here.machine, cores=64)
    (said,) = baseline.remarks(here, there, here.versions)
    assert "the baseline is of c, 2 cores, Python 3" in said


@pytest.mark.parametrize("text", [None, "", "{}", "no"])
def test_what_is_no_report_is_refused(tmp_path, text):
    path = tmp_path / "kept.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(baseline.Unusable, match=r"cannot be read|is not what"):
        baseline.read(path)
