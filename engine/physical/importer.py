"""The command `tidegate import stock`: counts from a CSV file; bad rows are told, others are kept.

What is imported twice changes nothing the second time where rows say their `as_of`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from engine.infra import importing
from engine.infra.importing import Options, Sheet
from engine.infra.postgres import Connection
from engine.infra.sheets import Row
from engine.kernel import clock
from engine.kernel.clock import SystemClock
from engine.kernel.types import Tenant
from engine.physical import files
from engine.physical.files import Defaults
from engine.physical.rules.lines import LineFault
from engine.physical.service import imports
from engine.physical.service.imports import Read
from engine.physical.types.facts import Count, Key
from engine.settings import Settings

_REPORT_LENGTH_MAX: Final = 128


async def run(settings: Settings, options: Options) -> int:
    """Import a file and tell what became of its rows; `importing.stream` says the exit codes."""
    defaults = Defaults(clock.instant(SystemClock().now_ms()))
    name = options.path.name.encode(errors="replace").decode()
    report = f"import {name}"[:_REPORT_LENGTH_MAX]
    earlier: dict[Key, Count] = {}  # of a dry run, where no slice leaves anything behind

    async def keep(
        tx: Connection, rows: Sequence[Row]
    ) -> tuple[Mapping[str, int], Sequence[LineFault]]:
        sound, faults = _read(rows, defaults)
        kept = await imports.keep(
            tx, Tenant(settings.tenant), sound, report, importing.ACTOR, earlier=earlier
        )
        if options.dry_run:
            earlier.update(kept.applied)
        counts = {"applied": len(kept.applied), "stale": kept.stale, "corrected": kept.corrected}
        return counts, [*faults, *kept.faults]

    return await importing.stream(settings, options, _sheet(defaults), keep)


def _sheet(defaults: Defaults) -> Sheet:
    """Return what these files are; a row mended tomorrow is still a count of today."""
    columns = (*files.REQUIRED, *files.OPTIONAL)
    filled = {"as_of": defaults.as_of.isoformat()}
    return Sheet(files.rows, columns, ("applied", "stale", "corrected"), filled)


def _read(rows: Sequence[Row], defaults: Defaults) -> tuple[list[Read], list[LineFault]]:
    sound, faults = [], []
    for row in rows:
        what = files.read(row, defaults)
        if isinstance(what, Read):
            sound.append(what)
        else:
            faults += what
    return sound, faults
