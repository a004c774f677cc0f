"""What the publisher found wrong with documents, and in which version."""

from typing import Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable

SQL: Final = queries.load("engine.inventory")


async def note(tx: Connection, kind: str, one: Unplannable) -> bool:
    """Write down why a version cannot be planned; False when that is known."""
    told = await tx.fetchval(
        SQL["note_unplannable"], one.tenant, kind, one.id, one.version, one.reason
    )
    return told is not None


async def standing(db: Connection, tenant: str, limit: int) -> list[tuple[str, Unplannable]]:
    """Return, by kind, present versions that could not be planned and still are not."""
    rows = await db.fetch(SQL["unplannable"], tenant, limit)
    return [
        (row["kind"], Unplannable(row["tenant"], row["id"], row["version"], row["reason"]))
        for row in rows
    ]
