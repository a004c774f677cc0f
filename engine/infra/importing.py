"""What commands over files and Postgres share, above all `tidegate import …`: how they end.

Files of any length (`stream`): bad rows are told, the others are kept some thousands at a time,
each part in a transaction of its own, so that nobody waits long for them.
"""

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TextIO, TypeAlias

import asyncpg
import msgspec

from engine.infra import migrate, postgres, sheets
from engine.infra.postgres import Connection
from engine.infra.sheets import MalformedFile, Row
from engine.kernel import codec
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Misconfigured, ValidationFailed
from engine.settings import Settings

OK: Final = 0
FAILED: Final = 1  # rows were refused
USAGE: Final = 2  # it is no such file
ACTOR: Final = "tidegate import"
FAULTS_SHOWN_MAX: Final = 50
_SLICE: Final = 5_000
_TOLD_EVERY_S: Final = 2.0

# Postgres went away, or does not let us in.
AWAY: Final[tuple[type[Exception], ...]] = (*postgres.UNAVAILABLE, asyncpg.PostgresError)
_ENDED: Final[tuple[type[Exception], ...]] = (MalformedFile, *AWAY)

# A row's line, the field that is wrong ("" for all of it), and what is accepted.
RowFault: TypeAlias = "tuple[int, str, str]"
# Keeps rows inside a transaction; returns counts of what became of them, and the bad ones.
Keep: TypeAlias = (
    "Callable[[Connection, Sequence[Row]], Awaitable[tuple[Mapping[str, int], Sequence[RowFault]]]]"
)


class Options(NamedTuple):
    """What the command was told."""

    path: Path
    dry_run: bool
    rejected: Path | None
    as_json: bool


