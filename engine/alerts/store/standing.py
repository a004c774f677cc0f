"""Alerts that stand, and those that stood."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.alerts.types.documents import AlertKind, AlertView
from engine.alerts.types.facts import Alert, Standing, Subject
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.ids import fingerprint
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.alerts")


class Kept(NamedTuple):
    """An alert as it is kept."""

    alert_id: int
    alert: Alert


class Wanted(NamedTuple):
    """What a list shall hold; "" is all."""

    tenant: Tenant
    channel: str
    kind: str
    sku: str
    severity: str
    standing: bool
    after: int
    limit: int


async def standing(
    db: Connection, tenant: Tenant, kinds: Iterable[AlertKind]
) -> dict[Standing, Kept]:
    """Return what stands of these kinds."""
    rows = await db.fetch(SQL["standing"], tenant, list(kinds))
    return {
        (row["kind"], Subject(*(row[name] for name in Subject._fields))): Kept(
            row["alert_id"], Alert(row["value"], row["limit"], row["severity"], row["rule"])
        )
        for row in rows
    }


async def begin(tx: Connection, tenant: Tenant, fresh: Mapping[Standing, Alert]) -> None:
    """Keep alerts that did not stand before."""
    rows: list[tuple[Any, ...]] = [
        (kind, fingerprint("\x1f".join(subject).encode()), *subject, *alert)
        for (kind, subject), alert in fresh.items()
    ]
    if rows:
        await tx.execute(SQL["raise"], tenant, *_columns(rows))


async def change(tx: Connection, changed: Sequence[Kept]) -> None:
    """Write down what alerts say now."""
    if changed:
        rows = [(one.alert_id, *one.alert) for one in changed]
        await tx.execute(SQL["change"], *_columns(rows))


async def end(tx: Connection, over: Iterable[Kept]) -> None:
    """Let alerts stand no longer."""
    if ids := [one.alert_id for one in over]:
        await tx.execute(SQL["lift"], ids)


async def alerts(db: Connection, wanted: Wanted) -> list[AlertView]:
    """List alerts in the order in which they began."""
    rows = await db.fetch(SQL["list_alerts"], *wanted)
    return [
        AlertView(
            **dict(row)
            | {
                "since": rfc3339(to_ms(row["since"])),
                "until": rfc3339(to_ms(row["until"])) if row["until"] else None,
            }
        )
        for row in rows
    ]


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
