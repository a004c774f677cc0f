"""A stop asked for, in the transaction of its cause, and given up when nobody answers.

The caller has the order's row locked. Every stop has one answer, which is an event; whoever acts on
it does so in the transaction that gives it.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.shipments import store
from engine.shipments.rules import states, stopping
from engine.shipments.service.locked import event, follow, lock, names
from engine.shipments.service.reporting import answer_event
from engine.shipments.types.shipments import Shipment
from engine.shipments.types.stops import Ask, Part, Stop

_AT_ONCE: Final = 100
_NO: Final[Part] = "not_stopped"


class Asked(NamedTuple):
    """A stop as it stands now; its answer is "" while nodes are to be called.

    `calls` are the consignments to cancel at their nodes, `withdrawn` what no node was asked for.
    `new`: it was asked for the first time.
    """

    stop: Stop
    new: bool
    calls: tuple[str, ...] = ()
    withdrawn: tuple[Shipment, ...] = ()


async def shipped_after_stop(db: Connection) -> int:
    """Return how many shipments left, wholly or in part, although `stopped` was said of them."""
    return await store.shipped_after_stop(db)


async def has_live(tx: Connection, order_id: str) -> bool:
    """Whether an order has a shipment that is neither cancelled nor rejected."""
    return await store.has_live(tx, order_id)


async def ask(tx: Connection, wanted: Ask, now: datetime) -> Asked:
    """Ask that something be stopped; the same again returns it as it stands."""
    locked = await lock(tx, [wanted.order_id])
    known = await store.stop(tx, wanted.stop_id)
    if known is not None:
        return Asked(known, new=False)
    touched = stopping.touched(locked.shipments.values(), wanted.lines)
    told = await store.reports(tx, [one.shipment_id for one in touched])
    parts: dict[str, Part] = {}
    for one in touched:
        standing = states.fold(told[one.shipment_id], one.lines)
        parts[one.shipment_id] = stopping.at_ask(one, standing)
    await store.add_stop(tx, wanted, parts, now)
    withdrawn = tuple(one for one in touched if one.state == "planned")
    waiting = tuple(one for one in touched if parts[one.shipment_id] == "")
    await _move(tx, wanted, withdrawn, waiting, now)
    answer = stopping.whole(list(parts.values()))
    stop = await store.answer(tx, wanted.stop_id, answer, now) if answer else None
    if stop is None:
        stop = await store.stop(tx, wanted.stop_id)
        assert stop is not None, "it was just written"
        data = {"stop_id": stop.stop_id, "cause": stop.cause, "cause_id": stop.cause_id}
        asked = store.Event("order.stop_requested", stop.order_id, wanted.actor, data)
        await store.write_events(tx, [asked], now)
    else:
        await store.write_events(tx, [answer_event(stop)], now)
    await follow(tx, locked.orders)
    calls = sorted({one.consignment_id for one in waiting})
    return Asked(stop, new=True, calls=tuple(calls), withdrawn=withdrawn)


async def ask_for_ended(tx: Connection, now: datetime) -> Asked | None:
    """Ask that what nodes have of a cancelled order be stopped, where nobody asked; None: no such.

    So it is with orders of marketplaces, which are cancelled by their snapshots.
    """
    found = await store.ended(tx)
    if found is None:
        return None
    tenant, order_id = found
    wanted = Ask(tenant, order_id, "manual", "order_cancelled", (), "engine", {})
    return await ask(tx, wanted, now)


async def give_up(tx: Connection, now: datetime, after: timedelta) -> list[Stop]:
    """Answer the oldest stops that nobody answered in time; `not_stopped` is always safe."""
    answered: list[Stop] = []
    silent: set[str] = set()
    late = await store.overdue(tx, now - after, _AT_ONCE)
    locked = await lock(tx, {order_id for _, order_id in late})
    wanted = {stop_id for stop_id, _ in late}
    for stop in await store.lock_open_stops(tx, locked.orders):
        if stop.stop_id not in wanted:
            continue
        parts = (await store.parts(tx, [stop.stop_id]))[stop.stop_id]
        open_ = {(stop.stop_id, one): _NO for one, answer in parts.items() if not answer}
        await store.answer_parts(tx, open_, now)
        silent |= {one for _, one in open_}
        done = await store.answer(tx, stop.stop_id, _NO, now)
        answered += [done] if done else []
    told = await store.reports(tx, silent)
    for name in sorted(silent):
        one = locked.shipments[name]
        if one.state == "stopping":
            as_told = states.fold(told[name], one.lines)
            await store.move_on(tx, [name], states.shown("sent", as_told, stopping=False), now)
    await store.write_events(tx, list(map(answer_event, answered)), now)
    return answered


async def _move(
    tx: Connection,
    wanted: Ask,
    withdrawn: tuple[Shipment, ...],
    waiting: tuple[Shipment, ...],
    now: datetime,
) -> None:
    stopping_ = [one.shipment_id for one in waiting if one.state not in {"sending", "unknown"}]
    await store.move_on(tx, stopping_, "stopping", now)
    if not withdrawn:
        return
    await store.move_on(tx, [one.shipment_id for one in withdrawn], "cancelled", now)
    if free := names(withdrawn):
        await assignments.cancel(tx, Tenant(wanted.tenant), free, now)
    events = [
        event(one, "shipment.cancelled", wanted.actor, reason=wanted.cause) for one in withdrawn
    ]
    await store.write_events(tx, events, now)
