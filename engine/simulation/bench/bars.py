"""The speed budget of one order, and which of its bars a run hit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from engine.simulation.bench.figures import Figure, figure
from engine.simulation.bench.report import ANSWERS, RECORDING, Bar, RoutingRow, Row
from engine.simulation.bench.types import CELL, INGEST

_CORES: Final = 2  # what the rates of the budget are meant for
_NOT_RUN: Final = "not run"
_USUAL_NODES: Final = 20


class _Promise(NamedTuple):
    """One line of the budget, and where its figure stands in a report."""

    leg: str
    row: str
    take: Callable[[Row], Figure | None]
    bar: float
    goal: float
    unit: str
    more_is_better: bool = False


# fmt: off
_BUDGET: Final = (
    _Promise("ingest CPU an order, single", "single",
             lambda row: row.to_bare.get(INGEST), 1.5, 1.15, "x bare"),
    _Promise("cell CPU an order, 64 a call", "cell",
             lambda row: row.cpu_us.get(CELL), 18, 10, "us"),
    _Promise("recorder + Postgres CPU an order", "single",
             lambda row: row.cpu_us.get(RECORDING), 40, 25, "us"),
    _Promise("single orders, accepted and recorded", "single",
             lambda row: row.orders_per_s, 9_000, 16_000, "/s", more_is_better=True),
    _Promise("the same with a payment each", "paid",
             lambda row: row.orders_per_s, 4_500, 8_000, "/s", more_is_better=True),
    _Promise("orders:batch, accepted and recorded", "batch",
             lambda row: row.orders_per_s, 25_000, 40_000, "/s", more_is_better=True),
    _Promise("orders:sync, accepted and recorded", "sync",
             lambda row: row.orders_per_s, 25_000, 40_000, "/s", more_is_better=True),
    _Promise("sold-out answers", "sold-out",
             lambda row: row.to_bare.get(ANSWERS), 0.9, 1.0, "x bare", more_is_better=True),
    _Promise("grants, written down to recorded", "grants",
             lambda row: row.orders_per_s, 20_000, 20_000, "/s", more_is_better=True),
    _Promise("p99 of an order at 70 % of the rate", "latency",
             lambda row: row.p99_ms, 50, 20, "ms"),
)
# fmt: on


class _Routes(NamedTuple):
    """One line of the budget of routing, of whichever mix of lines is the worst."""

    leg: str
    take: Callable[[RoutingRow], float]
    lines: tuple[str, ...]
    processes: int
    bar: float
    goal: float
    unit: str
    more_is_better: bool = False


# fmt: off
_ROUTING: Final = (
    _Routes("routing decision, CPU an order", lambda row: row.cpu_us["decide"],
            ("real", "sale"), 1, 150, 60, "us"),
    _Routes("orders routed and bound, 1 or 2 lines", lambda row: row.orders_per_s,
            ("sale",), 2, 2_000, 4_000, "/s", more_is_better=True),
    _Routes("orders routed and bound, 15 lines", lambda row: row.orders_per_s,
            ("real",), 2, 2_000, 4_000, "/s", more_is_better=True),
)
# fmt: on


def judge(rows: Mapping[str, Row], cores: int, routing: Sequence[RoutingRow] = ()) -> list[Bar]:
    """Return every line of the budget with its verdict, by the median."""
    found = [_judge(promise, rows.get(promise.row), cores) for promise in _BUDGET]
    found += [_routing(promise, routing, cores) for promise in _ROUTING]
    return found


def _routing(promise: _Routes, rows: Sequence[RoutingRow], cores: int) -> Bar:
    taken = [
        promise.take(row)
        for row in rows
        if row.nodes == _USUAL_NODES and row.lines in promise.lines
        and row.processes == promise.processes
    ]  # fmt: skip
    worst = (min if promise.more_is_better else max)(taken, default=None)
    note = _NOT_RUN if worst is None else ""
    if worst is not None and promise.unit == "/s" and cores != _CORES:
        note = f"the bar is meant for {_CORES} cores, here are {cores}"
    hit = None
    if worst is not None:
        hit = worst >= promise.bar if promise.more_is_better else worst <= promise.bar
    return Bar(
        leg=promise.leg, figure=None if worst is None else figure([worst]), bar=promise.bar,
        goal=promise.goal, more_is_better=promise.more_is_better, unit=promise.unit, hit=hit,
        note=note,
    )  # fmt: skip


def _judge(promise: _Promise, row: Row | None, cores: int) -> Bar:
    figure = promise.take(row) if row else None
    note = _NOT_RUN if row is None else row.note if not row.available else ""
    if row is not None and row.available and figure is None:
        note = "its CPU is not visible here"
    if figure is not None and promise.unit == "/s" and cores != _CORES:
        note = f"the bar is meant for {_CORES} cores, here are {cores}"
    return Bar(
        leg=promise.leg, figure=figure, bar=promise.bar, goal=promise.goal,
        more_is_better=promise.more_is_better, unit=promise.unit, note=note,
        hit=None if figure is None else _hits(promise, figure.median),
    )  # fmt: skip


def _hits(promise: _Promise, value: float) -> bool:
    return value >= promise.bar if promise.more_is_better else value <= promise.bar