class Sheet(NamedTuple):
    """A kind of file: how its rows are read, its columns, and what can become of rows.

    `rows` reads a file that was rejected as well: it knows the columns `sheets.REJECTED`. Of these,
    empty cells are written as `filled`: what a row left open was settled when it was read.
    """

    rows: Callable[[Path], Iterator[Row]]
    columns: Sequence[str]
    counted: Sequence[str]
    filled: Mapping[str, str] = MappingProxyType({})


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Connect to a database of this version's schema.

    Raises:
        Misconfigured: there is none.
    """
    try:
        connection = await postgres.connect(dsn)
    except AWAY as away:
        told = f"no Postgres lets us in there: {str(away) or type(away).__name__}"
        raise Misconfigured(f"TIDEGATE_DATABASE_URL: {told}") from away
    try:
        await migrate.require_head(connection)
        yield connection
    finally:
        await connection.close(timeout=2)


def instant(option: str, text: str) -> datetime:
    """Return an instant that an option says, in UTC.

    Raises:
        ValidationFailed: it is none, or has no zone.
    """
    try:
        return codec.instant(msgspec.convert(text, codec.Instant), "")
    except (msgspec.ValidationError, ValidationFailed):
        told = f"--{option}: {text!r} is not an instant with a zone, such as 2026-11-11T00:00:00Z"
        raise ValidationFailed([], told) from None


async def stream(settings: Settings, options: Options, sheet: Sheet, keep: Keep) -> int:
    """Import a file and tell what became of its rows.

    In a dry run each part is taken back before the next one: `keep` has to remember by itself what
    the former ones came to. Returns the exit code: 0, 1 when rows were rejected or it ended
    half-way, 2 when it is no such file.
    """
    try:
        # read once before anything is changed: what is no such file is refused as a whole
        total = _Total(_rows_in(options.path, sheet), sheet.counted)
        rejects = _opened(options)
    except (MalformedFile, OSError) as refusal:
        sys.stderr.write(f"{refusal}\n")
        return USAGE
    try:
        async with connected(settings.database_url or "") as connection:
            whole = await _keep_all(connection, options, sheet, keep, _Run(total, rejects))
    finally:
        if rejects:
            with suppress(OSError):  # it was flushed slice by slice, where a failure is told
                rejects.close()
    _tell(total, options)
    return FAILED if total.rejected or not whole else OK


class _Total:
    """What became of all rows so far, with progress on stderr while it lasts."""

    def __init__(self, rows: int, counted: Sequence[str]) -> None:
        self.rows, self.done, self.rejected = rows, 0, 0
        self.counted: Counter[str] = Counter(dict.fromkeys(counted, 0))
        self.shown: list[RowFault] = []
        self._clock = SystemClock()
        self._told_at = self._clock.monotonic()

    def add(self, rows: int, counts: Mapping[str, int], faults: Sequence[RowFault]) -> None:
        """Add what became of some rows."""
        self.done += rows
        self.counted.update(counts)
        self.rejected += len({line for line, _, _ in faults})
        self.shown += faults[: FAULTS_SHOWN_MAX - len(self.shown)]
        if self._clock.monotonic() - self._told_at >= _TOLD_EVERY_S:
            self._told_at = self._clock.monotonic()
            sys.stderr.write(f"{self.done:,} of {self.rows:,} rows\n")

    def counts(self) -> dict[str, int]:
        """Return the counts as they are told."""
        return {"rows": self.rows, **self.counted, "rejected": self.rejected}


class _Run(NamedTuple):
    """What is written while a file is imported."""

    total: _Total
    rejects: TextIO | None


async def _keep_all(
    connection: Connection, options: Options, sheet: Sheet, keep: Keep, run: _Run
) -> bool:
    """Keep slice after slice; tell whether it came to the end, and on stderr why not."""
    total = run.total
    try:
        await _keep_slices(connection, options, sheet, keep, run)
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
    connection: Connection, options: Options, sheet: Sheet, keep: Keep, run: _Run
) -> None:
    writer = csv.writer(run.rejects) if run.rejects else None
    if writer:
        writer.writerow((*sheets.REJECTED, *sheet.columns))
    for rows in _sliced(sheet.rows(options.path)):
        counts, faults = await _kept(connection, rows, keep, dry_run=options.dry_run)
        run.total.add(len(rows), counts, faults)
        if writer and run.rejects:
            writer.writerows(_rejected(rows, faults, sheet))
            run.rejects.flush()


def _rows_in(path: Path, sheet: Sheet) -> int:
    if not path.is_file():
        raise MalformedFile(f"{path.name} is no file but a pipe, say, and it is read twice")
    if many := sum(1 for _ in sheet.rows(path)):
        return many
    raise MalformedFile("the file has no row below its header")


def _opened(options: Options) -> TextIO | None:
    if options.rejected is None:
        return None
    if options.rejected.exists() and options.rejected.samefile(options.path):
        raise MalformedFile("rejected rows must not be written over the file they are read from")
    return options.rejected.open("w", encoding="utf-8", newline="")


async def _kept(
    connection: Connection, rows: Sequence[Row], keep: Keep, *, dry_run: bool
) -> tuple[Mapping[str, int], Sequence[RowFault]]:
    """Keep rows; a dry run does it all, so that its counts are true, and takes it back.

    It does so slice by slice, as nobody shall wait for a whole file.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        counts, faults = await keep(connection, rows)
    except BaseException:
        if not connection.is_closed():
            await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run else transaction.commit())
    return counts, sorted(faults)


def _sliced(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while part := list(islice(rows, _SLICE)):
        yield part


def _rejected(rows: Sequence[Row], faults: Sequence[RowFault], sheet: Sheet) -> Iterator[list[Any]]:
    """Yield rejected rows as they were, behind what is wrong with them."""
    by_line: dict[int, list[RowFault]] = defaultdict(list)
    for fault in faults:
        by_line[fault[0]].append(fault)
    for row in rows:
        if wrong := by_line.get(row.line):
            told = [" ".join(filter(None, (field, detail))) for _, field, detail in wrong]
            cells = [row.named.get(name) or sheet.filled.get(name, "") for name in sheet.columns]
            yield [row.line, wrong[0][1], "; ".join(told), *cells]


def _tell(total: _Total, options: Options) -> None:
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
