"""What earlier orders of a batch took: a layer over the snapshot, which stays as it is."""

from collections.abc import Sequence
from typing import Final

from engine.routing.types.core import MUCH, Part, Snapshot, Stock

_UNLIMITED: Final = 1 << 60
Slot = tuple[str, str, int, str, int]


class Taken:
    """Stock, capacity and load as they are after what this batch decided so far.

    `stocks` are copies of what was taken from; `full` are (node, day) that take no more orders,
    `services` (service, day) likewise. `sent` are parcels by (service, day), for their shares.
    """

    __slots__ = ("_index", "_left", "_numbers", "full", "load", "sent", "services", "stocks")

    def __init__(self, snap: Snapshot) -> None:
        """Begin with the snapshot; costs what it has of limits."""
        self.stocks: dict[str, Stock] = {}
        self._left: dict[tuple[str, str, int, str], int] = {}
        self._index = snap.index
        self._numbers = {one.service: no for no, one in enumerate(snap.services)}
        self.load = list(snap.load)
        self.full: set[tuple[int, int]] = set()
        self.services: frozenset[tuple[int, int]] = frozenset()
        self.sent: dict[tuple[str, int], int] = {}
        for key, (used, limit) in snap.capacity.items():
            if limit is not None:
                self._left[key] = limit - used
                self._close(key, limit - used)

    def stock(self, snap: Snapshot, sku: str) -> Stock | None:
        """Return what is free of a SKU; None if no node ever counted it."""
        return self.stocks.get(sku) or snap.stock.get(sku)

    def lacking(self, slots: Sequence[Slot]) -> str:
        """Return the scope of the first slot that has too little left, "" if all have enough."""
        if self._left:
            for scope, name, day, dimension, n in slots:
                if self._left.get((scope, name, day, dimension), _UNLIMITED) < n:
                    return scope
        return ""

    @property
    def limited(self) -> bool:
        """Whether anything here has a limit at all."""
        return bool(self._left)

    def left(self, node: str, day: int) -> int:
        """Return how many more orders a node takes on a day."""
        return self._left.get(("node", node, day, "orders"), _UNLIMITED)

    def take(self, snap: Snapshot, part: Part, skus: Sequence[str]) -> None:
        """Take what a part uses; `skus` are those of the order's lines."""
        node, bit, copies = part.node, ~(1 << part.node), self.stocks
        self.load[node] += 1
        for index, units in part.atoms:
            stock = copies.get(skus[index])
            if stock is None:
                kept = snap.stock.get(skus[index])
                if kept is None:  # declared: nobody counts it
                    continue
                stock = copies[skus[index]] = kept.copy()
            row = stock.units
            left = row[node] = row[node] - units
            if stock.usable is not row:
                stock.usable[node] -= units
            assert stock.usable[node] >= 0, "more was taken than is there"
            if left < MUCH:
                stock.much &= bit
                if left < 1:
                    stock.mask &= bit
                elif left < stock.least:
                    stock.least = left
        self._use(part.slots, sent=part.service >= 0)

    def _use(self, slots: Sequence[Slot], *, sent: bool) -> None:
        if sent and slots:
            _, name, day, _, _ = slots[-1]  # those of the service are the last ones
            self.sent[name, day] = self.sent.get((name, day), 0) + 1
        for scope, name, day, dimension, n in slots if self._left else ():
            key = (scope, name, day, dimension)
            left = self._left.get(key)
            if left is not None:
                assert left >= n, "more capacity was taken than is there"
                self._left[key] = left - n
                self._close(key, left - n)

    def _close(self, key: tuple[str, str, int, str], left: int) -> None:
        scope, name, day, dimension = key
        if left > 0 or dimension != "orders":
            return
        if scope == "service":
            if name in self._numbers:
                self.services |= {(self._numbers[name], day)}
        elif name in self._index:
            self.full.add((self._index[name], day))
