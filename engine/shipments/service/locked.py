"""What every verb of shipments does first and last: lock, and say how far the orders are now."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.physical.types.facts import Assignment
from engine.shipments import store
from engine.shipments.rules.progress import progress
from engine.shipments.types.shipments import Line, Shipment


class Locked(NamedTuple):
    """Orders and all of their shipments, by id."""

    orders: Mapping[str, store.Order]
    shipments: Mapping[str, Shipment]

    def of(self, consignment_id: str) -> list[Shipment]:
        """Return the shipments in a consignment."""
        return [one for one in self.shipments.values() if one.consignment_id == consignment_id]


async def lock(tx: Connection, order_ids: Iterable[str]) -> Locked:
    """Lock orders, then their shipments: in this order, as everybody does."""
    orders = await store.lock_orders(tx, order_ids)
    return Locked(orders, {one.shipment_id: one for one in await store.lock_shipments(tx, orders)})


async def follow(tx: Connection, orders: Mapping[str, store.Order]) -> None:
    """Write how far locked orders are, of their shipments as they are now."""
    found: dict[str, list[Shipment]] = {order_id: [] for order_id in orders}
    for one in await store.shipments_of(tx, orders):
        found[one.order_id].append(one)
    now = {
        order_id: progress(order.progress, found[order_id], order.wanted)
        for order_id, order in orders.items()
    }
    changed = {name: to for name, to in now.items() if to != orders[name].progress}
    await store.set_progress(tx, changed)


def bound(one: Shipment) -> list[tuple[Line, Assignment]]:
    """Return the lines of a shipment whose units are assigned, and by what name."""
    return [
        (line, Assignment(one.order_id, line.line_no, one.node, one.attempt))
        for line in one.lines
        if line.bound
    ]


def event(one: Shipment, kind: str, actor: str, **more: object) -> store.Event:
    """Return what happened to a shipment."""
    data = {"shipment_id": one.shipment_id, "node": one.node, **more}
    return store.Event(kind, one.order_id, actor, data)


def names(shipments: Sequence[Shipment]) -> list[Assignment]:
    """Return by what names the units of shipments are assigned."""
    return [name for one in shipments for _, name in bound(one)]
