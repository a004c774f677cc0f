"""Carriers asked where parcels are: all that a desk says is kept as if it had been told to us.

A parcel is asked for an hour after it left, or after anything was heard of it, and every hour until
it has an end: so a carrier that tells by itself is hardly asked. Many workers may do it side by
side: what is due is taken by one of them, and comes again in an hour if that one dies.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from engine.carriers.rules.asking import TRACKED_MAX
from engine.carriers.service import desks
from engine.carriers.types.desks import Desk, DeskAccess, News
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.kernel.types import Tenant
from engine.logistics.rules import milestones
from engine.logistics.service import tracking
from engine.logistics.service.looking import POLL_EVERY
from engine.logistics.store import polls, ways
from engine.logistics.store.polls import Poll
from engine.logistics.types import ITEMS_PER_CALL_MAX, TrackedIn

AT_ONCE: Final = 1_000
AGAIN: Final = timedelta(minutes=5)  # after a desk did not say
SOURCE: Final = "poll"
_log: Final = structlog.get_logger()

Ports = Callable[[DeskAccess], Desk]


async def poll(runtime: Runtime, tenant: Tenant, ports: Ports) -> bool:
    """Ask for parcels that are due; True when there may be more of them."""
    now = instant(runtime.clock.now_ms())
    due = await polls.claim(runtime.pool, tenant, now, AT_ONCE, now + POLL_EVERY)
    of: dict[str, list[Poll]] = defaultdict(list)
    for one in due:
        of[one.service].append(one)
    for service, some in of.items():
        access = await desks.reach(runtime, tenant, service)
        if access is None:
            _log.warning("no_desk", service=service)
            continue
        for begin in range(0, len(some), TRACKED_MAX):
            await _ask(runtime, tenant, ports(access), some[begin : begin + TRACKED_MAX])
    return len(due) == AT_ONCE


async def _ask(runtime: Runtime, tenant: Tenant, desk: Desk, some: Sequence[Poll]) -> None:
    told = await desk.track(sorted({one.waybill for one in some}))
    now = instant(runtime.clock.now_ms())
    if told.outcome != "DONE":
        _log.warning("desk_did_not_say", service=some[0].service, code=told.code)
        await polls.put_off(runtime.pool, [one.parcel_id for one in some], now + AGAIN)
        return
    news = [one for one in told.news if not milestones.is_absurd(one.at, now)]
    if len(news) < len(told.news):
        _log.warning("desk_says_absurd_dates", service=some[0].service)
    new = await _new(runtime, tenant, some, news)
    for begin in range(0, len(new), ITEMS_PER_CALL_MAX):
        part = new[begin : begin + ITEMS_PER_CALL_MAX]
        await tracking.record(runtime.pool, tenant, part, now)


async def _new(
    runtime: Runtime, tenant: Tenant, some: Sequence[Poll], news: Sequence[News]
) -> list[TrackedIn]:
    """Return what was not told before, by whomever; what nobody asked for is left out."""
    numbers = {(one.carrier, one.waybill) for one in some}
    async with runtime.pool.acquire() as db:
        before = await ways.milestones(db, tenant, numbers)
    known = {
        (number, seen.milestone, seen.at) for number, told in before.items() for seen, _ in told
    }
    carriers: dict[str, set[str]] = defaultdict(set)
    for carrier, waybill in numbers:
        carriers[waybill].add(carrier)
    return [
        TrackedIn(one.waybill, one.milestone, one.at, carrier, SOURCE, one.place, one.raw)
        for one in dict.fromkeys(news)
        for carrier in sorted(carriers.get(one.waybill, ()))
        if ((carrier, one.waybill), one.milestone, one.at) not in known
    ]
