"""What was decided, as it is decided again."""

from datetime import datetime
from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.routing")


class Row(NamedTuple):
    """An order's last decision of a time."""

    order_id: str
    at: datetime
    plan: str
    version: int
    stage: int
    rule: int
    queue: str
    inputs: bytes
    trace: bytes


class Span(NamedTuple):
    """From an instant on, and before another."""

    since: datetime
    until: datetime


async def before(
    db: Connection, tenant: Tenant, span: Span, last: Row | None, limit: int
) -> list[Row]:
    """Return the last decisions of orders, the latest first, from the one behind `last` on."""
    place = (last.at, last.order_id) if last else (span.until, "")
    rows = await db.fetch(SQL["decisions_to_replay"], tenant, *span, *place, limit)
    return [Row(*row) for row in rows]
