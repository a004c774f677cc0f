"""An order's parcels looked at: where each is, its clocks, its score, and what its shipment is.

All follows from the sets of what was told, so whoever looks, and however often, finds the same; a
process that dies before it looked is followed by one that does.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Final

from engine.aftersales import answering
from engine.infra.postgres import Connection
from engine.kernel.clock import to_ms
from engine.logistics.rules import acks, legs, milestones, scoring
from engine.logistics.store import acks as ack_store
from engine.logistics.store import polls, ways
from engine.logistics.types import Leg, Parcel, Score, Standing
from engine.shipments import service as shipments
from engine.shipments.service.locked import lock
from engine.shipments.types.shipments import GONE, LEFT, Shipment, Told

POLL_EVERY: Final = timedelta(hours=1)
_ACTOR: Final = "tracker"
_SOURCE: Final = "tracking"  # the one report that a shipment gets of each fate


async def look(tx: Connection, tenant: str, order_ids: Collection[str], now: datetime) -> None:
    """Bring all that follows from what was told of these orders' parcels up to date."""
    if not order_ids:
        return
    locked = await lock(tx, order_ids)
    parcels = await ways.parcels(tx, locked.orders)
    seen = await ways.milestones(tx, tenant, {_number(one) for one in parcels})
    found = {
        one.parcel_id: milestones.fold(what for what, _ in seen[_number(one)]) for one in parcels
    }
    await ack_store.open_(tx, [one.parcel_id for one in parcels], now, acks.ALARM_BEFORE)
    moved = {one.parcel_id: one for one in parcels if _moved(one, found[one.parcel_id])}
    await ways.set_milestones(
        tx, {name: _place(found[name]) for name in moved if found[name].at is not None}
    )
    clocks, told = await _clock(tx, locked.orders, parcels, found, now)
    await _score(tx, tenant, parcels, found, clocks)
    told += [_milestone(one, found[one.parcel_id]) for one in moved.values()]
    await ways.write_events(tx, told, now)
    await _poll(tx, parcels, found, moved, now)
    await _end(tx, locked.shipments, parcels, found, now)
    await ways.not_waiting(tx, tenant, {_number(one) for one in parcels if seen[_number(one)]})


async def _clock(
    tx: Connection,
    order_ids: Collection[str],
    parcels: Iterable[Parcel],
    found: Mapping[str, Standing],
    now: datetime,
) -> tuple[dict[str, list[Leg]], list[ways.Event]]:
    """Write clocks; return the carrier's by parcel, and what is to be told."""
    wanted: list[tuple[str, str, str, Leg]] = []
    for sent in await ways.shipments(tx, order_ids):
        if sent.ship_by is not None:
            leg = _handed_over(sent, sent.ship_by, now)
            wanted.append((sent.shipment_id, sent.order_id, sent.service, leg))
    clocks: dict[str, list[Leg]] = {}
    for one in parcels:
        clocks[one.parcel_id] = [
            legs.clocked(leg, found[one.parcel_id], now)
            for leg in legs.of_parcel(one.shipped_at, one.deliver_by)
        ]
        wanted += [(one.parcel_id, one.order_id, one.service, leg) for leg in clocks[one.parcel_id]]
    before = await ways.lock_legs(tx, {name for name, *_ in wanted})
    old = {(name, leg.leg): leg for name, of_one in before.items() for leg in of_one}
    changed = [row for row in wanted if old.get((row[0], row[3].leg)) != row[3]]
    await ways.put_legs(tx, changed)
    told = []
    for name, order_id, service, leg in changed:
        was = old.get((name, leg.leg))
        if leg.state in {"near", "breached"} and (was is None or was.state != leg.state):
            due = ways.Due(name, leg.leg, order_id, service, leg.due_at)
            told.append(clock_event(due, leg.state))
    return clocks, told


