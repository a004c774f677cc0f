"""Planned shipments made one consignment, and a cancelled consignment taken apart."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from engine.infra.postgres import Connection, Pool
from engine.shipments import store
from engine.shipments.rules import merging
from engine.shipments.rules.merging import Consignment, Waiting
from engine.shipments.service.locked import Locked, event, lock
from engine.shipments.service.planning import plan_again
from engine.shipments.types.shipments import Shipment

_AT_ONCE: Final = 2_000
_ACTOR: Final = "merger"


async def merge(pool: Pool, now: datetime) -> int:
    """Merge planned shipments that wait for others; return how many consignments were made.

    Each in a transaction of its own, under the locks that sending and stopping take, too: what was
    sent, blocked or stopped meanwhile is not in it.
    """
    rows = await store.mergeable(pool, _AT_ONCE)
    waiting = {
        row["shipment_id"]: Waiting(
            row["shipment_id"], row["merge_hash"], row["node"], row["service"],
            row["quoted_grams"], row["release_at"],
        )
        for row in rows
    }  # fmt: skip
    orders = {row["shipment_id"]: row["order_id"] for row in rows}
    made = 0
    for one in merging.merged(waiting.values()):
        async with pool.acquire() as tx, tx.transaction():
            locked = await lock(tx, {orders[name] for name in one.members})
            free = {row["shipment_id"] for row in await store.mergeable(tx, _AT_ONCE, one.members)}
            kept = [
                waiting[name]
                for name in one.members
                if name in free and await _may(tx, locked, locked.shipments[name])
            ]
            for found in merging.merged(kept):
                await _merge(tx, locked, found, now)
                made += 1
    return made


async def unmerge(tx: Connection, free: Collection[str], now: datetime) -> list[str]:
    """Plan anew what was cancelled only because its consignment was; return these shipments.

    `free` are the shipments that a report freed, of orders that are locked. To be called once, in
    its transaction: what is returned need not be routed again.
    """
    locked = await lock(tx, sorted({name.rpartition("-s")[0] for name in free}))
    again: list[Shipment] = []
    members: dict[str, list[Shipment]] = {}
    for name in sorted(free):
        one = locked.shipments[name]
        members.setdefault(one.consignment_id, []).append(one)
    for of_one in members.values():
        # one alone was cancelled for itself: by who asked, or by its node
        asked = await store.asked_to_stop(tx, [one.shipment_id for one in of_one])
        if len(of_one) > 1 and asked:
            wanted = set(merging.to_send_again(of_one, asked))
            again += [one for one in of_one if one.shipment_id in wanted]
    planned = set[str]()
    for order_id in sorted({one.order_id for one in again}):
        ids = [one.shipment_id for one in again if one.order_id == order_id]
        planned.update(await plan_again(tx, order_id, ids, now))
    again = [one for one in again if one.shipment_id in planned]
    told = [
        event(one, "shipment.unmerged", _ACTOR, consignment_id=one.consignment_id) for one in again
    ]
    await store.write_events(tx, told, now)
    return [one.shipment_id for one in again]


async def _may(tx: Connection, locked: Locked, one: Shipment) -> bool:
    order = locked.orders[one.order_id]
    return (
        order.state == "open"
        and one.state == "planned"
        and not await store.is_blocked(tx, one.order_id)
        and not await store.has_open_stop(tx, one.order_id)
    )


async def _merge(tx: Connection, locked: Locked, found: Consignment, now: datetime) -> None:
    await store.merge(tx, found.consignment_id, found.members, found.release_at)
    told = [
        event(locked.shipments[name], "shipment.merged", _ACTOR, consignment_id=found[0])
        for name in found.members
    ]
    await store.write_events(tx, told, now)
