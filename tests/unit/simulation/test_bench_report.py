"""What a run of the bench comes to, and how it is told."""

from random import Random

import pytest

from engine.simulation.bench import bars, report, scenarios, show
from engine.simulation.bench.figures import figure
from engine.simulation.bench.machine import Machine, Versions
from engine.simulation.bench.report import Change, Report, Row
from engine.simulation.bench.scenarios import BY_NAME, UnknownName, chosen, usual
from engine.simulation.bench.types import Sample

SINGLE = BY_NAME["single"]


def sample(**given):
    told = {
        "asked": 100, "orders": 100, "orders_per_s": 5_000.0, "answers_per_s": 6_000.0,
        "p50_ms": 20.0, "p99_ms": 40.0, "late_p99_ms": 0.0, "statuses": {"202": 100},
        "cpu_us": {}, "foreign": 0.1,
    }  # fmt: skip
    return Sample(**(told | given))


def cost(ingest, cell=40.0, recorder=30.0, postgres=20.0):
    return {"ingest": ingest, "cell": cell, "recorder": recorder, "postgres": postgres}


def test_ratios_are_taken_pair_by_pair_and_legs_are_added_up():
    floors = [sample(cpu_us={"ingest": us}, answers_per_s=10_000.0) for us in (50, 100, 60)]
    samples = [sample(cpu_us=cost(us)) for us in (100, 200, 60)]
    row = report.row(SINGLE, samples, floors, "")
    assert row.to_bare["ingest"].median == 2.0
    assert (row.to_bare["ingest"].low, row.to_bare["ingest"].high) == (1.0, 2.0)
    assert row.to_bare["answers"].median == 0.6
    assert row.cpu_us["recording"].median == 50.0
    assert row.cpu_us["total"].median == 190.0
    assert row.orders == 300
    assert row.statuses == {"202": 300}
    assert row.note == ""


def test_what_is_not_visible_is_not_made_up():
    """With a Postgres elsewhere nothing can be said of recording."""
    known = cost(100.0)
    del known["postgres"]
    row = report.row(SINGLE, [sample(cpu_us=known)], [sample(cpu_us={"ingest": 50.0})], "")
    assert row.cpu_us.keys() == {"ingest", "cell", "recorder"}
    assert row.to_bare.keys() == {"ingest", "cell", "recorder", "answers"}


def test_an_answer_about_many_orders_is_not_held_against_one_about_one():
    row = report.row(BY_NAME["batch"], [sample()], [sample()], "")
    assert "answers" not in row.to_bare


def test_the_generator_is_no_cost_of_the_engine():
    floors = [sample(cpu_us={"ingest": 50.0, "generator": 20.0})]
    row = report.row(SINGLE, [sample(cpu_us=cost(50.0) | {"generator": 20.0})], floors, "")
    assert row.cpu_us["total"].median == 140.0
    assert "generator" not in row.to_bare


# fmt: off
SURPRISES = {
    "none": (
        "single", {"statuses": {"202": 100}},
        ""),
    "refusals": (
        "single", {"statuses": {"202": 97, "503": 3}, "orders": 97},
        "unexpected: 3 x 503"),
    "no answer": (
        "single", {"statuses": {"0": 1, "202": 99}, "orders": 99},
        "unexpected: 1 without an answer"),
    "inside a batch": (
        "batch", {"statuses": {"200": 1}, "orders": 60},
        "40 orders were not accepted"),
    "not sold out": (
        "sold-out", {"statuses": {"202": 1, "409": 99}},
        "unexpected: 1 x 202"),
    "on schedule": (
        "latency", {"late_p99_ms": 2.25},
        "requests went out up to 2.2 ms late (p99), which counts"),
}
# fmt: on


@pytest.mark.parametrize(("name", "given", "said"), SURPRISES.values(), ids=SURPRISES)
def test_surprises_are_said(name, given, said):
    assert report.surprise(BY_NAME[name], [sample(**given)]) == said


#    accepted unanswered recorded broken
# fmt: off
LOSSES = {
    "all there":                      (10, 0, 10, False),
    "one is missing":                 (10, 0, 9,  True),
    "one too many":                   (10, 0, 11, True),
    "no answer, and recorded":        (10, 1, 11, False),
    "no answer, and not":             (10, 1, 10, False),
    "an answer is stronger than that": (10, 1, 9, True),
}
# fmt: on


@pytest.mark.parametrize(
    ("accepted", "unanswered", "recorded", "broken"), LOSSES.values(), ids=LOSSES
)
def test_an_order_that_was_accepted_is_recorded(accepted, unanswered, recorded, broken):
    assert bool(report.lost(accepted, unanswered, recorded)) is broken


# The budget.


def a_row(name="single", **given):
    return Row(name=name, title="t", **given)


def judged(row, cores=2):
    return {bar.leg: bar for bar in bars.judge({row.name: row}, cores)}


def test_the_first_bar_is_hit_or_missed_by_the_median():
    legs = judged(a_row(to_bare={"ingest": figure([1.5])}, orders_per_s=figure([8_999.0])))
    assert legs["ingest CPU an order, single"].hit is True
    assert legs["single orders, accepted and recorded"].hit is False


def test_what_was_not_measured_is_neither():
    legs = judged(a_row("batch", available=False, note="this version has no such call"))
    batch = legs["orders:batch, accepted and recorded"]
    assert (batch.hit, batch.note) == (None, "this version has no such call")
    assert legs["orders:sync, accepted and recorded"].note == "not run"
    assert legs["routing decision, CPU an order"].hit is None
    cell = judged(a_row("cell", orders_per_s=figure([1.0])))["cell CPU an order, 64 a call"]
    assert (cell.hit, cell.note) == (None, "its CPU is not visible here")


