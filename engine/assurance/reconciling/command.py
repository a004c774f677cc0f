"""`tidegate reconcile`: one pass by hand, and what came of it as a person reads it."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from engine.assurance.reconciling import repairing
from engine.assurance.reconciling.reconciler import Passed, Reconciler
from engine.assurance.reconciling.rules import shown
from engine.infra.cell import Cell
from engine.infra.runtime import Runtime
from engine.kernel import codec

_AGAIN_MAX: Final = 5
_AGAIN_S: Final = 1.0


async def reconcile(
    process: Runtime, *, dry_run: bool, as_json: bool, say: Callable[[str], None]
) -> int:
    """Make a pass, repair what is safe unless `dry_run`, show it; 1 if something is left open.

    What was repaired is looked at again, because a rule or a grant is sent by somebody else.
    """
    assert isinstance(process.cell, Cell)
    await process.cell.refresh()
    made = Reconciler(process.cell, process.pool, process.clock)
    first = await made.check(repair=not dry_run, say=say)
    assert first is not None, "nobody ends a pass by hand"
    last = first
    for _ in range(_AGAIN_MAX):
        if dry_run or not any(drift.repair == "safe" for _, drift, _ in last.drifts):
            break
        await asyncio.sleep(_AGAIN_S)
        say("looking again at what was repaired")
        again = await made.check(repair=True)
        assert again is not None, "nobody ends a pass by hand"
        last = again
    rows = _rows(first, last, dry_run=dry_run)
    left = sum(row["open"] for row in rows)
    if as_json:
        told = {
            "drifts": rows, "open": left, "skipped": first.skipped,
            "seconds": round(first.work_s, 2),
        }  # fmt: skip
        sys.stdout.write(codec.encode_pretty(told).decode())
    else:
        _show(rows, first)
    return 1 if left or first.skipped else 0


def _rows(first: Passed, last: Passed, *, dry_run: bool) -> list[dict[str, Any]]:
    still = {(drift.kind, drift.subject) for _, drift, _ in last.drifts}
    return [
        {
            "kind": drift.kind,
            "subject": shown(drift.subject),
            "expected": shown(drift.expected),
            "found": shown(drift.found),
            "units": drift.units,
            "detail": drift.detail,
            "repair": drift.repair,
            "done": done,
            "would": repairing.would(drift.fix) if dry_run else "",
            "open": (drift.kind, drift.subject) in still,
        }
        for _, drift, done in first.drifts
    ]


def _show(rows: list[dict[str, Any]], passed: Passed) -> None:
    console = Console(soft_wrap=True)
    if rows:
        table = Table("kind", "what", "units", "done", "open")
        for row in rows:
            done = row["done"] or (f"would be: {row['would']}" if row["would"] else "")
            table.add_row(
                row["kind"], row["detail"], str(row["units"]), done or "left to a person",
                "yes" if row["open"] else "no",
            )  # fmt: skip
        console.print(table)
    for name, why in passed.skipped.items():
        console.print(f"{name}: not compared ({why})", highlight=False, markup=False)
    left = sum(row["open"] for row in rows)
    told = f"{len(rows)} drifts, {left} of them open" if rows else "no drift"
    console.print(f"{told}; compared in {passed.work_s:.1f} s", highlight=False, markup=False)