def clock_event(due: ways.Due, state: str) -> ways.Event:
    """Return that a clock came near its end, or ran out."""
    kind = "parcel.breached" if state == "breached" else "parcel.near_breach"
    name = "shipment_id" if due.leg == "hand_over" else "parcel_id"
    data = {
        name: due.name, "leg": due.leg, "service": due.service, "due_at": ways.moment(due.due_at),
    }  # fmt: skip
    return ways.Event(kind, due.order_id, _ACTOR, data)


def _handed_over(sent: ways.Sent, ship_by: datetime, now: datetime) -> Leg:
    leg = legs.hand_over(sent.created_at, ship_by)
    if sent.left_at is None and (sent.state in GONE or sent.state in LEFT):
        return leg._replace(state="void")  # it will not leave, or nobody said when it did
    return leg._replace(state=legs.state_at(leg, sent.left_at, now), met_at=sent.left_at)


async def _score(
    tx: Connection,
    tenant: str,
    parcels: Iterable[Parcel],
    found: Mapping[str, Standing],
    clocks: Mapping[str, list[Leg]],
) -> None:
    known = {one.parcel_id: one for one in parcels if one.service}
    before = await ways.scores(tx, known)
    now = {
        name: scoring.score(one.shipped_at, found[name], clocks[name])
        for name, one in known.items()
    }
    changed = {name: one for name, one in now.items() if one != before.get(name, scoring.NONE)}
    cards: dict[tuple[str, date, str], Score] = {}
    for name, score in changed.items():
        one = known[name]
        day, region = scoring.card_of(one.shipped_at, one.region)
        card = (one.service, day, region)
        more = scoring.difference(score, before.get(name, scoring.NONE))
        cards[card] = scoring.added(cards.get(card, scoring.NONE), more)
    await ways.set_scores(tx, changed)
    await ways.add_to_cards(tx, tenant, cards)


async def _poll(
    tx: Connection,
    parcels: Iterable[Parcel],
    found: Mapping[str, Standing],
    moved: Collection[str],
    now: datetime,
) -> None:
    """See to it that carriers are asked for what is on its way, and nothing was heard of lately."""
    ended = {one.parcel_id for one in parcels if found[one.parcel_id].fate in milestones.OVER}
    unheard = {one.parcel_id for one in parcels if not one.milestone} - ended
    await polls.begin(tx, unheard, now + POLL_EVERY)
    await polls.put_off(tx, set(moved) - ended, now + POLL_EVERY)
    await polls.end(tx, ended)


async def _end(
    tx: Connection,
    known: Mapping[str, Shipment],
    parcels: Iterable[Parcel],
    found: Mapping[str, Standing],
    now: datetime,
) -> None:
    """Report what became of shipments of whose parcels each has an end."""
    of: dict[str, list[Standing]] = {}
    for one in parcels:
        of.setdefault(one.shipment_id, []).append(found[one.parcel_id])
    told: dict[str, Told] = {}
    for shipment_id, standings in of.items():
        state = known[shipment_id].state
        final = state in LEFT and state != "partly_shipped"
        fate = milestones.fate_of(standings, final=final)
        if fate is not None and fate[0] != state:
            told[shipment_id] = Told(fate[0], _SOURCE, fate[1])
    if told:
        order_ids = {known[one].order_id for one in told}
        outcome = await shipments.report(tx, order_ids, told, now)
        await answering.act(tx, outcome.answered, to_ms(now))


def _number(one: Parcel) -> tuple[str, str]:
    return one.carrier, one.waybill


def _moved(one: Parcel, standing: Standing) -> bool:
    return bool(standing.milestone) and standing.milestone != one.milestone


def _place(standing: Standing) -> tuple[str, datetime]:
    assert standing.at is not None, "where there is a milestone there is its instant"
    return standing.milestone, standing.at


def _milestone(one: Parcel, standing: Standing) -> ways.Event:
    data = {
        "parcel_id": one.parcel_id, "shipment_id": one.shipment_id, "carrier": one.carrier,
        "waybill": one.waybill, "milestone": standing.milestone, "at": ways.moment(standing.at),
    }  # fmt: skip
    return ways.Event("parcel.milestone", one.order_id, _ACTOR, data)
