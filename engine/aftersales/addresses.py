"""An order's address changed: a revision, applied once nobody ships to the former one any more.

What has its units at nodes is asked to be stopped first, and a block stands until that is answered.
Where the region stays, the shipments are planned once more as they were; else the order is routed
anew. Of a marketplace's order a snapshot has changed it already, so what was told is asked by the
settler (`follow_told`), and what does not leave to the former address leaves to the new one.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from engine.aftersales import store
from engine.aftersales.types import ADDRESS_CHANGE, AddressChange, Block
from engine.infra.http.auth import Principal
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import Clock, instant
from engine.kernel.errors import IdempotencyConflict, NotChangeable, WrongCall
from engine.kernel.types import OrderId
from engine.orders.service import Access, note
from engine.orders.types import CHANGE_REQUESTED, OPEN, EventRow
from engine.reservation.service import Reservations
from engine.shipments.rules.addresses import region_of
from engine.shipments.service import ask, has_live, plan_again, routed_for
from engine.shipments.service.addresses import changes, note_change, settle_change, take_unasked
from engine.shipments.types.stops import Address, AddressState, Ask, Stop

_TOO_LATE: Final = "it has left, or is too far to be stopped"
_OVERTAKEN: Final = "a later change came before anybody was asked"
_ENGINE: Final = "engine"


class Changed(NamedTuple):
    """What became of a change: `changed`, or `requested` until `stop_id` is answered."""

    state: str
    revision: int
    stop_id: str = ""


class Addresses:
    """The verbs of an API process."""

    def __init__(self, reservations: Reservations, pool: Pool, clock: Clock, cell: str) -> None:
        """Bind to the process' reservations and pool."""
        self._pool = pool
        self._clock = clock
        self._access = Access(reservations, pool, clock, cell)

    async def change(self, principal: Principal, asked: AddressChange) -> Changed:
        """Change where an order is to go; the same change_id again changes nothing.

        Raises:
            NotFound: no such order for this key.
            WrongCall: a marketplace sold it, and tells of its address itself.
            IdempotencyConflict: this change_id came before with another address.
            NotChangeable: the order is over, or a node does not stop what it has.
            OutcomeUnknown: it was accepted and is not recorded yet.
        """
        order_id = asked.order_id
        if (await self._access.require_visible(principal, order_id)).version:
            raise WrongCall("orders of this channel change by POST /v1/orders:sync")
        await self._access.require_recorded(order_id)
        async with self._pool.acquire() as tx, tx.transaction():
            order = await store.lock(tx, order_id)
            assert order is not None, "it was recorded before, and no order is ever deleted"
            before = await changes(tx, order_id)
            if known := next((one for one in before if one.change_id == asked.change_id), None):
                return _as_before(known, asked)
            if order["state"] != OPEN:
                raise NotChangeable(f"the order is {order['state']}")
            return await _change(tx, order, asked, principal.key_id, self._clock.now_ms())


async def answer(tx: Connection, stop: Stop, now_ms: int) -> None:
    """Apply a change whose stop was answered, or say that it was refused; the block goes."""
    if stop.answer == "stopped":
        await _apply(tx, stop, now_ms)
    elif await settle_change(tx, stop.order_id, stop.cause_id, "refused"):
        data = {"change_id": stop.cause_id, "answer": stop.answer, "reason": _TOO_LATE}
        await _tell(tx, "order.address_refused", stop, data, now_ms)
    why = f"answered: {stop.answer}"
    await _unblock(tx, OrderId(stop.order_id), why, stop.actor, now_ms)


async def follow_told(tx: Connection, order_id: OrderId, now_ms: int) -> None:
    """Ask that what goes to the former address of a marketplace's order be stopped, once a change.

    Of several that nobody asked for yet only the last is where it is to go; each is answered.
    """
    order = await store.lock(tx, order_id)
    assert order is not None, "a snapshot that was recorded told of it"
    waiting = await take_unasked(tx, order_id)
    for one in waiting[:-1]:
        await _refuse(tx, order_id, one, _OVERTAKEN, now_ms)
    for last in waiting[-1:]:
        if order["state"] != OPEN:
            await _refuse(tx, order_id, last, f"the order is {order['state']}", now_ms)
            continue
        detail = {"revision": last.revision, "region": last.region, "former": last.former}
        wanted = Ask(order["tenant"], order_id, "address", last.change_id, (), _ENGINE, detail)
        stop = (await ask(tx, wanted, instant(now_ms))).stop
        if stop.answer:
            await answer(tx, stop, now_ms)


async def _refuse(tx: Connection, order_id: OrderId, one: Address, why: str, now_ms: int) -> None:
    if await settle_change(tx, order_id, one.change_id, "refused"):
        data = {"change_id": one.change_id, "answer": "", "reason": why}
        await note(tx, [EventRow(now_ms, "order.address_refused", order_id, "", _ENGINE, data)])
    await _unblock(tx, order_id, why, _ENGINE, now_ms)


