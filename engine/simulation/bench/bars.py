"""The speed budget of one order, and which of its bars a run hit."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from engine.simulation.bench.figures import Figure
from engine.simulation.bench.report import ANSWERS, RECORDING, Bar, Row
from engine.simulation.bench.types import CELL, INGEST

_CORES: Final = 2  # what the rates of the budget are meant for
_NOT_RUN: Final = "not run"


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


def judge(rows: Mapping[str, Row], cores: int) -> list[Bar]:
    """Return every line of the budget with its verdict, by the median."""
    found = [_judge(promise, rows.get(promise.row), cores) for promise in _BUDGET]
    routing = Bar(
        leg="routing decision", figure=None, bar=150, goal=60, more_is_better=False,
        unit="us", hit=None, note="routing is not built yet",
    )  # fmt: skip
    return [*found, routing]


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
