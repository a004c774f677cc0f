"""A stop asked for, in the transaction of its cause, and given up when nobody answers.

The caller has the order's row locked. Every stop has one answer, which is an event; whoever acts on
it does so in the transaction that gives it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from engine.infra.postgres import Connection
from engine.kernel.ids import fingerprint
from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.shipments import store
from engine.shipments.rules import states, stopping
from engine.shipments.service import queueing
from engine.shipments.service.locked import event, follow, lock, names
from engine.shipments.service.queueing import FIRST, INTERCEPT, Call
from engine.shipments.service.reporting import answer_event
from engine.shipments.types.shipments import Shipment
from engine.shipments.types.stops import Ask, Part, Stop

_AT_ONCE: Final = 100
_NO: Final[Part] = "not_stopped"
_CONFIRMED_LATE: Final = "confirmed_late:"


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


async def shipped_twice(db: Connection) -> int:
    """Return how many shipments left with units that another one had sent, too."""
    return await store.shipped_twice(db)


def twice(stop: Stop) -> bool:
    """Whether a stop of units that had left from elsewhere was answered, and not by `stopped`."""
    late = stop.cause == "manual" and stop.cause_id.startswith(_CONFIRMED_LATE)
    return late and stop.answer not in {"", "stopped"}


async def routed_for(tx: Connection, ids: Collection[str]) -> set[str]:
    """Return the regions that shipments were routed for, by code; "" where none was known."""
    return await store.routed_for(tx, ids)


async def has_live(tx: Connection, order_id: str) -> bool:
    """Whether an order has a shipment that is neither cancelled nor rejected."""
    return await store.has_live(tx, order_id)


async def ask(
    tx: Connection, wanted: Ask, now: datetime, among: Collection[str] | None = None
) -> Asked:
    """Ask that something be stopped; the same again returns it as it stands.

    `among` are the shipments that it may be about; None: all of the order's.
    """
    locked = await lock(tx, [wanted.order_id])
    known = await store.stop(tx, wanted.stop_id)
    if known is not None:
        return Asked(known, new=False)
    asked = (one for name, one in locked.shipments.items() if among is None or name in among)
    touched = stopping.touched(asked, wanted.lines)
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
        requested = store.Event("order.stop_requested", stop.order_id, wanted.actor, data)
        await store.write_events(tx, [requested], now)
    else:
        await store.write_events(tx, [answer_event(stop)], now)
    await follow(tx, locked.orders)
    calls = sorted({one.consignment_id for one in waiting})
    called = [Call(one.consignment_id, one.node, FIRST) for one in waiting]
    called += [
        Call(one.shipment_id, one.node, FIRST, INTERCEPT)
        for one in touched
        if parts[one.shipment_id] == "intercept_requested"
    ]
    await queueing.put(tx, wanted.tenant, called)
    return Asked(stop, new=True, calls=tuple(calls), withdrawn=withdrawn)


async def ask_for_less(
    tx: Connection, tenant: str, order_id: str, wanted: Mapping[int, int], now: datetime
) -> None:
    """Ask that lines be stopped of which shipments have more than these units, where some wait.

    So it is with orders of marketplaces, whose snapshots take units away.
    """
    if not await store.has_unsent(tx, order_id, wanted):
        return
    lines = tuple(sorted(wanted.items()))
    cause = f"units_told:{fingerprint(repr(lines).encode())}"
    await ask(tx, Ask(tenant, order_id, "manual", cause, lines, "engine", {}), now)


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


async def recall(tx: Connection, consignment_id: str, now: datetime) -> Asked | None:
    """Ask that one shipment be stopped whose units left with this consignment after all; or None.

    To be called until there is none, in a transaction each: what is withdrawn locks its stock.
    """
    locked = await lock(tx, await store.orders_of(tx, consignment_id))
    for one in locked.of(consignment_id):
        of_order = [each for each in locked.shipments.values() if each.order_id == one.order_id]
        wanted = locked.orders[one.order_id].wanted
        for other, lines in stopping.sent_too(one, of_order, wanted):
            why = f"{_CONFIRMED_LATE}{other.shipment_id}"
            stop = Ask(
                one.tenant, one.order_id, "manual", why, lines, "engine",
                {"left_with": one.shipment_id},
            )  # fmt: skip
            asked = await ask(tx, stop, now, {other.shipment_id})
            if asked.new:
                return asked
    return None


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
    await store.withdraw(tx, [one.shipment_id for one in withdrawn], now)
    if free := names(withdrawn):
        await assignments.cancel(tx, Tenant(wanted.tenant), free, now)
    events = [
        event(one, "shipment.cancelled", wanted.actor, reason=wanted.cause) for one in withdrawn
    ]
    await store.write_events(tx, events, now)
