"""What a decision was made of, as bytes: the order, and the part of the world that it saw.

An order of a batch sees what those before it left, so that its record stands by itself: decided
alone of that, by the same plan among the same nodes and services, it comes out the same. Of stock
that is its own SKUs, of capacity what was nearly used up. Everything else that a decision reads
(nodes and their calendars, services, rates, regions) is documents with versions of their own.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.kernel.limits import PARCELS_PER_ORDER_MAX
from engine.routing.rules import facts
from engine.routing.rules.facts import UnreadableFacts
from engine.routing.types.core import Decision, Order, Part, Snapshot, Stock
from engine.routing.types.queue import Claimed

_FORM: Final = b"\x02"
_Cell = tuple[str, str, int, str]
_Room = tuple[str, str, int, str, int, int | None]
_encode: Final = msgspec.msgpack.Encoder().encode


class Inputs(NamedTuple):
    """What one decision saw; lists are by node number, and a SKU that nobody counts has no stock.

    `stock` is what its batch began with, `usable` what the guard would give where that is something
    else, and `gone` what others of the batch took before: node, units, node, units and so on.
    `rooms` are (scope, id, day, dimension, used, limit).
    """

    facts: bytes
    at_ms: int
    load: list[int]
    stock: dict[str, list[int] | None]
    usable: dict[str, list[int]]
    gone: dict[str, list[int]]
    rooms: list[_Room]

    @property
    def order(self) -> Order:
        """The order as it was decided.

        Raises:
            UnreadableFacts: it is of another form.
        """
        return facts.unpack(self.facts)

    def left(self, sku: str) -> tuple[list[int], list[int] | None]:
        """Return what was left of a SKU that is counted: units, and what the guard would give."""
        rows = [list(row) for row in (self.stock[sku], self.usable.get(sku)) if row is not None]
        gone = self.gone.get(sku, [])
        for node, units in zip(gone[::2], gone[1::2], strict=True):
            for row in rows:
                row[node] -= units
        return rows[0], rows[1] if len(rows) > 1 else None


_decode: Final = msgspec.msgpack.Decoder(Inputs).decode


def packed(snap: Snapshot, at_ms: int, decided: Iterable[tuple[Claimed, Decision]]) -> list[bytes]:
    """Return what each saw of a snapshot; `decided` is a whole batch, as it was decided."""
    told = list(decided)
    gone, load, known = defaultdict[str, list[int]](list), list(snap.load), snap.stock
    rooms, found = _Rooms(snap, [claimed.order for claimed, _ in told]), []
    for claimed, decision in told:
        order = claimed.order
        skus = [line.sku for line in order.lines]
        stock, usable, taken = {}, {}, {}
        for sku in skus:
            kept = known.get(sku)
            stock[sku] = None if kept is None else kept.units
            if kept is not None and kept.usable is not kept.units:
                usable[sku] = kept.usable
            if sku in gone:
                taken[sku] = gone[sku]
        kept_as = claimed.facts or facts.pack(order)
        seen = kept_as, at_ms, load, stock, usable, taken, rooms.encoded
        found.append(_FORM + _encode(seen))
        for part in decision.parts:
            load[part.node] += 1
            for index, units in part.atoms:
                gone[skus[index]] += part.node, units
            rooms.take(part)
    return found


def unpacked(data: bytes) -> Inputs:
    """Return what was packed.

    Raises:
        UnreadableFacts: it is of another form.
    """
    if data[:1] != _FORM:
        raise UnreadableFacts(f"inputs of form {data[:1].hex()}")
    try:
        return _decode(memoryview(data)[1:])
    except (msgspec.DecodeError, msgspec.ValidationError) as failure:
        raise UnreadableFacts(str(failure)) from failure


def world(seen: Inputs, nodes: Sequence[str], now: Snapshot) -> Snapshot:
    """Return `now` with the stock, load and capacity that a decision saw.

    `nodes` is what its numbers are called. A node that is not there any more is left out, and one
    that is new has nothing of what was counted then.
    """
    places = [now.index.get(name, -1) for name in nodes]
    count = len(now.nodes)

    def here(row: list[int]) -> list[int]:
        if len(row) == count and all(place == no for no, place in enumerate(places)):
            return row
        found = [0] * count
        for place, units in zip(places, row, strict=False):
            if place >= 0:
                found[place] = units
        return found

    return now._replace(
        stock={
            sku: Stock(here(units), usable and here(usable))
            for sku, row in seen.stock.items()
            if row is not None
            for units, usable in (seen.left(sku),)
        },
        load=tuple(here(seen.load)),
        capacity={(scope, of, day, dim): (used, limit)
                  for scope, of, day, dim, used, limit in seen.rooms},
    )  # fmt: skip


class _Rooms:
    """What of capacity could refuse one of these orders, or weighs in the choice of a service."""

    def __init__(self, snap: Snapshot, orders: Sequence[Order]) -> None:
        self._needs = _needs(orders) if snap.capacity else {}
        self._shared = {one.service for one in snap.services if one.ratio}
        self._all: dict[_Cell, tuple[int, int]] = {}
        self._low: dict[_Cell, tuple[int, int | None]] = {}
        for cell, (used, limit) in snap.capacity.items():
            scope, of, _, dim = cell
            if limit is not None:
                self._all[cell] = used, limit
                if limit - used <= self._needs[dim]:
                    self._low[cell] = used, limit
            if self._weighs(scope, of, dim):
                self._low[cell] = used, limit
        self._encoded: msgspec.Raw | None = None

    @property
    def encoded(self) -> msgspec.Raw:
        if self._encoded is None:
            rooms = [(*cell, *room) for cell, room in self._low.items()]
            self._encoded = msgspec.Raw(_encode(rooms))
        return self._encoded

    def take(self, part: Part) -> None:
        for scope, of, day, dim, n in part.slots if self._all or self._shared else ():
            cell = scope, of, day, dim
            room = self._all.get(cell)
            if room is not None:
                used, limit = self._all[cell] = room[0] + n, room[1]
                if cell in self._low or limit - used <= self._needs[dim]:
                    self._low[cell] = used, limit
                    self._encoded = None
            elif self._weighs(scope, of, dim):  # also of the first parcels of a day
                self._low[cell] = self._low.get(cell, (0, None))[0] + n, None
                self._encoded = None

    def _weighs(self, scope: str, of: str, dim: str) -> bool:
        return scope == "service" and dim == "orders" and of in self._shared


def _needs(orders: Sequence[Order]) -> dict[str, int]:
    """Return the most that one of these orders could use of each dimension."""
    most = {"orders": PARCELS_PER_ORDER_MAX, "lines": 0, "units": 0, "grams": 0}
    for order in orders:
        most["lines"] = max(most["lines"], len(order.lines))
        most["units"] = max(most["units"], sum([line.units for line in order.lines]))
        most["grams"] = max(most["grams"], sum([line.grams for line in order.lines]))
    return most
