"""Drifts as they are listed."""

from typing import Any, Final

import asyncpg

from engine.assurance.reconciling.store import SQL
from engine.infra.postgres import Pool
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant

_SEPARATOR: Final = "\x1f"


class DriftView(codec.Answer, frozen=True):
    """Something that does not agree; `done` says what was done about it, "" if nothing was.

    `unsafe` ones could sell a unit twice: the SKU or the cell is stopped until a person decides.
    """

    drift_id: str
    kind: str
    subject: str
    expected: str
    found: str
    units: int
    detail: str
    repair: str
    unsafe: bool
    done: str
    first_seen: str
    last_seen: str
    resolved_at: str | None


class DriftPage(codec.Answer, frozen=True):
    """Drifts, newest first."""

    items: list[DriftView]
    next_cursor: str | None


async def drifts(
    db: Pool, tenant: Tenant, kind: str, *, only_open: bool, below: int | None, limit: int
) -> list[DriftView]:
    """Return drifts of a tenant, and of the whole cell, newest first."""
    rows = await db.fetch(SQL["list_drifts"], tenant, kind, only_open, below, limit)
    return [view(row) for row in rows]


def view(row: asyncpg.Record) -> DriftView:
    """Return a drift as people read it."""
    told: dict[str, Any] = {name: row[name] for name in DriftView.__struct_fields__}
    for name in ("first_seen", "last_seen", "resolved_at"):
        told[name] = told[name] and rfc3339(to_ms(told[name]))
    told["drift_id"] = str(told["drift_id"])
    told["subject"] = told["subject"].replace(_SEPARATOR, " ").strip()
    return DriftView(**told)
