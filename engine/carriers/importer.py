"""The command `tidegate import rate-cards`: a CSV file into cards, all of it or nothing."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.carriers import files
from engine.carriers.files import Draft
from engine.carriers.service import cards
from engine.infra import importing
from engine.infra.importing import FAULTS_SHOWN_MAX, RowFault
from engine.infra.postgres import Connection
from engine.infra.sheets import MalformedFile
from engine.infra.versioned import Match
from engine.kernel import clock, codec
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Immutable, ValidationFailed
from engine.kernel.types import Tenant
from engine.settings import Settings


class BadRows(Exception):
    """Rows that cannot be kept; nothing is."""

    def __init__(self, faults: Sequence[RowFault]) -> None:
        """Take what is wrong with them."""
        super().__init__()
        self.faults = sorted(faults)


async def run(
    settings: Settings, path: Path, *, effective_from: str, dry_run: bool, as_json: bool
) -> int:
    """Import a file and tell what became of its cards.

    Returns the exit code: 0, 1 when rows were refused, 2 when it is no file of rate cards.
    """
    try:
        drafts, faults = files.read(path, effective_from)
    except MalformedFile as refusal:
        sys.stderr.write(f"{refusal}\n")
        return importing.USAGE
    try:
        async with importing.connected(settings.database_url or "") as connection:
            told = await _keep(connection, Tenant(settings.tenant), drafts, faults, dry_run=dry_run)
    except BadRows as bad:
        _tell_faults(bad.faults, as_json=as_json)
        return importing.FAILED
    counts = {"cards": len(drafts)} | {
        word: told.get(word, 0) for word in ("created", "changed", "unchanged")
    }
    if as_json:
        _write({**counts, "dry_run": dry_run, "errors": []})
    else:
        text = ", ".join(f"{count} {name}" for name, count in counts.items())
        sys.stdout.write(f"{text}{' (dry run: nothing was changed)' if dry_run else ''}\n")
    return importing.OK


async def _keep(
    connection: Connection,
    tenant: Tenant,
    drafts: Sequence[Draft],
    faults: Sequence[RowFault],
    *,
    dry_run: bool,
) -> Mapping[str, int]:
    """Keep a file's cards; a dry run does it all, so that its counts hold, and takes it back."""
    found, counts = list(faults), Counter[str]()
    now = clock.instant(SystemClock().now_ms())
    transaction = connection.transaction()
    await transaction.start()
    try:
        for draft in sorted(drafts, key=lambda one: one.told["service"]):
            word, wrong = await _keep_one(connection, tenant, draft, now)
            counts[word] += 1
            found += wrong
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run or found else transaction.commit())
    if found:
        raise BadRows(found)
    return counts


async def _keep_one(
    tx: Connection, tenant: Tenant, draft: Draft, now: datetime
) -> tuple[str, list[RowFault]]:
    last = await cards.last(tx, tenant, draft.card)
    try:
        fields = draft.fields(last.value.surcharges if last else [])
        saved = await cards.keep(
            tx, tenant, draft.card, fields, Match(), actor=importing.ACTOR, now=now
        )
    except ValidationFailed as refusal:
        wrong: Any = refusal.extra["errors"]
        return "refused", [draft.place(one["pointer"], one["detail"]) for one in wrong]
    except Immutable as refusal:
        return "refused", [(draft.rows[0], "effective_from", refusal.detail)]
    return "created" if saved.created else "changed" if saved.changed else "unchanged", []


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
