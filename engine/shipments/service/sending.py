"""Whether a node may be called now, decided under the locks that a stop takes, too.

A stop that comes before finds `planned` and is answered at once; one that comes after finds
`sending`, and waits for what the node says. There is no moment between.
"""

from datetime import datetime
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.shipments import store
from engine.shipments.rules import calls
from engine.shipments.service.locked import Locked, event, follow, lock
from engine.shipments.service.reporting import Outcome, take
from engine.shipments.types.shipments import GONE, Shipment, Told

_ACTOR = "shipper"


class Begun(NamedTuple):
    """The call to make, outside the transaction; None, and `why` there is none.

    `outcome` is what became known meanwhile, for whoever acts on answered stops.
    """

    call: calls.Call | None
    shipments: tuple[Shipment, ...]
    why: str = ""
    outcome: Outcome | None = None


async def begin(tx: Connection, consignment_id: str, now: datetime) -> Begun:
    """Return which call is due for a consignment; the caller has its lease, and nobody else.

    A create of it that was leased before was answered, or its time has passed. Blocks, open stops
    and the order are looked at once more; of a create that may be with the node they change
    nothing: it is sent again until it is answered, and so is a cancel, also one whose stop was
    answered meanwhile.
    """
    locked = await lock(tx, await store.orders_of(tx, consignment_id))
    mine = [one for one in locked.of(consignment_id) if one.state not in GONE]
    if not mine:
        return Begun(None, (), "gone")
    told = await store.reports(tx, [one.shipment_id for one in mine])
    kinds = {one.kind for reports in told.values() for one in reports}
    acknowledged = "sent" in kinds
    if not acknowledged and kinds & GONE:
        # it was told and nobody is sending it any more: it is decided without another create
        implied = Told("sent", "implied", now, reply=True)
        outcome = await take(tx, locked, {one.shipment_id: implied for one in mine}, now)
        return Begun(None, (), "gone", outcome)
    stopping = await _is_stopping(tx, locked, mine) or any(one.cancelling for one in mine)
    planned = [one for one in mine if one.state == "planned"]
    call = calls.due(mine[0].state, acknowledged=acknowledged, stopping=stopping)
    if call == "create" and planned:
        if why := await _held(tx, locked, planned, now):
            return Begun(None, tuple(mine), why)
        await store.move_on(tx, [one.shipment_id for one in planned], "sending", now)
        first = {one.order_id for one in planned} & {
            one.order_id for one in locked.orders.values() if one.progress in {"unrouted", "routed"}
        }
        released = [
            store.Event("order.released", order_id, _ACTOR, {"consignment_id": consignment_id})
            for order_id in sorted(first)
        ]
        await store.write_events(tx, released, now)
        await follow(tx, locked.orders)
    if call == "cancel":
        await store.set_cancelling(tx, [one.shipment_id for one in mine])
    return Begun(call, tuple(mine), "" if call else "nothing_due")


async def to_send(tx: Connection, consignment_id: str, now: datetime) -> tuple[Shipment, ...]:
    """Return what of a consignment its node would be asked for by now, nothing where it would not.

    For what has to be made ready before `begin`, which looks once more.
    """
    locked = await lock(tx, await store.orders_of(tx, consignment_id))
    mine = [one for one in locked.of(consignment_id) if one.state not in GONE]
    planned = [one for one in mine if one.state == "planned"]
    if not planned:
        return tuple(one for one in mine if one.state in {"sending", "unknown"})
    if await _is_stopping(tx, locked, mine) or await _held(tx, locked, planned, now):
        return ()
    return tuple(mine)


async def outcome_unknown(tx: Connection, consignment_id: str, now: datetime) -> None:
    """Note that a create may have reached its node; it is to be sent again, by the same name."""
    locked = await lock(tx, await store.orders_of(tx, consignment_id))
    waiting = [one.shipment_id for one in locked.of(consignment_id) if one.state == "sending"]
    await store.move_on(tx, waiting, "unknown", now)


async def call_given_up(tx: Connection, consignment_id: str, error: str, now: datetime) -> None:
    """Tell on the orders' timelines that nobody is called any more for it until somebody says so.

    Nothing else changes: an earlier call may have been done, so their units stay bound, and whoever
    has the cause removed has the call made again, under the same name.
    """
    locked = await lock(tx, await store.orders_of(tx, consignment_id))
    told = [
        event(one, "shipment.call_dead", _ACTOR, consignment_id=consignment_id, error=error)
        for one in locked.shipments.values()
        if one.live and consignment_id in {one.consignment_id, one.shipment_id}
    ]
    await store.write_events(tx, told, now)


async def _is_stopping(tx: Connection, locked: Locked, mine: list[Shipment]) -> bool:
    stops = await store.lock_open_stops(tx, locked.orders)
    parts = await store.parts(tx, [one.stop_id for one in stops])
    ids = {one.shipment_id for one in mine}
    return any(
        shipment_id in ids and answer == ""
        for of_stop in parts.values()
        for shipment_id, answer in of_stop.items()
    )


async def _held(tx: Connection, locked: Locked, planned: list[Shipment], now: datetime) -> str:
    """Return why these may not be sent now; "" when they may."""
    for one in planned:
        order = locked.orders[one.order_id]
        reasons = {
            f"order_{order.state}": order.state != "open",
            "not_due": one.release_at is not None and one.release_at > now,
            "blocked": await store.is_blocked(tx, one.order_id),
            "stop": await store.has_open_stop(tx, one.order_id),
            "lines_changed": not _fits(order, locked),
        }
        if why := next((name for name, holds in reasons.items() if holds), ""):
            return why
    return ""


def _fits(order: store.Order, locked: Locked) -> bool:
    """Whether live shipments of an order have no more units of a line than it is to get."""
    given: dict[int, int] = {}
    for one in locked.shipments.values():
        if one.order_id == order.order_id and one.live:
            for n, units in one.units.items():
                given[n] = given.get(n, 0) + units
    return all(units <= order.wanted.get(n, 0) for n, units in given.items())
