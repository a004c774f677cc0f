"""Nodes that refused lines: what follows for stock, and who is not asked again, or not yet.

The order comes back by the shipment's own event, with what its live shipments do not have, and with
what is noted here: `queue.put` adds it to every row.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import structlog

from engine.infra.postgres import Connection
from engine.kernel.clock import to_ms
from engine.kernel.types import Tenant
from engine.physical.service import movements
from engine.physical.service.movements import WriteOff
from engine.physical.types.facts import Assignment
from engine.routing.rules import rejections as rules
from engine.routing.store import binding as store
from engine.routing.store import hands, queue
from engine.routing.types.hands import Hand
from engine.shipments.service import Outcome, twice
from engine.shipments.types.shipments import Refused
from engine.shipments.types.stops import Stop

FOR_GOOD_MS: Final = 1 << 60
CANCELLED_LATE: Final = "cancelled_late"
SHIPPED_TWICE: Final = "shipped_twice"
_ACTOR: Final = "node"
_log: Final = structlog.get_logger(__name__)


class Rejection(NamedTuple):
    """What a node refused: (line_no, units) of an order, why, and what that means for its stock.

    `exclude_until` None: it is not asked for these lines any more. Every shipment that is refused
    is one hop of its order.
    """

    order_id: str
    node: str
    units: tuple[tuple[int, int], ...]
    reason: str
    stock_effect: str = ""
    exclude_until: datetime | None = None
    shipment_id: str = ""


async def take(
    tx: Connection, tenant: Tenant, outcome: Outcome, now: datetime, actor: str = _ACTOR
) -> None:
    """Do what follows from a report, in its transaction: its orders are locked, stock is booked.

    `actor` is who said so, the node itself or a person.
    What a node cancelled after its buyer was told that it could not be stopped waits for a person:
    to send it after all, or to do what was asked.
    """
    for one in outcome.refused:
        effect = rules.HANDLING[one.reason].effect
        if effect:
            await _write_off(tx, tenant, one, effect, actor)
        units = tuple((line.line_no, line.units) for line in one.lines)
        refused = Rejection(
            one.order_id, one.node, units, one.reason, effect, rules.until(one.reason, now),
            one.shipment_id,
        )  # fmt: skip
        await note(tx, tenant, [refused], actor, now)
        _log.info("shipment_refused", node=one.node, reason=one.reason, lines=len(units))
    if late := {one.order_id for one in outcome.late}:
        await hands.hold(tx, tenant, late, CANCELLED_LATE, _ACTOR)
    for one in outcome.after_all:
        await _put_back(tx, tenant, one)
    await answered(tx, tenant, outcome.answered, now)


async def answered(tx: Connection, tenant: Tenant, stops: Iterable[Stop], now: datetime) -> None:
    """Leave orders to a person of which units left twice, in the transaction that says so."""
    for stop in filter(twice, stops):
        await hands.hold(tx, tenant, {stop.order_id}, SHIPPED_TWICE, _ACTOR)
        data = {
            "shipments": stop.shipments,
            "lines": stop.lines,
            "answer": stop.answer,
            **stop.detail,
        }
        told = queue.Event(f"order.{SHIPPED_TWICE}", stop.order_id, _ACTOR, data)
        await queue.write_events(tx, [told], now)
        _log.error(SHIPPED_TWICE, order_id=stop.order_id, answer=stop.answer)


async def note(
    tx: Connection, tenant: Tenant, rejections: Sequence[Rejection], actor: str, at: datetime
) -> None:
    """Keep what nodes refused; their orders are locked."""
    for one in rejections:
        await store.add_rejection(
            tx, tenant, one.order_id, one.node, one.units, reason=one.reason,
            stock_effect=one.stock_effect, until=one.exclude_until, actor=actor, at=at,
            shipment_id=one.shipment_id,
        )  # fmt: skip


async def excluded(
    tx: Connection, order_ids: Collection[str]
) -> dict[str, tuple[tuple[int, str, int], ...]]:
    """Return (line_no, node, until in ms) of each order that has any, as `Order.excluded` is."""
    found = await store.excluded(tx, order_ids)
    return {
        order_id: tuple((line_no, node, _until(until)) for line_no, node, until in each)
        for order_id, each in found.items()
    }


async def in_hand(tx: Connection, order_ids: Collection[str]) -> dict[str, Hand]:
    """Return of each order what is decided of it by hand, and how often nodes refused it since."""
    return await hands.read(tx, order_ids)


async def _write_off(
    tx: Connection,
    tenant: Tenant,
    one: Refused,
    effect: Literal["adjustment", "damage"],
    actor: str,
) -> None:
    lost = {
        Assignment(one.order_id, line.line_no, one.node, one.attempt): line.units
        for line in one.lines
        if line.bound
    }
    if lost:
        told = WriteOff(f"refused:{one.shipment_id}", effect, one.reason, actor, one.at)
        await movements.write_off(tx, tenant, told, lost)


async def _put_back(tx: Connection, tenant: Tenant, one: Refused) -> None:
    """Put back what was taken off when it was refused: it was there, and its confirm takes it off.

    As of the same instant, so that a count since then holds for both; once a shipment, so that it
    is never more than was taken off.
    """
    off = await store.taken_off(tx, one.order_id, one.shipment_id)
    back = {
        Assignment(one.order_id, line.line_no, one.node, one.attempt): -min(
            line.units, off.get(line.line_no, 0)
        )
        for line in one.lines
        if line.bound and off.get(line.line_no)
    }
    if back:
        told = WriteOff(
            f"sent_after_all:{one.shipment_id}", "adjustment", "sent after all", _ACTOR, one.at
        )
        await movements.write_off(tx, tenant, told, back)


def _until(until: datetime) -> int:
    return FOR_GOOD_MS if until.replace(tzinfo=UTC) == _LAST else to_ms(until)


_LAST: Final = datetime.max.replace(tzinfo=UTC)  # what the driver makes of infinity
