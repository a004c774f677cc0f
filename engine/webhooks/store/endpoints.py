"""Endpoints and their secrets, what was tried, and what was given up."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.webhooks.store.sql import SQL

BACKLOG_MAX = 100_000


class Wanted(NamedTuple):
    """What an endpoint is to be."""

    url: str
    description: str
    types: list[str]
    patterns: list[str]
    channels: list[str]


class Range(NamedTuple):
    """What is to be sent again."""

    message_ids: Sequence[str]
    first: int
    last: int
    from_at: datetime | None
    to_at: datetime | None
    cause: str


async def add(
    tx: Connection, tenant: Tenant, endpoint_id: str, wanted: Wanted, actor: str, most: int
) -> bool:
    """Add an endpoint; False: there are too many."""
    return await tx.fetchval(
        SQL["add_endpoint"], endpoint_id, tenant, *wanted, actor, most
    ) is not None  # fmt: skip


async def change(
    tx: "Connection | Pool", tenant: Tenant, endpoint_id: str, wanted: Wanted, actor: str
) -> bool:
    """Change an endpoint; False: there is none."""
    return await tx.fetchval(
        SQL["change_endpoint"], tenant, endpoint_id, *wanted, actor
    ) is not None  # fmt: skip


async def enable(tx: Connection, tenant: Tenant, endpoint_id: str, actor: str) -> None:
    """Let a disabled endpoint be told again; what waits is due at once."""
    if await tx.fetchval(SQL["enable"], tenant, endpoint_id, actor) is not None:
        await tx.execute(SQL["revive"], endpoint_id)


async def disable(tx: Connection, tenant: Tenant, endpoint_id: str, actor: str) -> bool:
    """Tell an endpoint nothing any more; whoever delivers to it writes nothing any more."""
    return await tx.fetchval(SQL["disable"], tenant, endpoint_id, actor) is not None


async def remove(tx: Connection, tenant: Tenant, endpoint_id: str) -> bool:
    """Remove an endpoint and what waits for it; False: there is none."""
    return await tx.fetchval(SQL["remove_endpoint"], tenant, endpoint_id) is not None


async def lock(tx: Connection, tenant: Tenant, endpoint_id: str) -> bool:
    """Lock an endpoint until the transaction ends; False: there is none."""
    return await tx.fetchval(SQL["lock_endpoint"], tenant, endpoint_id) is not None


async def add_secret(tx: Connection, endpoint_id: str, secret: str) -> None:
    """Sign with this one from now on."""
    await tx.execute(SQL["add_secret"], endpoint_id, secret)


async def end_secrets(tx: Connection, endpoint_id: str, overlap_s: int) -> datetime | None:
    """Let the secrets there are end; return when the last of them does."""
    rows = await tx.fetch(SQL["end_secrets"], endpoint_id, timedelta(seconds=overlap_s))
    return max((row["expires_at"] for row in rows), default=None)


async def listed(
    db: "Connection | Pool", tenant: Tenant, *, endpoint_id: str = "", after: str = "", limit: int
) -> list[dict[str, Any]]:
    """Return endpoints in the order of their ids, with how they stand."""
    rows = await db.fetch(SQL["list_endpoints"], tenant, endpoint_id, after, limit, BACKLOG_MAX)
    return [dict(row) for row in rows]


async def attempts(
    pool: Pool, endpoint_id: str, before: int, outcome: str, message_id: str, limit: int
) -> list[dict[str, Any]]:  # fmt: skip
    """Return tries, the newest first."""
    rows = await pool.fetch(
        SQL["list_attempts"], endpoint_id, before, outcome, message_id, limit
    )  # fmt: skip
    return [dict(row) for row in rows]


async def dead(
    pool: Pool, endpoint_id: str, after: int, cause: str, limit: int
) -> list[dict[str, Any]]:
    """Return what was given up, the oldest first."""
    return [
        dict(row) for row in await pool.fetch(SQL["list_dead"], endpoint_id, after, cause, limit)
    ]


async def dead_by_cause(pool: Pool, endpoint_id: str) -> list[dict[str, Any]]:
    """Return what was given up, by cause, the most frequent one first."""
    return [dict(row) for row in await pool.fetch(SQL["dead_by_cause"], endpoint_id)]


async def replay(
    tx: Connection, endpoint_id: str, which: Range, limit: int, *, dead_only: bool
) -> list[int]:
    """Let messages wait anew, at most so many; return their numbers."""
    picked = (list(which.message_ids), which.first, which.last, which.from_at, which.to_at)
    if dead_only:
        rows = await tx.fetch(SQL["replay_dead"], endpoint_id, *picked, which.cause, limit)
    else:
        rows = await tx.fetch(SQL["replay"], endpoint_id, *picked, limit)
    return sorted(row["seq"] for row in rows)


async def measure(pool: Pool, tenant: Tenant) -> dict[str, Any]:
    """Return how many endpoints there are, what waits for them, and since when."""
    row = await pool.fetchrow(SQL["measure"], tenant, BACKLOG_MAX)
    assert row is not None, "an aggregate returns its row"
    return dict(row)
