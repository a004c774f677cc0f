"""Clocks that run out, and acknowledgements that are missed: told once each."""

from typing import Final

from engine.infra import metrics
from engine.infra.postgres import Pool
from engine.kernel.clock import Clock, instant
from engine.logistics.service.looking import clock_event
from engine.logistics.store import acks, ways

_AT_ONCE: Final = 500
_ACTOR: Final = "tracker"


async def tick(pool: Pool, clock: Clock) -> bool:
    """Mark what ran out or came near; True when there may be more."""
    now = instant(clock.now_ms())
    async with pool.acquire() as tx, tx.transaction():
        late = await ways.breach(tx, now, _AT_ONCE)
        near = await ways.come_near(tx, now, _AT_ONCE)
        told = [clock_event(one, "breached") for one in late]
        told += [clock_event(one, "near") for one in near]
        missed = await acks.overdue(tx, now, _AT_ONCE)
        told += [
            ways.Event(
                "ack.overdue", one.order_id, _ACTOR,
                {
                    "parcel_id": one.parcel_id, "channel": one.channel, "state": one.state,
                    "reason": one.reason, "ship_by": ways.moment(one.ship_by),
                },
            )
            for one in missed
        ]  # fmt: skip
        await ways.write_events(tx, told, now)
    for one in late:
        metrics.LEGS_BREACHED.add(one.service)
    return max(len(late), len(near), len(missed)) == _AT_ONCE
