"""Full against empty: how growth is told apart from noise, and what an open hold takes."""

from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest

from engine.simulation.bench import crowd, filled, showfilled
from engine.simulation.bench.filled import Measured
from engine.simulation.bench.report import Filled, Part
from engine.simulation.bench.scenarios import BY_NAME, spread_out
from engine.simulation.bench.shelf import Crowd
from engine.simulation.bench.size import Size
from engine.simulation.bench.types import Sample

SINGLE = BY_NAME["single"]
WIDE = spread_out(SINGLE)
LOADS = [(SINGLE, SINGLE), (WIDE, SINGLE)]


def sample(cpu_us):
    return Sample(
        asked=100, orders=100, orders_per_s=5_000.0, answers_per_s=6_000.0, p50_ms=20.0,
        p99_ms=40.0, late_p99_ms=0.0, statuses={"202": 100}, cpu_us=cpu_us, foreign=0.1,
    )  # fmt: skip


@dataclass
class Machine:
    """Measures pairs; `speed` is what everything costs on it, `noise` what pairs differ by."""

    speed: float = 1.0
    noise: float = 0.02
    rng: Random = field(default_factory=lambda: Random(1))

    def measure(self, names, cell=40.0, pairs=15):
        samples, floors = {}, {}
        for name in names:
            cost = {"ingest": 90.0, "cell": cell, "recorder": 30.0, "postgres": 40.0}
            samples[name] = [
                sample({k: self._seen(v) for k, v in cost.items()}) for _ in range(pairs)
            ]
            floors[name] = [sample({"ingest": self._seen(60.0)}) for _ in range(pairs)]
        return Measured(samples, floors)

    def _seen(self, cost):
        return cost * self.speed * self.rng.uniform(1 - self.noise, 1 + self.noise)


EMPTY = Machine().measure(["single"])
BOTH = ["single", "single-wide"]


def by_leg(found, name="single"):
    return {one.leg: one for one in found if one.name == name}


def size(**given):
    told = {
        "orders": 0, "open_holds": 0, "cell": 0, "log": 0, "files": 0, "database": 0,
        "tables": {}, "resident": {}, "keys": {}, "wal": 0, "wal_pages": 0,
    }  # fmt: skip
    return Size(**(told | given))


def part(kind="pending", **given):
    told = {
        "kind": kind, "asked": 100, "accepted": 100, "seconds": 1.0, "orders_per_s": 100.0,
        "behind_max": 5, "open_holds": 100, "cell_bytes": 42_000,
        "keys": {"holds": 30_000, "done": 0},
    }  # fmt: skip
    return Part(**(told | given))


def whole(growth=(), **given):
    told = {
        "campaigns": 10, "skus": 100, "orders": 1_000, "made_s": 1.0, "filled_s": 2.0,
        "parts": [part("sync", open_holds=0), part()], "start": size(), "before": size(orders=50),
        "empty": size(orders=50, database=1_000_000),
        "full": size(orders=1_050, database=4_000_000, cell=400_000, tables={"orders": 2_000_000}),
        "after": size(orders=1_500, wal=900_000, wal_pages=45), "rows": [],
        "growth": list(growth), "bytes_per_open_hold": 420.0, "cell_bytes_per_order": 400.0,
        "disk_bytes_per_order": 3_000.0,
    }  # fmt: skip
    return Filled(**(told | given))


# Growth.


def test_a_slower_machine_is_no_growth():
    """The control of the next one: everything costs twice as much, the bare handler too."""
    found = by_leg(filled.growth(LOADS, EMPTY, Machine(speed=2.0).measure(BOTH)))
    assert found.keys() == {"ingest", "cell", "recorder", "postgres", "recording", "total"}
    for one in found.values():
        assert one.ratio.median == pytest.approx(1.0, abs=0.03)
        assert one.ratio.low < 1.0 < one.ratio.high


def test_a_leg_that_costs_more_is_named_whatever_the_machine_does():
    found = by_leg(filled.growth(LOADS, EMPTY, Machine(speed=0.5).measure(BOTH, cell=120.0)))
    assert found["cell"].ratio.median == pytest.approx(3.0, abs=0.1)
    assert found["ingest"].ratio.median == pytest.approx(1.0, abs=0.03)
    assert found["total"].ratio.median == pytest.approx(1.4, abs=0.05)


