"""A report as a person reads it."""

import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from engine.kernel import codec
from engine.simulation.bench import showfilled
from engine.simulation.bench.figures import Figure
from engine.simulation.bench.report import ANSWERS, TOTAL, Bar, Change, Report, RoutingRow, Row
from engine.simulation.bench.types import CELL, GENERATOR, INGEST, POSTGRES, RECORDER

_PROCESSES: Final = (GENERATOR, INGEST, CELL, RECORDER, POSTGRES)
_PARTS: Final = ("decide", "bind", "router", "postgres")  # the third has the first two
_WIDTH: Final = 132  # where nobody says how wide it is
_PICTURE_WIDTH: Final = 40
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_PRECISE_BELOW: Final = 100
_ABSENT: Final = "-"


def show(report: Report, *, as_json: bool) -> None:
    """Write a report to stdout: one JSON document, or tables."""
    if as_json:
        sys.stdout.write(codec.encode_pretty(msgspec.to_builtins(report)).decode())
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(_rates(report.rows))
    console.print(_costs(report.rows))
    for line in [*picture(report.rows), ""]:
        console.print(line, markup=False)
    console.print(_bars(report.bars))
    if report.routing:
        console.print(_routing(report.routing))
    for table in showfilled.tables(report.filled) if report.filled else []:
        console.print(table)
    if report.changes:
        console.print(_changes(report.changes))
    for line in lines(report):
        console.print(line, markup=False, soft_wrap=True)


def lines(report: Report) -> list[str]:
    """Return what stands below the tables."""
    return [
        *_where(report),
        *_noise(report),
        *(showfilled.lines(report.filled) if report.filled else []),
        *(f"note: {note}" for note in report.notes),
        *_certificate(report),
        *(f"fault: {fault}" for fault in report.faults),
        verdict(report),
    ]


def verdict(report: Report) -> str:
    """Return the last line: what the exit code says."""
    if report.faults:
        return "bench: FAILED"
    worse = [f"{one.name} {one.leg}" for one in report.changes if one.worse]
    if worse:
        return f"bench: SLOWER than the baseline: {', '.join(worse)}"
    return "bench: done"


def picture(rows: Sequence[Row]) -> list[str]:
    """Draw orders a second as bars of text."""
    shown = [(row, row.orders_per_s.median) for row in rows if row.orders_per_s]
    longest = max((rate for _, rate in shown), default=0.0)
    if not longest:
        return []
    return [
        f"{row.name:<12} {_bar(rate / longest)} {rate:>8,.0f}/s  {row.title}" for row, rate in shown
    ]


def _bar(share: float) -> str:
    whole, rest = divmod(round(share * _PICTURE_WIDTH * 8), 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(_PICTURE_WIDTH)


def _rates(rows: Sequence[Row]) -> Table:
    table = Table(title="until recorded in Postgres: medians, and the interval of the median")
    table.add_column("scenario")
    for name in ("orders/s", "answers/s", "p50 ms", "p99 ms", "answers/s : bare", "statuses"):
        table.add_column(name, justify="right")
    for row in rows:
        if not row.available:
            table.add_row(row.name, _ABSENT, _ABSENT, _ABSENT, _ABSENT, _ABSENT, "not available")
            continue
        told = ", ".join(f"{n:,} x {status}" for status, n in row.statuses.items())
        table.add_row(
            row.name, _with_interval(row.orders_per_s), _plain(row.answers_per_s),
            _plain(row.p50_ms), _plain(row.p99_ms), _with_interval(row.to_bare.get(ANSWERS)), told,
        )  # fmt: skip
    return table


def _costs(rows: Sequence[Row]) -> Table:
    table = Table(title="us of CPU an order, by process (ingest: or what stands in its place)")
    table.add_column("scenario")
    for name in (*_PROCESSES, "ingest : bare", "all but generator : bare"):
        table.add_column(name, justify="right")
    for row in rows:
        if row.available:
            costs = [_plain(row.cpu_us.get(name)) for name in _PROCESSES]
            ratios = [_with_interval(row.to_bare.get(leg)) for leg in (INGEST, TOTAL)]
            table.add_row(row.name, *costs, *ratios)
    return table


def _routing(rows: Sequence[RoutingRow]) -> Table:
    table = Table(title="routed and bound in Postgres, us of CPU an order")
    table.add_column("lines")
    for name in ("each", "nodes", "routers", "orders/s", "parcels", "bound again", *_PARTS):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.lines, f"{row.lines_each:.1f}", str(row.nodes), str(row.processes),
            f"{row.orders_per_s:,.0f}", f"{row.parcels / row.orders:.2f}", f"{row.rebinds:,}",
            *(f"{row.cpu_us[name]:.0f}" if name in row.cpu_us else _ABSENT for name in _PARTS),
        )  # fmt: skip
    return table


