"""A person says that a node will not send a shipment, and why, where the node itself does not.

What no system of the node can have is rejected there and then. What one may have is rejected only
once that says that it let go of it: whoever took a person's word for it would send elsewhere what
leaves there, and say `stopped` of it. It is of a whole consignment, as what a node says is.
"""

from datetime import datetime
from typing import Literal, NamedTuple

from engine.infra.postgres import Connection
from engine.kernel.errors import InConflict
from engine.shipments import store
from engine.shipments.service import queueing
from engine.shipments.service.locked import event, lock
from engine.shipments.service.queueing import FIRST, Call
from engine.shipments.service.reporting import Outcome, take
from engine.shipments.types.shipments import BY_HAND, GONE, LEFT, Kind, Reason, Shipment, Told


class ByHand(NamedTuple):
    """Who says what of a shipment; `note` is for whoever reads its order's timeline."""

    shipment_id: str
    consignment_id: str
    reason: Reason
    note: str
    actor: str


class Rejected(NamedTuple):
    """What became of it: `asked` is that the node's system is asked to let go of it.

    `shipments` are those of its consignment; `outcome` is None where nothing was decided by it.
    """

    state: Literal["rejected", "asked"]
    shipments: tuple[str, ...]
    outcome: Outcome | None = None


async def reject(tx: Connection, said: ByHand, now: datetime, *, has_system: bool) -> Rejected:
    """Take in what a person says of a shipment; the same again changes nothing.

    `has_system`: its node has one, that may have been called by now.

    Raises:
        InConflict: it has left, is over, is being stopped, or is in another consignment by now.
    """
    locked = await lock(tx, await store.orders_of(tx, said.consignment_id))
    one = locked.shipments.get(said.shipment_id)
    if one is None or one.consignment_id != said.consignment_id:
        raise InConflict("it went into another consignment at this moment: send this again")
    mine = locked.of(said.consignment_id)
    names = tuple(each.shipment_id for each in mine)
    told = (await store.reports(tx, [one.shipment_id]))[one.shipment_id]
    if one.state in GONE | LEFT:
        _check_repeat(one, told, said.reason)
        return Rejected("rejected", names)
    if one.cancelling and any(each.report_id == BY_HAND + said.reason for each in told):
        return Rejected("asked", names)
    if await store.asked_to_stop(tx, names) and await _is_open(tx, set(locked.orders), names):
        raise InConflict("somebody asked to stop it, and its node has not answered yet")
    asked = event(one, "shipment.reject_asked", said.actor, reason=said.reason, note=said.note)
    await store.write_events(tx, [asked], now)
    planned = one.state == "planned"
    kind: Kind = "lacking" if has_system and not planned else "rejected"
    # of what is planned, nobody is sending it: that is decided under these locks
    report = Told(
        kind, BY_HAND + said.reason, now, reply=planned, text=said.reason, reason=said.reason
    )
    outcome = await take(tx, locked, dict.fromkeys(names, report), now)
    if kind == "rejected":
        return Rejected("rejected" if outcome.free else "asked", names, outcome)
    await store.set_cancelling(tx, names)
    await queueing.put(tx, one.tenant, [Call(one.consignment_id, one.node, FIRST)])
    return Rejected("asked", names, outcome)


def _check_repeat(one: Shipment, told: list[Told], reason: Reason) -> None:
    """Pass over the same said again of what is rejected by it."""
    before = [each for each in told if each.report_id.startswith(BY_HAND)]
    before.sort(key=lambda each: each.at)
    if one.state in LEFT or not before:
        raise InConflict(f"this shipment is {one.state}")
    if before[-1].reason != reason:
        raise InConflict(f"it was rejected already: {before[-1].reason}")


async def _is_open(tx: Connection, orders: set[str], names: tuple[str, ...]) -> bool:
    stops = await store.lock_open_stops(tx, orders)
    parts = await store.parts(tx, [one.stop_id for one in stops])
    return any(of_stop.get(name) == "" for of_stop in parts.values() for name in names)
