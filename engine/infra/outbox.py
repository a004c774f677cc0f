"""Readers of committed events: every event once, in an order that never skips one.

Ids alone would skip: a transaction that took a lower id may commit later. So a reader goes by
(xid, id) and stays below the oldest transaction that still runs; what it has not seen yet can only
lie above. Where it stands is a row, moved in the transaction that did something with the events.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel import codec

SQL: Final = queries.load("engine.infra")


class Committed(NamedTuple):
    """One event of the outbox; `order_id` is "" for what is not about an order."""

    xid: int
    id: int
    at: datetime
    kind: str
    order_id: str
    actor: str
    data: dict[str, Any]


async def read(tx: Connection, reader: str, limit: int) -> list[Committed]:
    """Lock a reader's place and return the events that follow it, at most `limit`.

    To be called inside a transaction: a second process with the same name waits for the first.
    """
    place = await tx.fetchrow(SQL["lock_reader"], reader)
    assert place is not None, "an upsert returns its row"
    rows = await tx.fetch(SQL["read_events"], place["xid"], place["id"], limit)
    return [
        Committed(
            row["xid"], row["id"], row["at"], row["kind"], row["order_id"], row["actor"],
            codec.decode_json(row["data"]),
        )
        for row in rows
    ]  # fmt: skip


async def advance(tx: Connection, reader: str, seen: Sequence[Committed]) -> None:
    """Move a reader behind what it was given; in the same transaction as what it did with it."""
    if seen:
        await tx.execute(SQL["advance_reader"], reader, seen[-1].xid, seen[-1].id)
