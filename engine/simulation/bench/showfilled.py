"""What became of a filled instance, as a person reads it."""

from collections.abc import Sequence
from typing import Final

from rich.table import Table

from engine.simulation.bench.figures import Figure
from engine.simulation.bench.filled import CPU_BAR, certain, pending
from engine.simulation.bench.report import TOTAL, Filled, Growth
from engine.simulation.bench.size import Size
from engine.simulation.bench.types import CELL, INGEST, POSTGRES, RECORDER

_LEGS: Final = (INGEST, CELL, RECORDER, POSTGRES, TOTAL)
_MB: Final = 1_000_000
_TABLES_SHOWN: Final = 5


def tables(filled: Filled) -> list[Table]:
    """Return how the cost of an order grew, and of what the instance is full."""
    return [_growth(filled), _parts(filled)]


def lines(filled: Filled) -> list[str]:
    """Return what stands below the tables."""
    hold, before, after = filled.bytes_per_open_hold, filled.empty, filled.full
    named = sorted(after.tables.items(), key=lambda one: -one[1])[:_TABLES_SHOWN]
    largest = ", ".join(f"{name} {size / _MB:,.0f}" for name, size in named)
    what = (
        f"filled: {filled.orders:,} orders over {filled.campaigns:,} campaigns and "
        f"{filled.skus:,} SKUs, made in {filled.made_s:.0f} s, filled in {filled.filled_s:.0f} s; "
        f"{filled.before.orders:,} orders of the bench itself were there before"
    )
    each = (
        f"an order takes {filled.cell_bytes_per_order:,.0f} B of the cell's memory"
        + (f" ({hold:,.0f} B while it is an open hold)" if hold is not None else "")
        + f", {filled.disk_bytes_per_order:,.0f} B of Postgres with its indexes"
    )
    return [
        what,
        each,
        *_of_hold(filled),
        _written(filled),
        f"MB before and after: {_megabytes(before, after)}",
        f"largest tables with their indexes, MB: {largest}",
    ]


def _of_hold(filled: Filled) -> list[str]:
    """Say in which keys of the cell the bytes of an open hold lie."""
    parts = pending(filled.parts)
    holds = sum(part.open_holds for part in parts)
    keys = sorted({name for part in parts for name in part.keys})
    each = {name: sum(part.keys[name] for part in parts) / holds for name in keys}
    told = [f"{name} {size:,.0f}" for name, size in each.items() if size >= 1]
    return [f"of an open hold, B by key of the cell: {', '.join(told)}"] if told else []


def _written(filled: Filled) -> str:
    told, first = [], (filled.start, filled.before)
    for a, b in (first, (filled.empty, filled.full), (filled.full, filled.after)):
        orders = max(1, b.orders - a.orders)
        pages = (b.wal_pages - a.wal_pages) / orders
        told.append(f"{(b.wal - a.wal) / orders:,.0f} B ({pages:.2f} whole pages)")
    return f"Postgres' log for each order: {told[0]} empty, {told[1]} filling, {told[2]} full"


def _growth(filled: Filled) -> Table:
    coverage = min((one.ratio.coverage for one in filled.growth), default=0.0)
    table = Table(
        title="CPU an order, filled : empty, each in units of the bare handler beside it "
        f"(intervals cover {coverage:.1%})"
    )
    table.add_column("load")
    for leg in _LEGS:
        table.add_column("all but generator" if leg == TOTAL else leg, justify="right")
    table.add_column("")
    by_load: dict[str, dict[str, Growth]] = {}
    for one in filled.growth:
        by_load.setdefault(one.name, {})[one.leg] = one
    for name, legs in by_load.items():
        cells = [_told(legs[leg].ratio) if leg in legs else "-" for leg in _LEGS]
        table.add_row(name, *cells, _word(list(legs.values())))
    return table


def _parts(filled: Filled) -> Table:
    table = Table(title="what it was filled with")
    table.add_column("orders")
    for name in ("accepted", "orders/s", "seconds", "behind at most", "open holds", "cell, MB"):
        table.add_column(name, justify="right")
    for part in filled.parts:
        table.add_row(
            part.kind, f"{part.accepted:,}", f"{part.orders_per_s:,.0f}", f"{part.seconds:,.0f}",
            f"{part.behind_max:,}", f"{part.open_holds:,}", f"{part.cell_bytes / _MB:,.1f}",
        )  # fmt: skip
    return table


def _word(legs: Sequence[Growth]) -> str:
    total = next((one for one in legs if one.leg == TOTAL), None)
    if total is None:
        return ""
    if total.name != total.against:
        return f"held against {total.against}, not judged"
    word = "hit" if total.ratio.median <= CPU_BAR else "MISS"
    return word if certain(total) else f"{word}, not certain"


def _megabytes(before: Size, after: Size) -> str:
    pairs = [
        ("cell", before.cell, after.cell),
        ("append-only file", before.files, after.files),
        ("database", before.database, after.database),
        *(
            (f"{role} resident", before.resident.get(role, 0), size)
            for role, size in after.resident.items()
        ),
    ]
    return ", ".join(f"{name} {a / _MB:,.0f} -> {b / _MB:,.0f}" for name, a, b in pairs)


def _told(figure: Figure) -> str:
    return f"{figure.median:.2f} [{figure.low:.2f}-{figure.high:.2f}]"
