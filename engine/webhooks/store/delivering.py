"""Leases, what is next for an endpoint, and what came of it."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.webhooks.store.sql import SQL
from engine.webhooks.types.webhooks import Endpoint, Item, Result, Secret, Standing, Try

_TRY_COLUMNS: Final = (
    "endpoint_id", "seq", "message_id", "type", "attempt", "at", "outcome", "status", "seconds",
    "error",
)  # fmt: skip
_STATES: Final = {"again": "waiting", "held": "waiting", "dead": "dead"}


class Leased(NamedTuple):
    """An endpoint that this process has; `version` changes with what it is to be told."""

    endpoint_id: str
    token: int
    version: int


class Fresh(NamedTuple):
    """The next messages of an endpoint, those held behind others apart, and how far that is."""

    items: list[Item]
    held: list[Item]
    reach: int


async def lease(
    pool: Pool, tenant: Tenant, process: str, lasts_s: float, more: int
) -> list[Leased]:
    """Renew what this process has, take some more, and return all of it."""
    rows = await pool.fetch(SQL["lease"], tenant, process, timedelta(seconds=lasts_s), more)
    return [Leased(row["endpoint_id"], row["token"], row["version"]) for row in rows]


async def leave(db: "Connection | Pool", endpoint_id: str, token: int) -> None:
    """Give a lease back, so that nobody has to wait for its end."""
    await db.execute(SQL["leave"], endpoint_id, token)


async def endpoint(db: "Connection | Pool", endpoint_id: str) -> Endpoint | None:
    """Return an endpoint with its secrets in force; None if it is gone."""
    row = await db.fetchrow(SQL["endpoint"], endpoint_id)
    if row is None:
        return None
    found: dict[str, Any] = dict(row)
    for name in ("patterns", "channels"):
        found[name] = tuple(found[name])
    kept = await db.fetch(SQL["secrets"], endpoint_id)
    secrets = tuple(Secret(one["secret"], one["expires_at"]) for one in kept)
    return Endpoint(**found, secrets=secrets)


async def bells(pool: Pool, tenant: Tenant, process: str) -> list[str]:
    """Return for which of its endpoints this process may find something to do."""
    return [row["endpoint_id"] for row in await pool.fetch(SQL["bells"], tenant, process)]


async def fresh(pool: Pool, tenant: Tenant, of: Endpoint, after: int, limit: int) -> Fresh:
    """Return what comes next behind a message."""
    rows = await pool.fetch(
        SQL["fresh"], tenant, of.endpoint_id, after, limit, of.patterns, of.channels
    )
    found = Fresh([], [], rows[0]["reach"] if rows else after)
    for row in rows:
        if row["seq"] is not None:
            item = Item(
                row["seq"], row["message_id"], row["type"], row["key"], row["body"].encode(),
                row["trace"],
            )  # fmt: skip
            (found.held if row["held"] else found.items).append(item)
    return found


async def due(pool: Pool, endpoint_id: str, known: Collection[int], limit: int) -> list[Item]:
    """Return what waited long enough, but for what the caller knows of already."""
    rows = await pool.fetch(SQL["due"], endpoint_id, list(known), limit)
    return [
        Item(
            row["seq"], row["message_id"], row["type"], row["key"], row["body"].encode(),
            row["trace"], row["attempts"], kept=True,
        )
        for row in rows
    ]  # fmt: skip


async def stand(
    tx: Connection, endpoint_id: str, token: int, cursor: int, standing: Standing
) -> bool:
    """Move an endpoint on; False: it is not ours any more, and nothing may be written.

    The first statement of a transaction: its row stays locked until the end.
    """
    return await tx.fetchval(
        SQL["stand"], endpoint_id, token, cursor, standing.failures, standing.failing_since,
        standing.delivered, standing.disabled,
    ) is not None  # fmt: skip


async def settle(tx: Connection, endpoint_id: str, results: Sequence[Result]) -> None:
    """Write what became of messages; of what was delivered at once there is nothing to write."""
    over = [one.item.seq for one in results if one.settled == "delivered" and one.item.kept]
    if over:
        await tx.execute(SQL["settle"], endpoint_id, over)
    waits = [one for one in results if one.settled in _STATES]
    if waits:
        await tx.execute(
            SQL["wait"], endpoint_id, [one.item.seq for one in waits],
            [one.item.key for one in waits], [_STATES[one.settled] for one in waits],
            [one.item.attempts for one in waits], [one.wait_s for one in waits],
            [one.cause for one in waits],
        )  # fmt: skip


async def add_tries(tx: Connection, endpoint_id: str, tries: Sequence[Try]) -> None:
    """Append to the list of tries."""
    if tries:
        rows = [
            (
                endpoint_id, item.seq, item.message_id, item.type, attempt, at, answer.outcome,
                answer.status, answer.seconds, answer.error,
            )
            for item, attempt, at, answer in tries
        ]  # fmt: skip
        await tx.copy_records_to_table("webhook_attempts", records=rows, columns=_TRY_COLUMNS)
