"""The rule: what a node will not send of a shipment, of its own accord, and why.

What somebody asked to stop is no refusal when it is cancelled. Of what a node names as the cause
only these lines are refused: the others may come back to it. A final confirm of fewer units than
were planned, without a word, is of units that were not there.
"""

from collections.abc import Iterable, Mapping

from engine.shipments.types.shipments import Line, Reason, Refused, Shipment, Standing, Told


def refused(
    one: Shipment, told: Iterable[Told], before: Standing, after: Standing, *, asked: bool
) -> Refused | None:
    """Return what a report makes certain that will not leave; None of all other reports.

    `asked`: somebody asked to stop it, or another shipment of its consignment.
    """
    left = dict(after.left)
    short = [
        line._replace(units=line.units - left.get(line.line_no, 0))
        for line in one.lines
        if line.units > left.get(line.line_no, 0)
    ]
    if before.final or not after.final or not short:
        return None
    reports = sorted(told, key=lambda report: (report.at, report.kind, report.report_id))
    cancelled = any(report.kind == "cancelled" for report in reports)
    if cancelled and asked:
        return None
    ends = [report for report in reports if report.kind in {"cancelled", "rejected", "shipped"}]
    rejected = any(report.kind == "rejected" for report in ends)
    why: Reason = "other" if rejected else "cancelled" if cancelled else "out_of_stock"
    why = next((report.reason for report in reversed(reports) if report.reason), why)
    lines = short if left else _named(short, reports)
    at = ends[0].at if ends else reports[-1].at
    return Refused(
        one.shipment_id, one.tenant, one.order_id, one.node, one.attempt, tuple(lines), why, at
    )


def sent_after_all(
    one: Shipment, before: Iterable[Told], units: Mapping[int, int]
) -> Refused | None:
    """Return units that left although they had been refused, as of the same instant; None of none.

    `before` are the reports by which they were.
    """
    ends = [told.at for told in before if told.kind in {"cancelled", "rejected", "shipped"}]
    lines = tuple(
        line._replace(units=units[line.line_no]) for line in one.lines if units.get(line.line_no)
    )
    if not ends or not lines:
        return None
    return Refused(
        one.shipment_id, one.tenant, one.order_id, one.node, one.attempt, lines, "other", min(ends)
    )


def _named(short: list[Line], reports: Iterable[Told]) -> list[Line]:
    """Return the lines that were named as the cause, all of them where none was."""
    named: dict[int, int] = {}
    for report in reports:
        for line_no, units in report.lacks:
            named[line_no] = max(named.get(line_no, 0), units)
    found = [
        line._replace(units=min(line.units, named[line.line_no]))
        for line in short
        if named.get(line.line_no, 0) > 0
    ]
    return found or short
