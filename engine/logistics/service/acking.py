"""What channels are to be told of parcels: given out to their adapters, and what they say."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg

from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.ids import line_id
from engine.logistics.rules import acks as rules
from engine.logistics.store import acks as store
from engine.logistics.store import ways
from engine.logistics.types import AckedResult, AckItem, AckResultIn, AckView

_STATES: Final = ("pending", "acked", "failed")


class Wanted(NamedTuple):
    """Which acknowledgements to list; `pending` None lists all, and `after` is what was shown."""

    tenant: str
    channel: str
    pending: bool | None
    after: tuple[str, str]
    limit: int


async def give_out(
    pool: Pool, tenant: str, channel: str, limit: int, now: datetime
) -> list[AckView]:
    """Give out what a channel is to be told now; it is given out again when nobody answers."""
    async with pool.acquire() as tx, tx.transaction():
        ids = await store.give_out(
            tx, tenant, channel, now, limit, first=rules.FIRST, longest=rules.LONGEST
        )
        rows = await store.shown(tx, tenant, channel, list(_STATES), ids, "", "", limit)
    return [_view(row) for row in rows]


async def page(pool: Pool, wanted: Wanted) -> list[AckView]:
    """Return acknowledgements, by parcel; nothing is given out."""
    states = {None: _STATES, True: ("pending",), False: ("acked", "failed")}[wanted.pending]
    rows = await store.shown(
        pool, wanted.tenant, wanted.channel, list(states), None, *wanted.after, wanted.limit
    )
    return [_view(row) for row in rows]


async def answer(
    pool: Pool, tenant: str, channel: str, told: Sequence[AckResultIn], actor: str, now: datetime
) -> list[AckedResult]:
    """Keep what a channel said, and say of each what became of it."""
    async with pool.acquire() as tx, tx.transaction():
        return await _answer(tx, tenant, channel, told, actor, now)


async def again(
    pool: Pool, tenant: str, channel: str, parcel_id: str, actor: str, now: datetime
) -> bool:
    """Have a channel told again of a parcel that it refused; False where it did not, or was since.

    It is given out at once, and has as many tries behind it as before: refused once more, it has
    failed again.
    """
    async with pool.acquire() as tx, tx.transaction():
        row = (await store.lock(tx, tenant, channel, [parcel_id])).get(parcel_id)
        if row is None or row.state != "failed":
            return False
        await store.change(tx, channel, {parcel_id: store.Change("pending", "", now)})
        event = ways.Event(
            "ack.retried", row.order_id, actor, {"parcel_id": parcel_id, "channel": channel}
        )
        await ways.write_events(tx, [event], now)
    return True


async def _answer(
    tx: Connection,
    tenant: str,
    channel: str,
    told: Sequence[AckResultIn],
    actor: str,
    now: datetime,
) -> list[AckedResult]:
    known = await store.lock(tx, tenant, channel, {one.parcel_id for one in told})
    changes: dict[str, store.Change] = {}
    events, answers = [], []
    for one in told:
        row = known.get(one.parcel_id)
        if row is None:
            answers.append(AckedResult(404, "unknown"))
            continue
        state, outcome = rules.answered(
            row.state, row.version, row.attempts, of_version=one.version,
            accepted=one.accepted, permanent=one.permanent,
        )  # fmt: skip
        answers.append(AckedResult(200, outcome))
        if outcome in {"stale", "repeated"}:
            continue
        reason = "" if one.accepted else one.reason
        due = now + (rules.wait(row.attempts) if state == "pending" else timedelta())
        changes[one.parcel_id] = store.Change(state, reason, due)
        known[one.parcel_id] = row._replace(state=state)
        if outcome == "failed":
            data = {"parcel_id": one.parcel_id, "channel": channel, "reason": reason}
            events.append(ways.Event("ack.failed", row.order_id, actor, data))
    await store.change(tx, channel, changes)
    await ways.write_events(tx, events, now)
    return answers


def _view(row: asyncpg.Record) -> AckView:
    items = [
        AckItem(line_id(row["order_id"], n), units) for n, units in codec.decode_json(row["items"])
    ]
    due = row["due_at"] if row["state"] == "pending" else None
    return AckView(
        row["parcel_id"], row["channel"], row["version"], row["order_id"],
        row["channel_order_id"], row["shipment_id"], row["carrier"], row["waybill"], items,
        ways.moment(row["shipped_at"]) or "", row["state"], row["attempts"], ways.moment(due),
        ways.moment(row["ship_by"]), row["reason"],
    )  # fmt: skip
