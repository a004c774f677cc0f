"""The command `tidegate import listings`: a CSV file into the table, all of it or nothing."""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.infra import importing
from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.types import Tenant
from engine.listings import files, service
from engine.listings.types import FAULTS_SHOWN_MAX, BadRows, Kept, RowFault
from engine.settings import Settings


async def run(
    settings: Settings, path: Path, *, replace: bool, dry_run: bool, as_json: bool
) -> int:
    """Import a file and tell what became of its rows.

    Returns the exit code: 0, 1 when rows were refused, 2 when it is no file of listings.
    """
    try:
        sheet = files.read(path)
    except files.MalformedFile as refusal:
        sys.stderr.write(f"{refusal}\n")
        return importing.USAGE
    tenant = Tenant(settings.tenant)
    try:
        async with importing.connected(settings.database_url or "") as connection:
            kept = await _keep(connection, tenant, sheet, replace=replace, dry_run=dry_run)
    except BadRows as bad:
        _tell_faults(bad.faults, as_json=as_json)
        return importing.FAILED
    _tell(kept, dry_run=dry_run, as_json=as_json)
    return importing.OK


async def _keep(
    connection: Connection, tenant: Tenant, sheet: files.Sheet, *, replace: bool, dry_run: bool
) -> Kept:
    """Keep a file's rows; a dry run does it all, so that its counts are true, and takes it back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        kept = await service.keep(
            connection, tenant, sheet.rows, sheet.faults, replace=replace, actor=importing.ACTOR
        )
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run else transaction.commit())
    return kept


def _tell(kept: Kept, *, dry_run: bool, as_json: bool) -> None:
    counts = msgspec.structs.asdict(kept)
    if as_json:
        _write({**counts, "dry_run": dry_run, "errors": []})
        return
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    sys.stdout.write(f"{told}{' (dry run: nothing was changed)' if dry_run else ''}\n")
    if kept.doubled:
        sys.stderr.write(
            f"{kept.doubled} links stand for several SKUs now: see GET /v1/listings:alarms\n"
        )


def _tell_faults(faults: Sequence[RowFault], *, as_json: bool) -> None:
    if as_json:
        _write({"errors": [{"line": n, "field": field, "detail": d} for n, field, d in faults]})
        return
    for line, field, detail in faults[:FAULTS_SHOWN_MAX]:
        place = f"line {line}, {field}" if field else f"line {line}"
        sys.stderr.write(f"{place}: {detail}\n")
    if (left_out := len(faults) - FAULTS_SHOWN_MAX) > 0:
        sys.stderr.write(f"and {left_out} more\n")
    sys.stderr.write("nothing was imported\n")


def _write(document: dict[str, object]) -> None:
    sys.stdout.write(codec.encode_pretty(document).decode())