def test_rates_say_that_they_are_meant_for_two_cores():
    legs = judged(a_row("paid", orders_per_s=figure([9_000.0])), cores=64)
    paid = legs["the same with a payment each"]
    assert (paid.hit, paid.note) == (True, "the bar is meant for 2 cores, here are 64")


def test_routing_is_judged_by_the_worst_mix_of_lines_at_the_usual_size():
    def a_line(lines, nodes, processes, rate, decide):
        return report.RoutingRow(
            nodes=nodes, lines=lines, lines_each=1.0, processes=processes, orders=1, parcels=1,
            rebinds=0, orders_per_s=rate, cpu_us={"decide": decide},
        )  # fmt: skip

    rows = [
        a_line("real", 20, 1, 900.0, 151.0), a_line("sale", 20, 1, 900.0, 40.0),
        a_line("real", 20, 2, 1_999.0, 149.0), a_line("sale", 20, 2, 2_000.0, 40.0),
        a_line("real", 50, 2, 5_000.0, 999.0),
    ]  # fmt: skip
    legs = {one.leg: one for one in bars.judge({}, 2, rows)}
    decision = legs["routing decision, CPU an order"]
    assert (decision.figure.median, decision.hit) == (151.0, False)
    assert legs["orders routed and bound, 1 or 2 lines"].hit is True
    assert legs["orders routed and bound, 15 lines"].hit is False


# Choosing.


def names(*only, quick=False, filled=False):
    return [one.name for one in chosen(only, usual(quick=quick, filled=filled))]


def test_scenarios_are_chosen_by_name_and_the_floor_is_always_there():
    assert names("hot,paid") == ["bare", "hot", "paid"]
    assert names("paid", "hot") == ["bare", "hot", "paid"]
    assert names("bare") == ["bare"]
    assert names("latency") == ["bare", "single", "latency"]
    assert names() == list(BY_NAME)
    assert names(quick=True) == list(scenarios.QUICK)
    assert names(filled=True) == list(scenarios.FILLED)
    assert names("hot", filled=True) == ["bare", "hot"]


def test_a_name_nobody_knows_is_refused_with_those_there_are():
    with pytest.raises(UnknownName, match=r"^speed: there are bare, single, "):
        chosen(["bare,speed"], usual=["bare"])


def test_orders_are_whole_requests():
    assert scenarios.orders_of(BY_NAME["batch"], 1_000) == 2_000
    assert scenarios.orders_of(BY_NAME["batch"], 10) == 100
    assert scenarios.orders_of(BY_NAME["rowlock-hot"], 1_000) == 100
    assert scenarios.orders_of(BY_NAME["cell"], 100) == 128


# Telling.


def whole(**given):
    rng = Random(1)
    floors = [sample(cpu_us={"ingest": rng.uniform(55, 65)}) for _ in range(7)]
    samples = [sample(cpu_us=cost(rng.uniform(80, 90))) for _ in range(7)]
    rows = [
        report.row(BY_NAME["bare"], floors, [], ""),
        report.row(SINGLE, samples, floors, "a remark"),
        report.absent(BY_NAME["sync"], "this version has no such call"),
    ]
    told = {
        "machine": Machine(cpu="A CPU", cores=2, system="s", load=[0.5, 0, 0], commit="abc1234"),
        "versions": Versions(python="3.11", valkey="valkey 9", postgres="18", packages={"a": "1"}),
        "durability": "fsync", "api_processes": 1, "quick": False, "pairs": 7, "orders": 100,
        "rows": rows, "bars": bars.judge({row.name: row for row in rows}, 2),
        "noise": report.noise(floors, samples), "changes": [], "notes": [], "faults": [],
        "certificate": {
            "accepted": 5, "recorded_there": 5, "oversold_by_us": 0,
            "verdict": "certificate: holds",
        },
        "seconds": 9.0,
    }  # fmt: skip
    return Report(**(told | given))


def test_a_report_shows_rows_costs_bars_and_where_it_was(capsys):
    show.show(whole(), as_json=False)
    told = capsys.readouterr().out
    for part in (
        "single", "5,000", "not available", "ingest CPU an order, single", "hit", "MISS",
        "machine: A CPU, 2 cores", "commit abc1234", "durability fsync", "98.4% for n = 7",
        "noise: the middle half of 7 measurements", "oversold by us: 0", "certificate: holds",
    ):  # fmt: skip
        assert part in told, part
    assert told.rstrip().endswith("bench: done")


def test_the_picture_is_to_scale():
    rows = [a_row("a", orders_per_s=figure([800.0])), a_row("b", orders_per_s=figure([210.0]))]
    long, short = show.picture(rows)
    assert long.count("█") == 40
    assert short.count("█") == 10
    assert "▌" in short
    assert show.picture([a_row("c")]) == []


def test_the_last_line_is_the_exit_code_in_words():
    worse = Change(
        name="single", leg="ingest", then=1.0, now=figure([2.0]), change=1.0, low=0.9, worse=True
    )
    assert show.verdict(whole()) == "bench: done"
    slower = show.verdict(whole(changes=[worse]))
    assert slower == "bench: SLOWER than the baseline: single ingest"
    assert show.verdict(whole(changes=[worse], faults=["lost"])) == "bench: FAILED"
