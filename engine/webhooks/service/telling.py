"""Events become messages: in their order, each once, if anybody wants it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from engine.infra import outbox
from engine.infra.outbox import Committed
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.kernel.types import Tenant
from engine.webhooks.rules import events, filters
from engine.webhooks.store import telling as store
from engine.webhooks.store.telling import Filter
from engine.webhooks.types.webhooks import Happened, Message

READER: Final = "webhooks"
AT_ONCE: Final = 1_000
_PRUNED_AT_ONCE: Final = 5_000


async def tell(runtime: Runtime) -> int | None:
    """Take in the next events; return how many there were, None when nobody wants any."""
    tenant = Tenant(runtime.settings.tenant)
    async with runtime.pool.acquire() as tx, tx.transaction():
        end = await outbox.end(tx)
        wanted = await store.filters(tx, tenant)
        if not wanted:
            await outbox.pass_over(tx, READER, end)
            return None
        found = await outbox.read(tx, READER, AT_ONCE)
        told = await _messages(tx, tenant, found)
        await store.add(tx, tenant, [one for one in told if _is_wanted(one, wanted)])
        await outbox.advance(tx, READER, found)
    return len(found)


async def prune(runtime: Runtime) -> bool:
    """Forget what is old, in bounded steps; True when there may be more."""
    keep = timedelta(days=runtime.settings.webhook_keep_days)
    before = instant(runtime.clock.now_ms()) - keep
    return max(await store.prune(runtime.pool, before, _PRUNED_AT_ONCE)) == _PRUNED_AT_ONCE


async def _messages(tx: Connection, tenant: Tenant, found: Sequence[Committed]) -> list[Message]:
    known = [one for one in found if one.kind in events.KINDS]
    ids = sorted({one.order_id for one in known if one.order_id})
    orders = await store.orders(tx, tenant, ids) if ids else {}
    told = []
    for one in known:
        about, trace = orders.get(one.order_id, (None, ""))
        if about is None and (one.order_id or one.data.get("tenant", tenant) != tenant):
            continue  # another tenant's
        message = events.message_of(Happened(one.id, one.at, one.kind, one.data, about, trace))
        if message is not None:
            told.append(message)
    return told


def _is_wanted(message: Message, wanted: Sequence[Filter]) -> bool:
    return any(
        (not one.channels or message.channel in one.channels)
        and filters.matches(one.types, message.type)
        for one in wanted
    )
