"""Readers of committed events: every event once, in an order that never skips one.

Ids alone would skip: a transaction that took a lower id may commit later. So a reader goes by
(xid, id) and stays below the oldest transaction that still runs; what it has not seen yet can only
lie above. Where it stands is a row, moved in the transaction that did something with the events.

`read` offers everything. `take` is for work that must not go on while an order is blocked: whatever
an order's events tell, they wait as long as a block stands, and pass in their order afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel import codec

SQL: Final = queries.load("engine.infra")

# How many parked events one call looks at: it goes round, so each is looked at again and again.
PARKED_LOOK_MAX: Final = 1_000


class Committed(NamedTuple):
    """One event of the outbox; `order_id` is "" for what is not about an order."""

    xid: int
    id: int
    at: datetime
    kind: str
    order_id: str
    actor: str
    data: dict[str, Any]


async def write(
    tx: Connection, kind: str, actor: str, told: Iterable[Mapping[str, object]]
) -> None:
    """Tell of what is not about one order, an event each, when the caller's transaction commits."""
    data = [codec.encode(one).decode() for one in told]
    if data:
        await tx.execute(SQL["write_events"], kind, actor, data)


async def read(tx: Connection, reader: str, limit: int) -> list[Committed]:
    """Lock a reader's place and return the events that follow it, at most `limit`.

    To be called inside a transaction: a second process with the same name waits for the first.
    """
    place = await tx.fetchrow(SQL["lock_reader"], reader)
    assert place is not None, "an upsert returns its row"
    return _committed(await tx.fetch(SQL["read_events"], place["xid"], place["id"], limit))


async def advance(tx: Connection, reader: str, seen: Sequence[Committed]) -> None:
    """Move a reader behind what it was given; in the same transaction as what it did with it."""
    if seen:
        await tx.execute(SQL["advance_reader"], reader, seen[-1].xid, seen[-1].id)


async def end(tx: Connection) -> int:
    """Return where events end now: what commits after this call lies behind it."""
    return int(await tx.fetchval(SQL["end_of_events"]))


async def pass_over(tx: Connection, reader: str, end_: int) -> None:
    """Move a reader to an end as it was, for whoever needs nothing of what lies before.

    Whether that is so is to be asked after `end` was: what changes it later is told behind it.
    """
    await tx.execute(SQL["pass_events"], reader, end_)


async def hints(
    tx: Connection, reader: str, kinds: Sequence[str], limit: int
) -> tuple[list[str], bool]:
    """Lock a reader's place, move it on over at most `limit` events, and return whose orders to
    look at: those that events of these kinds are about, by id; and whether there may be more.

    For who asks how things stand and not what was told: cheaper than `read`, because of most events
    nothing leaves the server. To be called inside the transaction that looks.
    """  # noqa: D205 - one sentence
    place = await tx.fetchrow(SQL["lock_reader"], reader)
    assert place is not None, "an upsert returns its row"
    seen = await tx.fetchrow(SQL["read_hints"], place["xid"], place["id"], limit, list(kinds))
    if seen is None:
        return [], False
    await tx.execute(SQL["advance_reader"], reader, seen["xid"], seen["id"])
    return list(seen["orders"]), seen["n"] == limit


async def take(tx: Connection, reader: str, limit: int) -> list[Committed]:
    """Lock a reader's place, move it on, and return at most `limit` events of unblocked orders.

    To be called inside the transaction that does something with the events: rolled back, they come
    again. A second process with the same name waits for the first. Events of an order on which a
    block stands, or that has some waiting, are parked and come once it is lifted or its `until` has
    passed. A block is seen if the transaction that set it began to write before the event's did,
    or ended before this call; who hands goods over looks once more, under the order's lock.
    """
    place = await tx.fetchrow(SQL["lock_parking_reader"], reader)
    assert place is not None, "an upsert returns its row"
    looked_at, after = await _parked(tx, reader, place["parked_after"])
    taken = await _unpark(tx, reader, looked_at, limit)
    if len(taken) == limit:
        after = place["parked_after"]  # some that may go may have had no room
    fresh = await tx.fetch(
        SQL["read_or_park_events"], reader, place["xid"], place["id"], limit - len(taken)
    )
    taken += _committed(row for row in fresh if not row["parked"])
    # whose events wait but who is blocked no longer: what was read may well be that it is lifted
    again = {row["order_id"] for row in fresh if row["parked"]}
    taken += await _unpark(tx, reader, again, limit - len(taken))
    last = fresh[-1] if fresh else place
    await tx.execute(SQL["advance_parking_reader"], reader, last["xid"], last["id"], after)
    return sorted(taken, key=lambda event: event[:2])


async def _parked(tx: Connection, reader: str, after: str) -> tuple[set[str], str]:
    """Return the next orders with parked events, and behind which to look the next time."""
    rows = await tx.fetch(SQL["parked_orders"], reader, after, PARKED_LOOK_MAX)
    more = len(rows) == PARKED_LOOK_MAX
    return {row["order_id"] for row in rows}, rows[-1]["order_id"] if more else ""


async def _unpark(
    tx: Connection, reader: str, orders: Iterable[str], limit: int
) -> list[Committed]:
    wanted = sorted(orders)
    if not wanted or limit == 0:
        return []
    return _committed(await tx.fetch(SQL["unpark_events"], reader, wanted, limit))


def _committed(rows: Iterable[asyncpg.Record]) -> list[Committed]:
    return [
        Committed(
            row["xid"], row["id"], row["at"], row["kind"], row["order_id"], row["actor"],
            codec.decode_json(row["data"]),
        )
        for row in rows
    ]  # fmt: skip
