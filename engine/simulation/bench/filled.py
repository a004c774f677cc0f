"""Full against empty: ratios of CPU, and bytes; pure arithmetic."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from engine.simulation.bench import report as reports
from engine.simulation.bench.figures import figure, quotient
from engine.simulation.bench.report import ANSWERS, TOTAL, Bar, Filled, Growth, Part
from engine.simulation.bench.scenarios import Scenario
from engine.simulation.bench.size import Size
from engine.simulation.bench.types import Sample

CPU_BAR: Final = 1.10
HOLD_BAR: Final = 500.0

_NEGLIGIBLE: Final = 0.02  # of the bare handler: a ratio of two such costs says nothing


class Measured(NamedTuple):
    """The samples of all loads, and of each the bare halves of its pairs, by name."""

    samples: Mapping[str, Sequence[Sample]]
    floors: Mapping[str, Sequence[Sample]]


def growth(
    loads: Sequence[tuple[Scenario, Scenario]], empty: Measured, full: Measured
) -> list[Growth]:
    """Return how an order's cost grew, leg by leg; each load is given with what it is held against.

    Costs are in units of the bare handler measured beside them, because machines drift.
    """
    return [
        one for load, against in loads for one in _of_load(load, against, empty, full)
    ]  # fmt: skip


def bars(filled: Filled) -> list[Bar]:
    """Return the two promises of a filled instance; loads over other SKUs are only shown."""
    found = [
        Bar(
            leg=f"CPU an order, filled : empty, {one.name}", figure=one.ratio, bar=CPU_BAR,
            goal=None, more_is_better=False, unit="x", hit=one.ratio.median <= CPU_BAR,
            note="" if certain(one) else "not certain: the interval reaches over the bar",
        )
        for one in filled.growth
        if one.leg == TOTAL and one.name == one.against
    ]  # fmt: skip
    if not found:
        found.append(
            Bar(
                leg="CPU an order, filled : empty", figure=None, bar=CPU_BAR, goal=None,
                more_is_better=False, unit="x", hit=None, note="its CPU is not visible here",
            )
        )  # fmt: skip
    each = filled.bytes_per_open_hold
    return [
        *found,
        Bar(
            leg="cell memory of an open hold", figure=None if each is None else figure([each]),
            bar=HOLD_BAR, goal=None, more_is_better=False, unit="B",
            hit=None if each is None else each <= HOLD_BAR,
            note="" if each is not None else "there are no open holds",
        ),
    ]  # fmt: skip


def certain(one: Growth) -> bool:
    """Whether the whole interval of a ratio lies on one side of the bar."""
    return not one.ratio.low <= CPU_BAR < one.ratio.high


def per_open_hold(parts: Sequence[Part]) -> float | None:
    """Return what the cell grew by for each open hold, of the parts that leave nothing else."""
    holds = sum(part.open_holds for part in pending(parts))
    return sum(part.cell_bytes for part in pending(parts)) / holds if holds else None


def pending(parts: Sequence[Part]) -> list[Part]:
    """Return the parts of which every order is an open hold."""
    return [part for part in parts if part.open_holds and part.open_holds == part.accepted]


def per_order(before: Size, after: Size) -> tuple[float, float]:
    """Return the bytes an order takes: of the cell, of Postgres on disk."""
    orders = max(1, after.orders - before.orders)
    return (
        (after.cell - before.cell) / orders,
        (after.database - before.database) / orders,
    )


def _of_load(
    load: Scenario, against: Scenario, empty: Measured, full: Measured
) -> Iterator[Growth]:
    then = reports.to_bare(against, empty.samples[against.name], empty.floors[against.name])
    now = reports.to_bare(load, full.samples[load.name], full.floors[load.name])
    for leg in sorted(then.keys() & now.keys() - {ANSWERS}):
        was, figure_now = figure(then[leg]), figure(now[leg])
        if max(was.median, figure_now.median) < _NEGLIGIBLE or not min(then[leg]):
            continue
        yield Growth(
            name=load.name, against=against.name, leg=leg, empty=was, filled=figure_now,
            ratio=quotient(now[leg], then[leg]),
        )  # fmt: skip