def test_answers_a_second_are_no_cost_and_what_costs_nothing_does_not_grow():
    full = Machine().measure(BOTH, cell=0.001)
    found = by_leg(filled.growth(LOADS, Machine().measure(["single"], cell=0.0001), full))
    assert found.keys() == {"ingest", "recorder", "postgres", "recording", "total"}


# The two bars.


def judged(cell, noise=0.02):
    full = Machine(noise=noise).measure(BOTH, cell=cell)
    return filled.bars(whole(filled.growth(LOADS, EMPTY, full)))


# fmt: off
VERDICTS = {
    "as before":           (40.0,  0.02, True,  ""),
    "a tenth of one leg":  (44.0,  0.02, True,  ""),
    "twice one leg":       (80.0,  0.02, False, ""),
    "more, and all noise": (60.0,  0.6,  None,  "not certain: the interval reaches over the bar"),
}
# fmt: on


@pytest.mark.parametrize(("cell", "noise", "hit", "note"), VERDICTS.values(), ids=VERDICTS)
def test_an_order_may_cost_a_tenth_more_in_a_full_instance(cell, noise, hit, note):
    total, _ = judged(cell, noise)
    assert total.leg == "CPU an order, filled : empty, single"
    assert total.note == note
    if hit is not None:
        assert total.hit is hit


def test_a_load_over_other_skus_is_shown_and_not_judged():
    full = Machine().measure(BOTH, cell=400.0)
    found = filled.growth(LOADS, EMPTY, full)
    assert by_leg(found, "single-wide")["total"].against == "single"
    assert [bar.leg for bar in filled.bars(whole(found))] == [
        "CPU an order, filled : empty, single", "cell memory of an open hold",
    ]  # fmt: skip


def test_without_the_cpu_of_others_nothing_is_said_of_it():
    (cpu, _memory) = filled.bars(whole())
    assert (cpu.hit, cpu.note) == (None, "its CPU is not visible here")


@pytest.mark.parametrize(("each", "hit"), [(500.0, True), (500.1, False), (None, None)])
def test_an_open_hold_takes_at_most_500_bytes(each, hit):
    assert filled.bars(whole(bytes_per_open_hold=each))[-1].hit is hit


# Bytes.


def test_only_orders_that_are_open_holds_count_as_such():
    mixed = part("mixed", open_holds=50, cell_bytes=10**9)
    paid = part("paid", open_holds=0, cell_bytes=10**9)
    assert filled.per_open_hold([paid, mixed, part(), part(cell_bytes=44_000)]) == 430.0
    assert filled.per_open_hold([paid, mixed]) is None


def test_what_an_order_takes_is_the_difference_and_not_the_whole():
    before = size(orders=100, cell=10_000, database=500_000)
    after = size(orders=300, cell=90_000, database=1_100_000)
    assert filled.per_order(before, after) == (400.0, 3_000.0)


@pytest.mark.parametrize(
    ("orders", "campaigns"), [(1_000, 10), (20_000, 40), (500_000, 1_000), (1_000_000, 1_000)]
)
def test_a_small_filling_has_fewer_campaigns_and_a_whole_one_1000_with_10000_skus(
    orders, campaigns
):
    found = crowd.sized(Crowd("c"), orders)
    assert (found.campaigns, found.skus) == (campaigns, campaigns * 10)


# Telling.


def test_it_is_told_of_what_it_is_full_and_what_grew():
    full = Machine().measure(BOTH, cell=80.0)
    shown = whole(filled.growth(LOADS, EMPTY, full))
    growth, parts = showfilled.tables(shown)
    assert list(growth.columns[0].cells) == ["single", "single-wide"]
    assert list(growth.columns[-1].cells) == ["MISS", "held against single, not judged"]
    assert list(parts.columns[0].cells) == ["sync", "pending"]
    told = "\n".join(showfilled.lines(shown))
    for sentence in (
        "1,000 orders over 10 campaigns and 100 SKUs",
        "50 orders of the bench itself were there before",
        "400 B of the cell's memory (420 B while it is an open hold), 3,000 B of Postgres",
        "of an open hold, B by key of the cell: holds 300",
        "2,000 B (0.10 whole pages) full",
        "database 1 -> 4",
    ):
        assert sentence in told, sentence


def test_a_report_with_it_is_read_back_as_it_was_written():
    shown = whole(filled.growth(LOADS, EMPTY, Machine().measure(BOTH)))
    assert msgspec.json.decode(msgspec.json.encode(shown), type=Filled) == shown
