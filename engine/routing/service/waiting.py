"""What waits, looked at, and had tried again by a person."""

from typing import Final, NamedTuple

from engine.infra.postgres import Pool
from engine.infra.runtime import Runtime
from engine.kernel import clock, codec
from engine.kernel.errors import InConflict, NotFound
from engine.kernel.types import Tenant
from engine.routing.rules import facts, rejections
from engine.routing.service import rejecting
from engine.routing.store import hands, queue
from engine.routing.store import waiting as store
from engine.routing.store.queue import Event
from engine.routing.types.core import Order
from engine.routing.types.waiting import Broken, Queued, Waiting

_HELD: Final = frozenset({"HELD_RISK", "HELD_PRESALE"})


class Again(NamedTuple):
    """An order of a channel ("" any) to be routed again, from `node` alone where that is named.

    `only`: if it waits in one of these queues still; any, when empty.
    """

    order_id: str
    channel: str
    node: str
    actor: str
    only: frozenset[str] = frozenset()


async def queued(pool: Pool, wanted: Waiting) -> list[Queued]:
    """Return orders that wait, the longest waiting first."""
    return await store.queued(pool, wanted)


async def broken(
    pool: Pool, tenant: Tenant, channel: str, after: tuple[str, int], limit: int
) -> list[Broken]:
    """Return promises that cannot be kept as it is, by order and line."""
    return await store.broken(pool, tenant, channel, after, limit)


async def retry(runtime: Runtime, tenant: Tenant, wanted: Again) -> None:
    """Have an order routed now, whatever it waits for but a block; it has no refusal behind it.

    From a node that a person names it goes, or it waits; the plan's filters hold for that, too.

    Raises:
        NotFound: there is no such order, or it is in no queue.
        ValidationFailed: there is no such node, or we do not send from it.
        InConflict: a block holds it, or it waits in another queue than was said.
    """
    order_id, alarm_s = wanted.order_id, runtime.settings.queue_alarm_seconds
    async with runtime.pool.acquire() as tx, tx.transaction():
        if not await store.lock_order(tx, tenant, wanted.channel, order_id):
            raise NotFound("no such order")
        row = await store.lock_row(tx, order_id)
        if row is None:
            raise NotFound("the order is in no queue")
        if wanted.node and not await store.has_node(tx, tenant, wanted.node):
            codec.refuse("/node", "there is no such node, or nothing is sent from it by us")
        if wanted.only and row.queue not in wanted.only:
            raise InConflict(f"the order waits in {row.queue} now")
        if row.queue in _HELD:
            raise InConflict("a block holds the order: lift that")
        before = (await rejecting.in_hand(tx, [order_id]))[order_id]
        await hands.take(tx, tenant, order_id, wanted.node, wanted.actor)
        excluded = (await rejecting.excluded(tx, [order_id])).get(order_id, ())
        hand = (await rejecting.in_hand(tx, [order_id]))[order_id]
        packed = row.facts
        order = _read(packed)
        if order is not None:
            packed = facts.pack(rejections.by_hand(order._replace(hops=0), hand, excluded))
        if order is not None and not order.lines:  # it was looked at; what is still so comes back
            await queue.withdraw(tx, [order_id])
        # which node the order itself named, before a person did, only its document says
        stale = order is None or (before.node != "" and not wanted.node)
        await store.try_again(tx, order_id, packed, alarm_s, stale=stale)
        told = Event("order.retried", order_id, wanted.actor, {"node": wanted.node})
        await queue.write_events(tx, [told], clock.instant(runtime.clock.now_ms()))


def _read(packed: bytes) -> Order | None:
    try:
        return facts.unpack(packed)
    except facts.UnreadableFacts:
        return None
