"""Units of one SKU that are there and not sold, as the rule of physical stock has them.

Each count and each order is a fact with its instants; `engine/physical/rules/folding.py` says what
they come to. Two such heaps tell the truth from what could be known: one hears of a count at its
`as_of`, the other when it was received.

Of one instant cancels come first, then counts, then orders: a count sees what was cancelled.

An order leaves from the node that it names, else from where most of the SKU lies when it comes: all
of a SKU is one heap for its shops, and only a later count can tell the difference.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeAlias

from engine.physical.rules import folding
from engine.physical.types.facts import Assigned
from engine.shadow.types import Counted, Link

Place: TypeAlias = "tuple[str, str, str]"  # node, owner, batch


class Sale(NamedTuple):
    """A line of an order in single units of the SKU; `n` tells sales apart."""

    n: int
    link: Link
    order: str
    node: str
    pieces: int
    units: int
    placed_at: datetime
    life: Assigned
    mapped: bool
    bundle: str = ""  # that it was sold in


@dataclass(slots=True)
class _Lot:
    count: Counted
    sales: dict[int, Sale] = field(default_factory=dict)
    units: int = 0


class Free:
    """Units that are there and not sold; below 0 when more was sold than there is."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._lots: dict[Place, _Lot] = {}
        self._waiting: dict[int, Sale] = {}
        self._at: dict[int, Place] = {}
        self.units = 0

    @property
    def counted(self) -> bool:
        """Whether a count was heard of."""
        return bool(self._lots)

    @property
    def safety(self) -> int:
        """Units that its nodes are to keep."""
        return sum(lot.count.safety for lot in self._lots.values())

    @property
    def shortage(self) -> int:
        """Units that were sold and are not there."""
        return max(0, -self.units) if self.counted else 0

    def count(self, told: Counted, now: datetime) -> None:
        """Hear of a count; an older one than is known changes nothing."""
        place = told.node, told.owner, told.batch
        lot = self._lots.get(place)
        if lot is None:
            lot = self._lots[place] = _Lot(told)
        elif (told.as_of, told.sequence) <= (lot.count.as_of, lot.count.sequence):
            return
        lot.count = told
        before = lot.units
        more = told.locked if told.basis == "available" else 0
        lot.units = told.quantity + more - told.locked
        for n, sale in list(lot.sales.items()):
            lot.units += _effect(sale, told, now)
            if _over(sale, told):
                del lot.sales[n], self._at[n]
        self.units += lot.units - before
        for n, sale in list(self._waiting.items()):
            if sale.node in {"", told.node}:
                del self._waiting[n]
                self._put(sale, place, now)

    def place(self, sale: Sale, now: datetime) -> None:
        """Hear of an order."""
        places = [one for one in self._lots if sale.node in {"", one[0]}] or [*self._lots]
        if not places:
            self._waiting[sale.n] = sale
            return
        self._put(sale, min(places, key=lambda one: (-self._lots[one].units, one)), now)

    def cancel(self, sale: Sale, now: datetime) -> None:
        """Hear that an order was cancelled."""
        self._waiting.pop(sale.n, None)
        if place := self._at.get(sale.n):
            lot = self._lots[place]
            kept = sale._replace(life=sale.life._replace(cancelled_at=None))
            change = _effect(sale, lot.count, now) - _effect(kept, lot.count, now)
            lot.units += change
            self.units += change

    def _put(self, sale: Sale, place: Place, now: datetime) -> None:
        lot = self._lots[place]
        units = _effect(sale, lot.count, now)
        lot.units += units
        self.units += units
        if not _over(sale, lot.count):
            lot.sales[sale.n] = sale
            self._at[sale.n] = place


def _effect(sale: Sale, count: Counted, now: datetime) -> int:
    """Return what a sale, as far as it has come by now, adds to what was counted."""
    told = sale.life
    life = Assigned(
        told.units,
        _by(told.accepted_at, now),
        _by(told.shipped_at, now),
        _by(told.cancelled_at, now),
    )
    share = folding.share(life, count.as_of)
    held = share.accepted_then if count.basis == "available" else 0
    return held - share.shipped_since - share.committed - share.handed_over


def _by(at: datetime | None, now: datetime) -> datetime | None:
    return at if at is not None and at <= now else None


def _over(sale: Sale, count: Counted) -> bool:
    """Tell whether neither this nor a later count has to look at a sale again."""
    ends = [at for at in (sale.life.shipped_at, sale.life.cancelled_at) if at is not None]
    return bool(ends) and max(ends) <= count.as_of
