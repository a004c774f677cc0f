"""What people get of a drill: a page, and a row for each second."""

import csv
import io
from pathlib import Path
from typing import Final

from engine.simulation.drill.page import page
from engine.simulation.drill.summary import Series, Summary

PAGE: Final = "report.html"
ROWS: Final = "series.csv"

_COUNTS: Final = ("second", "planned", "sent", "accepted", "refused", "failed", "dropped")
_PERCENTILES: Final = ("p50", "p90", "p99", "p999")


def write(folder: Path, summary: Summary) -> Path:
    """Write report.html and series.csv into the folder of a run; return the page."""
    (folder / ROWS).write_text(rows(summary.series), encoding="utf-8")
    told = folder / PAGE
    told.write_text(page(summary), encoding="utf-8")
    return told


def rows(series: Series) -> str:
    """Return the series as CSV: a row a second, an empty field where nothing was measured."""
    columns = {name: getattr(series, name) for name in _COUNTS}
    columns |= {f"{name}_ms": getattr(series, name) for name in _PERCENTILES}
    columns |= {"lag_s": series.lag_s}
    columns |= {f"cpu_{name}": values for name, values in sorted(series.cpu.items())}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()
