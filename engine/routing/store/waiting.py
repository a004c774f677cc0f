"""What waits in queues, and promises that are broken, to be looked at; and orders tried again."""

from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.routing.types.waiting import Broken, Queued, Waiting

SQL: Final = queries.load("engine.routing")


class Kept(NamedTuple):
    """A row of a locked order, locked too."""

    queue: str
    facts: bytes


async def queued(db: "Connection | Pool", wanted: Waiting) -> list[Queued]:
    """Return rows of the queue, the longest waiting first."""
    tenant, channel, queue, before, after, limit = wanted
    since, order_id = after or (None, "")
    rows = await db.fetch(SQL["list_queue"], tenant, channel, queue, before, since, order_id, limit)
    return [Queued(*row) for row in rows]


async def broken(
    db: "Connection | Pool", tenant: Tenant, channel: str, after: tuple[str, int], limit: int
) -> list[Broken]:
    """Return promises that are broken, by order and line."""
    return [Broken(*row) for row in await db.fetch(SQL["broken"], tenant, channel, *after, limit)]


async def lock_order(tx: Connection, tenant: Tenant, channel: str, order_id: str) -> bool:
    """Lock an order; False when a channel ("" any) has none of that name."""
    return await tx.fetchval(SQL["lock_own_order"], tenant, channel, order_id) is not None


async def lock_row(tx: Connection, order_id: str) -> Kept | None:
    """Lock the row of a locked order; None when it is in no queue."""
    row = await tx.fetchrow(SQL["lock_row"], order_id)
    return None if row is None else Kept(*row)


async def has_node(tx: Connection, tenant: Tenant, node: str) -> bool:
    """Whether there is a node of that name that may send."""
    return bool(await tx.fetchval(SQL["has_node"], tenant, node))


async def try_again(
    tx: Connection, order_id: str, facts: bytes, alarm_s: int, *, stale: bool
) -> None:
    """Make a locked row new, and due now; what is `stale` is not bound before it was made anew."""
    await tx.execute(SQL["try_again"], order_id, facts, alarm_s, stale)
