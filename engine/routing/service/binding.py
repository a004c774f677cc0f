"""Bind decisions: units, capacity, shipments and the row of the queue, in one transaction or not.

Locks are taken in one order: orders by id, their rows of the queue, balances, capacity; what is
inserted comes last. What was decided on what is no longer so changes nothing: an order whose row,
state, blocks or stops are others than those of its facts is left to whoever makes facts, and one
that lost units or capacity to somebody else is decided again by what is free then.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from engine.carriers.service import fleet
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import to_ms
from engine.kernel.types import Tenant
from engine.logical.service import bases
from engine.physical.service import binding as physical
from engine.physical.types.facts import Key
from engine.routing.rules import binding as rules
from engine.routing.rules import facts, viewing
from engine.routing.service import capacity
from engine.routing.store import binding as store
from engine.routing.store import queue, view
from engine.routing.store.binding import Changed, Lack, Recorded, Standing
from engine.routing.store.queue import Event, Parked
from engine.routing.types.binding import Made, Outcome, Wish
from engine.routing.types.capacity import Cell, Room
from engine.routing.types.core import PASSING, Line
from engine.routing.types.queue import WAIT_FOR_STOCK
from engine.shipments.service import planning
from engine.shipments.types.shipments import Planned

# Nothing waits for stock that was read more than 5 s before it was decided by (view.py).
SEEN_S: Final = 7.0
_ACTOR: Final = "router"


class When(NamedTuple):
    """The instant of a transaction, and how long a queue may keep an order before it is told.

    `inputs` are those by which what waits was tried (`Made.inputs`, in sum).
    """

    at: datetime
    alarm_s: int
    inputs: int = 0


class _Ours(NamedTuple):
    """What of a batch is still as it was decided, with how its orders stand."""

    wishes: list[Wish]
    stale: list[Wish]
    standing: Mapping[str, Standing]


class _Granted(NamedTuple):
    won: list[bool]
    keys: Mapping[int, int]
    free: Mapping[tuple[str, str], int]
    rooms: Mapping[Cell, Room]


async def bind(
    pool: Pool, tenant: Tenant, wishes: Sequence[Wish], made: Made, when: When
) -> Outcome:
    """Bind decisions of one lease, each whole or not at all, the first first.

    Whatever is in no list of the answer is not leased by this router any more.
    """
    async with pool.acquire() as tx, tx.transaction():
        ours = await _still(tx, wishes)
        if ours.wishes and await view.inputs(tx, tenant) != made.inputs:
            return Outcome([], [], ours.wishes, ours.stale, {}, {}, {}, outdated=True)
        routed = [one for one in ours.wishes if one.decision.parts]
        routed, refused = await _served(tx, tenant, routed, made)
        planned = [await _planned(tx, one, made, ours.standing) for one in routed]
        granted = await _granted(tx, tenant, planned, made, when)
        bound = [one for one, has in zip(routed, granted.won, strict=True) if has]
        parked = [one for one in ours.wishes if not one.decision.parts]
        shipments = [s for has, all_ in zip(granted.won, planned, strict=True) if has for s in all_]
        if shipments:
            await planning.plan(tx, shipments, when.at)
        await _record(tx, [*bound, *parked], made, ours.standing, when)
        by = when._replace(inputs=sum(made.inputs))
        changed = await _requeue(tx, tenant, [*bound, *parked], ours.standing, by)
        events = [*_events(bound, parked, made, shipments), *changed]
        await queue.write_events(tx, events, when.at)
    lost = [one for one, has in zip(routed, granted.won, strict=True) if not has]
    lost += refused
    return Outcome(bound, parked, lost, ours.stale, granted.keys, granted.free, granted.rooms)


async def _still(tx: Connection, wishes: Sequence[Wish]) -> _Ours:
    """Lock orders and their rows, and look whether each is what was decided."""
    orders = await store.lock_orders(tx, {one.order.order_id for one in wishes})
    held = set[str]()
    for token in sorted({one.claimed.token for one in wishes}):
        ids = {one.order.order_id for one in wishes if one.claimed.token == token}
        held |= await queue.hold(tx, ids & orders.keys(), token)
    standing = await store.standing(tx, held)
    found: list[Wish] = []
    stale: list[Wish] = []
    for one in wishes:
        name = one.order.order_id
        if name not in held:
            continue
        same = orders[name] == (one.claimed.row_version, "open") and not standing[name].held
        (found if same else stale).append(one)
    return _Ours(found, stale, standing)


async def _served(
    tx: Connection, tenant: Tenant, wishes: list[Wish], made: Made
) -> tuple[list[Wish], list[Wish]]:
    """Return what carriers still bring, and what one of them stopped bringing meanwhile."""
    off = await fleet.off(tx, tenant) if wishes else frozenset()
    if not off:
        return wishes, []
    found: tuple[list[Wish], list[Wish]] = ([], [])
    for one in wishes:
        found[not rules.served(one, made, off)].append(one)
    return found


async def _planned(
    tx: Connection, wish: Wish, made: Made, standing: Mapping[str, Standing]
) -> list[Planned]:
    name = wish.order.order_id
    first = standing[name].shipment
    attempts = await planning.next_attempts(tx, name) if first > 1 else {}
    return rules.planned(wish, made, first, attempts)


async def _granted(
    tx: Connection, tenant: Tenant, planned: Sequence[list[Planned]], made: Made, when: When
) -> _Granted:
    """Take units and capacity for decisions that have both."""
    rooms: dict[Cell, Room] = {}
    needs = [rules.cells(slot for one in each for slot in one.capacity) for each in planned]

    async def capacity_too(won: list[bool]) -> list[bool]:
        asked = [need if has else None for need, has in zip(needs, won, strict=True)]
        told, now = await capacity.grant(tx, tenant, asked, made.limits)
        rooms.update(now)
        return told

    apart = await _apart(tx, tenant, planned, made, when)
    loose = {(key.sku, key.node): key_id for key, key_id in apart.ids.items()} if apart else {}
    bids = [[rules.asked(one, made, loose) for one in each] for each in planned]
    bound = await physical.bind(tx, tenant, bids, when.at, capacity_too, apart)
    lost = [one for each, has in zip(planned, bound.won, strict=True) if not has for one in each]
    keys = bound.free
    if loose:
        others = keys.keys() - set(loose.values())
        keys = {key: bound.free[key] for key in others}
    return _Granted(bound.won, keys, rules.free(lost, made, loose, bound.free), rooms)


async def _apart(
    tx: Connection, tenant: Tenant, planned: Sequence[list[Planned]], made: Made, when: When
) -> physical.Apart | None:
    """Return what of these is guarded by its chain, None if nothing is."""
    keys = rules.apart((one for each in planned for one in each), made)
    if not keys:
        return None

    async def guard() -> dict[Key, int]:
        chains = await bases.bases(tx, tenant, {key.sku for key in keys}, when.at)
        free = {
            (sku, one.node): viewing.guard(one)
            for sku, nodes in chains.items()
            for one in nodes
            if one.counts
        }
        return {key: free.get((key.sku, key.node), 0) for key in keys}

    return physical.Apart(await physical.keys_of(tx, tenant, keys), guard)


async def _record(
    tx: Connection,
    wishes: Sequence[Wish],
    made: Made,
    standing: Mapping[str, Standing],
    when: When,
) -> None:
    await store.record(
        tx,
        [
            Recorded(
                one.order.order_id, standing[one.order.order_id].decision, one.order.tenant,
                when.at, made.plan, made.version, one.decision.stage, one.decision.rule,
                one.decision.verdict, one.decision.queue, one.decision.reason, made.snap.digest,
                one.inputs, rules.trace(one, made),
            )
            for one in wishes
        ],
    )  # fmt: skip


async def _requeue(
    tx: Connection,
    tenant: Tenant,
    wishes: Sequence[Wish],
    standing: Mapping[str, Standing],
    when: When,
) -> list[Event]:
    """Write what waits on, and delete what does not; return what happened to promises."""
    waiting = [one for one in wishes if one.decision.rest or not one.decision.parts]
    lacks = [lack for one in waiting for lack in _lacks(one)]
    names = {one.order.order_id for one in waiting}
    if done := {one.order.order_id for one in wishes} - names:
        await queue.withdraw(tx, done)
    if waiting:
        alarm_at = when.at + timedelta(seconds=when.alarm_s)
        await queue.park(
            tx,
            [
                Parked(
                    one.order.order_id, one.decision.queue, one.decision.reason,
                    rules.due(one, to_ms(when.at)), alarm_at, facts.pack(rules.rest(one)),
                    rules.cancel_at(one),
                )
                for one in waiting
            ],
            SEEN_S,
            when.inputs,
        )  # fmt: skip
        waits = {(line.sku, one.order.order_id) for one in waiting for line in _missed(one)}
        await queue.wait_for(tx, tenant, names, waits)
    again = {one.order.order_id for one in wishes if standing[one.order.order_id].decision > 1}
    still = {(lack.order_id, lack.line_no) for lack in lacks}
    kept = await store.keep_promises(tx, again, still, when.at)
    broken = await store.break_promises(tx, tenant, lacks, when.at)
    return [
        *(_promise("order.promise_kept", one) for one in kept),
        *(_promise("order.promise_broken", one) for one in broken),
    ]


def _lacks(wish: Wish) -> list[Lack]:
    """Return what was sold and cannot be sent; of a parked order only what has no units anywhere.

    An order that waits for something else, a person, a supply that is promised or a node that has
    it and is closed, breaks nothing.
    """
    if wish.decision.queue != "UNFILLABLE" or wish.decision.reason in PASSING.values():
        return []
    return [
        Lack(
            wish.order.order_id, line.line_no, line.sku, line.group, line.units,
            wish.decision.reason,
        )
        for line in rules.rest(wish).lines
    ]  # fmt: skip


def _missed(wish: Wish) -> Sequence[Line]:
    decision = wish.decision
    waits = decision.queue in WAIT_FOR_STOCK and decision.reason not in PASSING.values()
    return rules.rest(wish).lines if waits else ()


def _events(
    bound: Sequence[Wish], parked: Sequence[Wish], made: Made, shipments: Sequence[Planned]
) -> list[Event]:
    of: dict[str, list[Planned]] = {}
    for one in shipments:
        of.setdefault(one.order_id, []).append(one)
    found = []
    for wish in bound:
        name, decision = wish.order.order_id, wish.decision
        told = [{"shipment_id": one.shipment_id, "node": one.node} for one in of[name]]
        data = {
            "plan": made.plan, "version": made.version, "stage": decision.stage,
            "rule": decision.rule, "shipments": told,
        }  # fmt: skip
        found.append(Event("order.routed", name, _ACTOR, data))
    for wish in (*bound, *parked):
        if (wish.decision.rest or not wish.decision.parts) and wish.decision.queue != "NEW":
            data = {"queue": wish.decision.queue, "reason": wish.decision.reason}
            found.append(Event("order.parked", wish.order.order_id, _ACTOR, data))
    return found


def _promise(kind: str, one: Changed) -> Event:
    data = {"line_no": one.line_no, "sku": one.sku, "units": one.units}
    return Event(kind, one.order_id, _ACTOR, data)