async def _change(
    tx: Connection, order: asyncpg.Record, asked: AddressChange, actor: str, now_ms: int
) -> Changed:
    now, order_id = instant(now_ms), asked.order_id
    region = region_of(asked.ship_to)
    waits = await has_live(tx, order_id)
    state: AddressState = "requested" if waits else "applied"
    former = await _region(tx, order_id)
    change = Address(0, asked.change_id, state, region, asked.ship_to)
    revision = await note_change(tx, order_id, change, actor, now)
    if not waits:
        data = {"change_id": asked.change_id, "revision": revision, "region": region}
        row = EventRow(now_ms, "order.address_changed", order_id, "", actor, data)
        await note(tx, [row])
        return Changed("changed", revision)
    if await store.block(tx, order_id, ADDRESS_CHANGE, "") is None:
        await store.set_block(tx, order_id, _block(asked.change_id), actor)
        data = {"code": ADDRESS_CHANGE, "line_id": "", "reason": _reason(asked.change_id)}
        await note(tx, [EventRow(now_ms, "order.blocked", order_id, "", actor, data)])
    detail = {"revision": revision, "region": region, "former": former}
    wanted = Ask(order["tenant"], order_id, "address", asked.change_id, (), actor, detail)
    stop = (await ask(tx, wanted, now)).stop
    if not stop.answer:
        return Changed("requested", revision, stop.stop_id)
    if stop.answer != "stopped":
        raise NotChangeable(_TOO_LATE, answer=stop.answer)
    await answer(tx, stop, now_ms)
    return Changed("changed", revision)


async def _apply(tx: Connection, stop: Stop, now_ms: int) -> None:
    if not await settle_change(tx, stop.order_id, stop.cause_id, "applied"):
        return
    same = await _same_region(tx, stop)
    order = await store.lock(tx, OrderId(stop.order_id))
    last = stop.detail["revision"] == _newest(await changes(tx, stop.order_id))
    if same and last and order is not None and order["state"] == OPEN:
        await plan_again(tx, stop.order_id, stop.shipments, instant(now_ms))
    data = {
        "change_id": stop.cause_id, "revision": stop.detail["revision"],
        "region": stop.detail["region"], "rerouted": not same,
    }  # fmt: skip
    await _tell(tx, "order.address_changed", stop, data, now_ms)


async def _same_region(tx: Connection, stop: Stop) -> bool:
    """Whether what was stopped was routed for the region to which it is to go now.

    Told by names alone, a region is compared with the one before: shipments know codes.
    """
    region = stop.detail["region"]
    routed = await routed_for(tx, stop.shipments)
    if region.isdecimal() and routed and "" not in routed:
        return routed == {region}
    return bool(region == stop.detail["former"] != "")


async def _region(tx: Connection, order_id: OrderId) -> str:
    """Return the region in which an order is to go by now."""
    for one in await changes(tx, order_id):
        if one.state == "applied":
            return one.region
    return region_of(await store.ship_to(tx, order_id))


def _newest(found: Sequence[Address]) -> int:
    """Return the revision by which it is to go, or will if it can be stopped; 0: by none."""
    return max((one.revision for one in found if one.state != "refused"), default=0)


async def _unblock(tx: Connection, order_id: OrderId, why: str, actor: str, now_ms: int) -> None:
    """Lift the block that changes had set, with the last of them; one that a person set stays."""
    told = await changes(tx, order_id)
    found = await store.block(tx, order_id, ADDRESS_CHANGE, "")
    if found is None or any(one.state == "requested" for one in told):
        return
    if found["reason"] in {_reason(one.change_id) for one in told}:
        await store.lift(tx, order_id, ADDRESS_CHANGE, "")
        data = {"code": ADDRESS_CHANGE, "line_id": "", "reason": why}
        await note(tx, [EventRow(now_ms, "order.unblocked", order_id, "", actor, data)])


async def _tell(tx: Connection, kind: str, stop: Stop, data: dict[str, Any], now_ms: int) -> None:
    await note(tx, [EventRow(now_ms, kind, stop.order_id, "", stop.actor, data)])


def _reason(change_id: str) -> str:
    return CHANGE_REQUESTED.format(change_id)


def _block(change_id: str) -> Block:
    return Block(ADDRESS_CHANGE, "", _reason(change_id), None)


def _as_before(known: Address, asked: AddressChange) -> Changed:
    if codec.encode(known.ship_to) != codec.encode(asked.ship_to):
        raise IdempotencyConflict("this change_id came before with another address")
    if known.state == "refused":
        raise NotChangeable(_TOO_LATE)
    if known.state == "applied":
        return Changed("changed", known.revision)
    stop_id = f"{asked.order_id}:address:{asked.change_id}"
    return Changed("requested", known.revision, stop_id)