def _bars(bars: Sequence[Bar]) -> Table:
    table = Table(title="the budget of one order, first bar")
    table.add_column("leg")
    for name in ("measured", "bar", "goal"):
        table.add_column(name, justify="right")
    table.add_column("")
    for bar in bars:
        sign = ">=" if bar.more_is_better else "<="
        word = "" if bar.hit is None else "hit" if bar.hit else "MISS"
        limits = [
            f"{sign} {_number(one)} {bar.unit}" if one else _ABSENT for one in (bar.bar, bar.goal)
        ]
        said = " ".join(filter(None, [word, f"({bar.note})" if bar.note else ""]))
        table.add_row(bar.leg, _with_interval(bar.figure), *limits, said)
    return table


def _changes(changes: Sequence[Change]) -> Table:
    table = Table(title="CPU an order in units of the bare handler, against the baseline")
    table.add_column("scenario and leg")
    for name in ("then", "now", "change", "certain"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in changes:
        table.add_row(
            f"{one.name} {one.leg}", _number(one.then), _with_interval(one.now),
            f"{one.change:+.0%}", f"{one.low:+.0%}", "SLOWER" if one.worse else "",
        )  # fmt: skip
    return table


def _where(report: Report) -> list[str]:
    machine, used = report.machine, report.versions
    load = " ".join(f"{one:.2f}" for one in machine.load)
    packages = ", ".join(f"{name} {version}" for name, version in used.packages.items())
    commit = f", commit {machine.commit}" if machine.commit else ""
    about = (
        f"durability {report.durability}, API processes {report.api_processes}, pairs "
        f"{report.pairs}, orders a measurement {report.orders:,}, {report.seconds:.0f} s in all"
    )
    return [
        f"machine: {machine.cpu}, {machine.cores} cores, {machine.system}; load before: {load}",
        f"versions: Python {used.python}, {used.valkey}, postgres {used.postgres}, {packages}"
        + commit,
        about,
        *_interval_line(report.rows),
    ]


def _interval_line(rows: Sequence[Row]) -> list[str]:
    figure = next((row.orders_per_s for row in reversed(rows) if row.orders_per_s), None)
    if figure is None:
        return []
    told = f"they cover it at {figure.coverage:.1%} for n = {figure.n}"
    return [f"[low-high]: the median's interval by order statistics; {told}"]


def _noise(report: Report) -> list[str]:
    if report.noise is None:
        return []
    rate, cost = report.noise.bare_answers_per_s, report.noise.bare_cpu_us
    foreign = report.noise.foreign
    return [
        f"noise: the middle half of {rate.n} measurements of the bare handler spans "
        f"{rate.spread:.0%} of the median in answers/s (all of them {rate.reach:.0%})"
        + (f", {cost.spread:.0%} ({cost.reach:.0%}) in CPU" if cost is not None else "")
        + (f"; others had {foreign:.0%} of the machine" if foreign is not None else "")
    ]


def _certificate(report: Report) -> list[str]:
    if report.certificate is None:
        return []
    found = report.certificate
    return [
        f"accepted {found['accepted']}, recorded {found['recorded_there']}",
        f"oversold by us: {found['oversold_by_us']}",
        found["verdict"],
    ]


def _plain(figure: Figure | None) -> str:
    return _ABSENT if figure is None else _number(figure.median)


def _with_interval(figure: Figure | None) -> str:
    if figure is None:
        return _ABSENT
    return f"{_number(figure.median)} [{_number(figure.low)}-{_number(figure.high)}]"


def _number(value: float) -> str:
    if value >= _PRECISE_BELOW:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= _PRECISE_BELOW / 10 else f"{value:.2f}"
