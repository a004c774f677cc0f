"""The command `tidegate import stock`: counts from a CSV file; bad rows are told, others are kept.

Rows are kept some thousands at a time, each in a transaction of their own, so that nobody waits
long for them. What is imported twice changes nothing the second time where rows say their `as_of`.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from engine.infra import importing
from engine.infra.postgres import Connection
from engine.infra.sheets import MalformedFile, Row
from engine.kernel import clock, codec
from engine.kernel.clock import SystemClock
from engine.kernel.types import Tenant
from engine.physical import files
from engine.physical.files import Defaults
from engine.physical.rules.lines import LineFault
from engine.physical.service import imports
from engine.physical.service.imports import Kept, Read
from engine.physical.types.facts import Count, Key
from engine.settings import Settings

FAULTS_SHOWN_MAX: Final = 50
_SLICE: Final = 5_000
_ENDED: Final[tuple[type[Exception], ...]] = (MalformedFile, *importing.AWAY)
_TOLD_EVERY_S: Final = 2.0
_REPORT_LENGTH_MAX: Final = 128


class Options(NamedTuple):
    """What the command was told."""

    path: Path
    dry_run: bool
    rejected: Path | None
    as_json: bool


class Total:
    """What became of all rows so far, with progress on stderr while it lasts."""

    def __init__(self, rows: int) -> None:
        """Begin with a file of so many rows."""
        self.rows, self.done = rows, 0
        self.applied = self.stale = self.corrected = self.rejected = 0
        self.shown: list[LineFault] = []
        self._clock = SystemClock()
        self._told_at = self._clock.monotonic()

    def add(self, rows: int, kept: Kept) -> None:
        """Add what became of some rows."""
        self.done += rows
        self.applied += len(kept.applied)
        self.stale += kept.stale
        self.corrected += kept.corrected
        self.rejected += len({fault.n for fault in kept.faults})
        self.shown += kept.faults[: FAULTS_SHOWN_MAX - len(self.shown)]
        if self._clock.monotonic() - self._told_at >= _TOLD_EVERY_S:
            self._told_at = self._clock.monotonic()
            sys.stderr.write(f"{self.done:,} of {self.rows:,} rows\n")

    def counts(self) -> dict[str, int]:
        """Return the counts as they are told."""
        return {
            "rows": self.rows,
            "applied": self.applied,
            "stale": self.stale,
            "corrected": self.corrected,
            "rejected": self.rejected,
        }


async def run(settings: Settings, options: Options) -> int:
    """Import a file and tell what became of its rows.

    Returns the exit code: 0, 1 when rows were rejected or it ended half-way, 2 when it is no file
    of counts.
    """
    try:
        # read once before anything is changed: what is no such file is refused as a whole
        total = Total(files.counted(options.path))
        rejects = _opened(options)
    except (MalformedFile, OSError) as refusal:
        sys.stderr.write(f"{refusal}\n")
        return importing.USAGE
    try:
        async with importing.connected(settings.database_url or "") as connection:
            whole = await _keep_all(connection, Tenant(settings.tenant), options, total, rejects)
    finally:
        if rejects:
            with suppress(OSError):  # it was flushed slice by slice, where a failure is told
                rejects.close()
    _tell(total, options)
    return importing.FAILED if total.rejected or not whole else importing.OK


def _opened(options: Options) -> TextIO | None:
    if options.rejected is None:
        return None
    if options.rejected.exists() and options.rejected.samefile(options.path):
        raise MalformedFile("rejected rows must not be written over the file they are read from")
    return options.rejected.open("w", encoding="utf-8", newline="")


async def _keep_all(
    connection: Connection, tenant: Tenant, options: Options, total: Total, rejects: TextIO | None
) -> bool:
    """Keep slice after slice; tell whether it came to the end, and on stderr why not."""
    try:
        await _keep_slices(connection, tenant, options, total, rejects)
    except _ENDED as ended:
        why = str(ended) or type(ended).__name__
    else:
        if total.done == total.rows:
            return True
        why = f"{options.path.name} was changed while it was read"
    done = f"the first {total.done:,} of {total.rows:,} rows"
    sys.stderr.write(f"ended after {done}: {why}. Import the file again: what is kept stays\n")
    return False


async def _keep_slices(
    connection: Connection, tenant: Tenant, options: Options, total: Total, rejects: TextIO | None
) -> None:
    defaults = Defaults(clock.instant(SystemClock().now_ms()))
    name = options.path.name.encode(errors="replace").decode()
    report = f"import {name}"[:_REPORT_LENGTH_MAX]
    writer = csv.writer(rejects) if rejects else None
    if writer:
        writer.writerow((*files.REJECTED, *files.REQUIRED, *files.OPTIONAL))
    earlier: dict[Key, Count] = {}
    for rows in _sliced(files.rows(options.path)):
        sound, faults = _read(rows, defaults)
        transaction = connection.transaction()
        await transaction.start()
        try:
            kept = await imports.keep(
                connection, tenant, sound, report, importing.ACTOR, earlier=earlier
            )
        except BaseException:
            if not connection.is_closed():
                await transaction.rollback()
            raise
        if options.dry_run:
            # it does it all, so that its counts are true, and takes it back; as nobody shall wait
            # for a whole file, slice by slice, and each is told what the former ones came to
            await transaction.rollback()
            earlier |= kept.applied
        else:
            await transaction.commit()
        kept = kept._replace(faults=sorted([*faults, *kept.faults]))
        total.add(len(rows), kept)
        if writer and rejects:
            writer.writerows(_rejected(rows, kept.faults, defaults))
            rejects.flush()


def _sliced(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while part := list(islice(rows, _SLICE)):
        yield part


def _read(rows: Sequence[Row], defaults: Defaults) -> tuple[list[Read], list[LineFault]]:
    sound, faults = [], []
    for row in rows:
        what = files.read(row, defaults)
        if isinstance(what, Read):
            sound.append(what)
        else:
            faults += what
    return sound, faults


def _rejected(
    rows: Sequence[Row], faults: Sequence[LineFault], defaults: Defaults
) -> Iterator[list[Any]]:
    """Yield rejected rows as they were, behind what is wrong with them.

    What said no `as_of` says it now: mended tomorrow it is still a count of today.
    """
    read_at = {"as_of": defaults.as_of.isoformat()}
    by_line: dict[int, list[LineFault]] = defaultdict(list)
    for fault in faults:
        by_line[fault.n].append(fault)
    for row in rows:
        if wrong := by_line.get(row.line):
            told = [" ".join(filter(None, (one.field, one.detail))) for one in wrong]
            names = (*files.REQUIRED, *files.OPTIONAL)
            cells = [row.named.get(name) or read_at.get(name, "") for name in names]
            yield [row.line, wrong[0].field, "; ".join(told), *cells]


def _tell(total: Total, options: Options) -> None:
    counts = total.counts()
    if options.as_json:
        errors = [{"line": n, "field": field, "detail": d} for n, field, d in total.shown]
        document = {**counts, "dry_run": options.dry_run, "errors": errors}
        sys.stdout.write(codec.encode_pretty(document).decode())
        return
    for line, field, detail in total.shown:
        place = f"line {line}, {field}" if field else f"line {line}"
        sys.stderr.write(f"{place}: {detail}\n")
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    sys.stdout.write(f"{told}{' (dry run: nothing was changed)' if options.dry_run else ''}\n")
