"""Which plots a drill has, and of which columns they are made."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.simulation.drill.histograms import spread
from engine.simulation.drill.plot import Line, Plot
from engine.simulation.drill.summary import Summary
from engine.simulation.drill.thinning import Values, thinned

_CPU_LOOKS: Final = 6
_HALF: Final = 610  # pixels of a plot that stands beside another


class Column(NamedTuple):
    """A series under its name; of `worst` ones the most counts, of others the mean."""

    plot: str
    name: str
    look: str
    values: Values
    worst: bool = False


def columns(summary: Summary) -> list[Column]:
    """Return every series with the plot it belongs to."""
    series = summary.series
    return [
        Column("rate", "planned", "planned", series.planned),
        Column("rate", "sent", "sent", series.sent),
        Column("rate", "accepted", "accepted", series.accepted),
        Column("rate", "refused", "refused", series.refused),
        Column("rate", "failed", "failed", series.failed),
        Column("rate", "dropped", "dropped", series.dropped),
        Column("latency", "p50", "p50", series.p50, worst=True),
        Column("latency", "p90", "p90", series.p90, worst=True),
        Column("latency", "p99", "p99", series.p99, worst=True),
        Column("latency", "p99.9", "p999", series.p999, worst=True),
        Column("lag", "lag", "lag", series.lag_s, worst=True),
        *(
            Column("cpu", name, f"cpu{number % _CPU_LOOKS}", values)
            for number, (name, values) in enumerate(sorted(series.cpu.items()))
        ),
    ]


def everything(summary: Summary) -> list[Plot]:
    """Return the plots, the two of the first screen first."""
    seconds = float(max(len(summary.series.second), 1))
    told = "Times are from the first planned arrival; a table of the values follows the plots."

    def plot(key: str, title: str, unit: str, *, log: bool = False, width: int = _HALF) -> Plot:
        lines = [_line(one) for one in columns(summary) if one.plot == key]
        return Plot(
            key, title, told, unit, lines, seconds, faults=summary.faults, log=log,
            width=width, height=296 if width > _HALF else 230,
        )  # fmt: skip

    return [
        plot("rate", "Orders", "a second", width=820),
        plot("latency", "Latency of accepted orders", "ms, log scale", log=True, width=820),
        plot("lag", "Oldest order that is not recorded", "seconds"),
        plot("cpu", "CPU by process", "cores"),
        _distribution(summary),
    ]


def _line(column: Column) -> Line:
    return Line(column.name, column.look, [(at + 0.5, one) for at, one in thinned(column.values)])


def _distribution(summary: Summary) -> Plot:
    return Plot(
        "distribution",
        "Latency by percentile",
        "How many ms the given part of the answers took at most.",
        "ms, both scales log",
        [
            Line(name, look, _curve(name, summary))
            for name, look in (("accepted", "p50"), ("refused", "p99"), ("service", "p90"))
        ],
        seconds=0,
        log=True,
        width=_HALF,
        height=230,
    )


def _curve(name: str, summary: Summary) -> Sequence[tuple[float, float | None]]:
    return [*spread(name, summary).curve()]
