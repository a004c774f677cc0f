"""A report of a node taken in: state, stock, parcels, answers to stops, events; once each.

Everything follows from the set of reports before and after, so a repeat and the order of arrival
change nothing, and a process that dies between is followed by the node's repeat.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from engine.infra import metrics
from engine.infra.postgres import Connection
from engine.kernel.ids import fingerprint
from engine.kernel.types import Tenant
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.shipments import store
from engine.shipments.rules import refusing, states, stopping
from engine.shipments.service import merging, queueing
from engine.shipments.service.locked import Locked, bound, event, follow, lock
from engine.shipments.service.queueing import CANCEL_AGAIN, FIRST, INTERCEPT, RECALL, SETTLE, Call
from engine.shipments.types.shipments import (
    BY_HAND,
    GONE,
    LEFT,
    Package,
    Refused,
    Shipment,
    Standing,
    Told,
)
from engine.shipments.types.stops import Part, Stop

# For how long a confirm of a part may come later than the final one; until then nothing of what
# lacks is sent again.
SETTLES: Final = timedelta(minutes=10)
_ACTOR: Final = "node"
_TAKEN_OVER: Final = frozenset({"accepted", "picked", "packed", "waybill"})
_ANSWERS_CANCEL: Final = frozenset({"cancelled", "cancel_failed"})
_CONFIRMS: Final = frozenset({"partly_shipped", "shipped"})
_TOLD_OF: Final = frozenset({"sent", "accepted", "rejected", "cancelled"})


class Outcome(NamedTuple):
    """What a report came to.

    `answered` are the stops that got their one answer by it: whoever reports acts on them in the
    same transaction. `again`: the node has what it had cancelled, so the cancel is to be sent once
    more. `after_stop`: shipments that left although `stopped` was said of them. `free` are live no
    more, or lack units that will not leave: their orders are to be routed again. `refused` is what
    nodes will not send although nobody asked them to stop; `late` are shipments that are free
    although it was said that they could not be stopped. `after_all` are units that left although
    they had been refused.
    """

    outcome: Literal["recorded", "repeated", "ignored"]
    answered: tuple[Stop, ...] = ()
    free: tuple[str, ...] = ()
    parcels: tuple[str, ...] = ()
    after_stop: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    late: tuple[Shipment, ...] = ()
    after_all: tuple[Refused, ...] = ()


class Seen(NamedTuple):
    """A shipment with what was said of it, before this report and with it."""

    one: Shipment
    said: Told
    told: list[Told]
    before: Standing
    after: Standing


async def report(
    tx: Connection, order_ids: set[str], told: Mapping[str, Told], now: datetime
) -> Outcome:
    """Take in what was said of shipments of these orders, by shipment."""
    locked = await lock(tx, order_ids)
    known = {one: said for one, said in told.items() if one in locked.shipments}
    return await take(tx, locked, known, now)


async def report_consignment(
    tx: Connection, consignment_id: str, told: Told, now: datetime
) -> Outcome:
    """Take in what was said of a consignment, the same of each shipment in it."""
    locked = await lock(tx, await store.orders_of(tx, consignment_id))
    mine = locked.of(consignment_id)
    return await take(tx, locked, {one.shipment_id: told for one in mine}, now)


async def take(tx: Connection, locked: Locked, told: Mapping[str, Told], now: datetime) -> Outcome:
    """Take in reports of locked shipments; what was cancelled only beside others is planned anew.

    That is in the same transaction, so that nobody gets its units meanwhile.
    """
    outcome = await _taken(tx, locked, told, now)
    if not outcome.free:
        return outcome
    again = await merging.unmerge(tx, outcome.free, now)
    return outcome._replace(free=tuple(one for one in outcome.free if one not in again))


async def settle(tx: Connection, consignment_id: str, now: datetime) -> Outcome:
    """Take what lacks in a final confirm as certain: confirms that were late had their time.

    From then on it is routed again, and refused by its node. Before, a confirm of part of it that
    was overtaken by the final one would have it sent twice.
    """
    locked = await lock(tx, await store.orders_of(tx, consignment_id))
    mine = {one.shipment_id: one for one in locked.of(consignment_id)}
    new = await store.settle_short(tx, mine)
    if not new:
        return Outcome("repeated")
    told = await store.reports(tx, new)
    asked = bool(await store.asked_to_stop(tx, mine))
    refused, events = [], []
    for name in sorted(new):
        one = mine[name]
        nothing, all_of_it = states.fold([], one.lines), states.fold(told[name], one.lines)
        found = refusing.refused(one, told[name], nothing, all_of_it, asked=asked)
        refused += [found] if found else []
        events.append(event(one, "shipment.short", _ACTOR, short=one.short))
    await store.write_events(tx, events, now)
    return Outcome("recorded", refused=tuple(refused))


def answer_event(stop: Stop) -> store.Event:
    """Return that a stop has its answer, and count it."""
    metrics.STOPS.add(stop.answer)
    data = {
        "stop_id": stop.stop_id, "cause": stop.cause, "cause_id": stop.cause_id,
        "answer": stop.answer, "shipments": stop.shipments,
    }  # fmt: skip
    return store.Event("order.stop_answered", stop.order_id, stop.actor, data)


async def _taken(
    tx: Connection, locked: Locked, told: Mapping[str, Told], now: datetime
) -> Outcome:
    if not told:
        return Outcome("ignored")
    new = {one: said for one, said in sorted(told.items()) if await store.add_report(tx, one, said)}
    if not new:
        return Outcome("repeated")
    seen = await _seen(tx, locked, new)
    open_parts, answered = await _answer(tx, locked, seen, now)
    parcels: list[str] = []
    events: list[store.Event] = []
    after_stop: list[str] = []
    for one in seen:
        state = states.shown(one.one.state, one.after, stopping=one.one.shipment_id in open_parts)
        changed = one.one._replace(
            state=state,
            reason=one.said.text if state in GONE else "",
            wms_ref=one.said.wms_ref,
            cancelling=one.one.cancelling and one.said.kind not in _ANSWERS_CANCEL,
            short=states.short(one.after, one.one.lines),
        )
        await store.set_state(tx, changed, one.told, now)
        if one.said.kind in _CONFIRMS:
            parcels += await store.add_parcels(tx, one.one, _boxes(one.said), one.said.at)
        if one.after.state in LEFT and one.before.state not in LEFT:
            late = await store.was_stopped(tx, one.one.shipment_id)
            after_stop += [one.one.shipment_id] if late else []
        events += _events(one)
    tenant = seen[0].one.tenant
    await book(tx, Tenant(tenant), seen)
    at = now + SETTLES
    lacking = [
        Call(one.one.consignment_id, one.one.node, at, SETTLE) for one in seen if _lacks(one)
    ]
    await queueing.put(tx, tenant, lacking)
    back = [
        Call(one.one.consignment_id, one.one.node, FIRST, CANCEL_AGAIN)
        for one in seen
        if _is_back(one)
    ]
    await queueing.put(tx, tenant, back)
    await follow(tx, locked.orders)
    after_all = [one for one in seen if one.before.final and _newly_left(one)]
    await _recall(tx, locked, after_all)
    await store.write_events(tx, [*events, *map(answer_event, answered)], now)
    return Outcome(
        "recorded",
        tuple(answered),
        tuple(one.one.shipment_id for one in seen if _frees(one)),
        tuple(parcels),
        tuple(after_stop),
        tuple(one.one.shipment_id for one in seen if _is_back(one)),
        *await _given_up(tx, locked, seen),
        tuple(filter(None, map(_sent_after_all, after_all))),
    )


async def _recall(tx: Connection, locked: Locked, late: list[Seen]) -> None:
    """Have recalled what was sent in place of units that left although their node was done with it.

    What is to be bound by now is decided anew: its order's row is another one from here on. What is
    bound and not sent is held by it: live shipments have more than the order is to get.
    """
    orders = {one.one.order_id for one in late}
    await store.touch(tx, orders)
    for one in late:
        of_order = await store.shipments_of(tx, [one.one.order_id])
        now = next(each for each in of_order if each.shipment_id == one.one.shipment_id)
        if stopping.sent_too(now, of_order, locked.orders[one.one.order_id].wanted):
            call = Call(one.one.consignment_id, one.one.node, None, RECALL)
            await queueing.put(tx, one.one.tenant, [call])


async def _seen(tx: Connection, locked: Locked, new: Mapping[str, Told]) -> list[Seen]:
    reports = await store.reports(tx, new)
    found = []
    for shipment_id, said in new.items():
        one, told = locked.shipments[shipment_id], reports[shipment_id]
        name = (said.kind, said.report_id)
        before = [other for other in told if (other.kind, other.report_id) != name]
        folds = states.fold(before, one.lines), states.fold(told, one.lines)
        found.append(Seen(one, said, told, *folds))
    return found


async def _answer(
    tx: Connection, locked: Locked, seen: list[Seen], now: datetime
) -> tuple[set[str], list[Stop]]:
    """Answer open parts, and stops with their last one; return whose parts are open still."""
    stops = await store.lock_open_stops(tx, locked.orders)
    parts = await store.parts(tx, [one.stop_id for one in stops])
    answers: dict[tuple[str, str], Part] = {}
    for stop in stops:
        for one in seen:
            name = one.one.shipment_id
            if parts[stop.stop_id].get(name) == "":
                refused = one.said.kind == "cancel_failed"
                answer = stopping.at_report(one.one, one.after, refused=refused)
                if answer:
                    answers[stop.stop_id, name] = parts[stop.stop_id][name] = answer
    await store.answer_parts(tx, answers, now)
    await _intercept(tx, seen, answers)
    answered = []
    for stop in stops:
        if word := stopping.whole(list(parts[stop.stop_id].values())):
            done = await store.answer(tx, stop.stop_id, word, now)
            answered += [done] if done else []
    still = {name for of_stop in parts.values() for name, answer in of_stop.items() if not answer}
    return still, answered


async def _intercept(
    tx: Connection, seen: list[Seen], answers: Mapping[tuple[str, str], Part]
) -> None:
    """Have carriers asked to turn round what it was answered of that they are."""
    turned = {name for (_, name), answer in answers.items() if answer == "intercept_requested"}
    for one in (each.one for each in seen if each.one.shipment_id in turned):
        await queueing.put(tx, one.tenant, [Call(one.shipment_id, one.node, FIRST, INTERCEPT)])


async def book(tx: Connection, tenant: Tenant, seen: list[Seen]) -> None:
    """Tell physical stock, once: a second call is of names whose keys the first has locked."""
    at = min(one.said.at for one in seen)
    if whole := [name for one in seen if _leaves_whole(one) for _, name in bound(one.one)]:
        await assignments.ship(tx, tenant, whole, at)
    some: dict[Assignment, assignments.Some] = {}
    for one in seen:
        some |= {} if _leaves_whole(one) else _some(one)
    if some:
        await assignments.ship_part(tx, tenant, some, at)
    accepting = [one for one in seen if one.said.kind in _TAKEN_OVER]
    if accepted := [name for one in accepting for _, name in bound(one.one)]:
        await assignments.accept(tx, tenant, accepted, at)
    if rest := [name for one in seen for name in _stays(one)]:
        await assignments.cancel(tx, tenant, rest, _let_go(seen, at))


def _leaves_whole(one: Seen) -> bool:
    more = _newly_left(one)
    whole = all(more.get(line.line_no) == line.units for line, _ in bound(one.one))
    return whole and bool(more) and not one.before.left


def _some(one: Seen) -> dict[Assignment, assignments.Some]:
    """Return the units that newly left; what a part of an assignment says never changes."""
    more, part = _newly_left(one), f"{one.said.kind}-{fingerprint(one.said.report_id.encode())}"
    return {
        name: assignments.Some(part, more[line.line_no])
        for line, name in bound(one.one)
        if line.line_no in more
    }


def _stays(one: Seen) -> list[Assignment]:
    """Return the assignments of which, as is known by now, a rest will not leave."""
    if not one.after.final or one.before.final:
        return []
    left = dict(one.after.left)
    return [name for line, name in bound(one.one) if left.get(line.line_no, 0) < line.units]


def _let_go(seen: list[Seen], at: datetime) -> datetime:
    """Return when nodes let go of what will not leave, by their clock."""
    said = [told.at for one in seen for told in one.told if told.kind in GONE | {"shipped"}]
    return min(said, default=at)


def _newly_left(one: Seen) -> dict[int, int]:
    before = dict(one.before.left)
    return {n: units - before.get(n, 0) for n, units in one.after.left if units > before.get(n, 0)}


def _sent_after_all(one: Seen) -> Refused | None:
    before = [told for told in one.told if told != one.said]
    return refusing.sent_after_all(one.one, before, _newly_left(one))


async def _given_up(
    tx: Connection, locked: Locked, seen: list[Seen]
) -> tuple[tuple[Refused, ...], tuple[Shipment, ...]]:
    """Return what nodes refuse to send, and what is free after it was said that it would leave."""
    ended = [
        one
        for one in seen
        if one.after.final and not one.before.final and one.after.state not in LEFT
    ]
    gone = [one.one for one in ended if one.after.state in GONE]
    if not ended:
        return (), ()
    together = {other.shipment_id for one in ended for other in locked.of(one.one.consignment_id)}
    asked = await store.asked_to_stop(tx, together)
    of_asked = {locked.shipments[name].consignment_id for name in asked}
    found = [
        refusing.refused(
            one.one, one.told, one.before, one.after, asked=one.one.consignment_id in of_asked
        )
        for one in ended
    ]
    late = await store.was_to_leave(tx, [one.shipment_id for one in gone])
    return (
        tuple(one for one in found if one is not None),
        tuple(one for one in gone if one.shipment_id in late),
    )


def _boxes(said: Told) -> list[Package]:
    """Return the parcels of a confirm, each with a name of its own."""
    boxes = said.packages or (Package("", ""),)
    return [
        box if box.waybill else box._replace(waybill=f"{said.report_id}.{place}")
        for place, box in enumerate(boxes, start=1)
    ]


def _frees(one: Seen) -> bool:
    gone = one.after.state in GONE and one.before.state not in GONE
    return gone or (one.after.final and not one.before.final and _short(one) > 0)


def _lacks(one: Seen) -> bool:
    """Whether its node says that it is done with it, and something of it did not leave."""
    return bool(states.short(one.after, one.one.lines)) and not states.short(
        one.before, one.one.lines
    )


def _short(one: Seen) -> int:
    planned = sum(line.units for line in one.one.lines)
    return planned - sum(units for _, units in one.after.left)


def _is_back(one: Seen) -> bool:
    """Whether a node took over, after it had cancelled, what is cancelled."""
    if one.one.state != "cancelled" or one.said.kind not in _TAKEN_OVER:
        return False
    return one.said.at >= min(told.at for told in one.told if told.kind == "cancelled")


def _events(one: Seen) -> list[store.Event]:
    if one.said.kind in _CONFIRMS and _newly_left(one):
        more = {"final": one.after.final, "short": _short(one) if one.after.final else 0}
        return [event(one.one, "shipment.shipped", _ACTOR, **more)]
    if one.said.kind == "cancel_failed" and any(_is_by_hand(told) for told in one.told):
        return [event(one.one, "shipment.reject_refused", _ACTOR)]
    state = one.after.state
    if state in _TOLD_OF and state != one.before.state:
        return [event(one.one, f"shipment.{state}", _ACTOR, reason=one.said.text)]
    return []


def _is_by_hand(told: Told) -> bool:
    return told.report_id.startswith(BY_HAND)
