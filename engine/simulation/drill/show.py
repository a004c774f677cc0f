"""A drill's report: a table for people, or one JSON document."""

import sys

from engine.kernel import codec
from engine.simulation.drill.types import LOST_LISTED_MAX, Report

_LOST_SHOWN = 50


def show(report: Report, *, as_json: bool) -> None:
    """Write the report to stdout."""
    if as_json:
        sys.stdout.write(codec.encode(report).decode() + "\n")
        return
    rebuilt = (
        f"{report.seconds_to_rebuild:.2f}, {report.rebuilt_orders:,} orders,"
        f" {report.rebuilt_pending:,} of them pending"
    )
    rows = [
        ("open holds before", f"{report.holds:,}"),
        ("orders sent a second", f"{report.orders_per_second:,.0f}"),
        ("accepted before / after", f"{report.accepted_before:,} / {report.accepted_after:,}"),
        ("refused while closed", f"{report.refused:,}"),
        ("without an answer", f"{report.unknown:,}"),
        ("recorded", f"{report.recorded:,}"),
        ("seconds to reopen", f"{report.seconds_to_reopen:.2f}"),
        ("of these rebuilding", rebuilt),
        ("orders lost", f"{report.lost_in_all:,}"),
        ("units oversold", f"{report.oversold:,}"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name:<{width}}  {value}\n")
    for number in report.lost[:_LOST_SHOWN]:
        sys.stdout.write(f"  lost: {number}\n")
    if more := report.lost_in_all - len(report.lost[:_LOST_SHOWN]):
        sys.stdout.write(f"  and {more:,} more; --json lists up to {LOST_LISTED_MAX:,}\n")
    sys.stdout.write(f"{report.certificate}\n")
