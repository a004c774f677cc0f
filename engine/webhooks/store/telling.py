"""What there is to tell: messages, made of committed events by one writer at a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.webhooks.store.sql import SQL
from engine.webhooks.types.webhooks import About, Message


class Filter(NamedTuple):
    """What one endpoint wants."""

    types: tuple[str, ...]
    channels: frozenset[str]


async def filters(tx: Connection, tenant: Tenant) -> list[Filter]:
    """Return what endpoints want, disabled ones too: they may be enabled and told later."""
    rows = await tx.fetch(SQL["filters"], tenant)
    return [Filter(tuple(row["types"]), frozenset(row["channels"])) for row in rows]


async def orders(
    tx: Connection, tenant: Tenant, order_ids: Sequence[str]
) -> dict[str, tuple[About, str]]:
    """Return whose orders these are, of this tenant, and in which traces they were placed."""
    rows = await tx.fetch(SQL["orders_of"], order_ids)
    return {
        row["order_id"]: (
            About(row["order_id"], row["channel"], row["channel_order_id"]),
            row["trace"],
        )
        for row in rows
        if row["tenant"] == tenant
    }


async def add(tx: Connection, tenant: Tenant, messages: Sequence[Message]) -> None:
    """Append messages, in this order; to be called by who holds the reader's place."""
    if messages:
        columns = [list(one) for one in zip(*messages, strict=True)]
        ids, types, channels, keys, instants, traces, bodies = columns
        await tx.execute(
            SQL["add_messages"], tenant, ids, types, channels, keys, instants, traces, bodies
        )


async def prune(pool: Pool, before: datetime, limit: int) -> tuple[int, int]:
    """Remove some of what is old; return how many messages and how many tries went."""
    gone = await pool.fetch(SQL["prune_events"], before, limit)
    tried = await pool.execute(SQL["prune_attempts"], before, limit)
    await pool.execute(SQL["forget_secrets"])
    return len(gone), int(tried.rpartition(" ")[2])
