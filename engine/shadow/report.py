"""The commands `tidegate shadow …`: the report on stdout or as a page, and forgetting the facts."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.infra import importing
from engine.kernel import codec
from engine.kernel.errors import Misconfigured, ValidationFailed
from engine.kernel.types import Tenant
from engine.settings import Settings
from engine.shadow import store
from engine.shadow.page import page
from engine.shadow.rules.reasons import WORDS
from engine.shadow.rules.telling import last, report
from engine.shadow.sections import Section, sections
from engine.shadow.types import Report, Terms

_ROWS_MAX: Final = 20
_EXPLAINED_MAX: Final = 3
_WIDTH: Final = 160  # in a file or a pipe
_LATEST: Final = datetime(2199, 12, 31, tzinfo=UTC)


class Options(NamedTuple):
    """What the command was told; instants as they were written."""

    since: str
    until: str
    lag_seconds: float
    buffer: int
    html: Path | None
    as_json: bool


async def run(settings: Settings, options: Options) -> int:
    """Read the facts, tell what they come to, and return the exit code: 0, or 2 for bad terms."""
    try:
        since, until = _instant("since", options.since), _instant("until", options.until)
    except ValidationFailed as refusal:
        sys.stderr.write(f"{refusal}\n")
        return importing.USAGE
    tenant = Tenant(settings.tenant)
    async with importing.connected(settings.database_url or "") as connection:
        facts = await store.read(connection, tenant, until or _LATEST)
    if not (facts.lines or facts.counts or facts.shown):
        raise Misconfigured(
            "there is nothing to report: bring facts by tidegate import orders, import numbers"
            " and import stock --shadow"
        )
    terms = Terms(since, until, options.lag_seconds, options.buffer)
    found, curves = report(facts, terms, until or last(facts))
    if options.html:
        _write(options.html, page(found, curves))
    if options.as_json:
        sys.stdout.write(codec.encode_pretty(msgspec.to_builtins(found)).decode())
    else:
        _show(found)
    return importing.OK


async def forget(settings: Settings) -> int:
    """Delete all facts of the shadow and say how many there were."""
    tenant = Tenant(settings.tenant)
    dsn = settings.database_url or ""
    async with importing.connected(dsn) as connection, connection.transaction():
        await store.lock(connection, tenant)
        gone = await store.forget(connection, tenant)
    told = ", ".join(f"{many} {name}" for name, many in gone.items())
    sys.stdout.write(f"forgotten: {told}\n")
    return importing.OK


def _instant(name: str, text: str) -> datetime | None:
    return importing.instant(name, text) if text else None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from None


def _show(found: Report) -> None:
    wide = None if sys.stdout.isatty() else _WIDTH
    console = Console(soft_wrap=True, width=wide)
    for section in sections(found):
        console.print(_table(section))
    for line in _lines(found):
        console.print(line, highlight=False, markup=False)


def _lines(found: Report) -> list[str]:
    facts = ", ".join(f"{many} {name.replace('_', ' ')}" for name, many in found.facts.items())
    sums = (
        f"oversold: {found.oversold_units}",
        f"counted to be gone: {found.lost_units}",
        f"undersold: {found.undersold_unit_minutes:g} unit-minutes",
    )
    worst = [
        f"{one.sku}, {one.channel}: {WORDS[why.cause]}: {why.told}"
        for one in found.oversold[:_EXPLAINED_MAX]
        for why in one.why
    ]
    verdict = "nothing to find" if found.empty else "pictures: --html FILE"
    told = [*worst, f"{found.since} to {found.until}: {facts}", *sums]
    return [*told, *filter(None, [found.note]), verdict]


def _table(section: Section) -> Table:
    """Return a table of the first rows."""
    more = len(section.rows) - _ROWS_MAX
    table = Table(title=section.title, caption=f"and {more} more" if more > 0 else None)
    for column in section.columns:
        right = column.startswith("#")
        table.add_column(column.removeprefix("#"), justify="right" if right else "left")
    for row in section.rows[:_ROWS_MAX]:
        table.add_row(*map(_cell, row))
    return table


def _cell(what: Any) -> Text:
    if isinstance(what, list):
        return Text("\n".join(WORDS[one.cause] for one in what))
    return Text(f"{what:g}" if isinstance(what, float) else str(what))
