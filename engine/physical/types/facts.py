"""What the rule adds up, and what it comes to; instants are by the warehouse's clock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

Condition = Literal["good", "defective", "carrier_damaged", "box_damaged", "in_transit"]
Basis = Literal["on_hand", "available"]


class Count(NamedTuple):
    """What a warehouse counted of one key; `quantity` is as its basis says."""

    as_of: datetime
    sequence: int
    basis: Basis
    quantity: int
    locked: int = 0

    @property
    def rank(self) -> tuple[datetime, int]:
        """The greatest one of a key is the count that counts."""
        return self.as_of, self.sequence


class Delta(NamedTuple):
    """A movement of one key: signed units on hand, signed locked units."""

    happened_at: datetime
    quantity: int
    locked: int = 0


class Part(NamedTuple):
    """Some units of an assignment that left, or were cancelled, apart from the others."""

    verb: Literal["ship", "cancel"]
    name: str  # of the parcel, or of the call that said so
    units: int
    at: datetime


class Assigned(NamedTuple):
    """Units given to a node for an order, and when what became of them by its clock.

    `shipped_at` and `cancelled_at` are of those that no part is of.
    """

    units: int
    accepted_at: datetime | None = None
    shipped_at: datetime | None = None
    cancelled_at: datetime | None = None
    parts: tuple[Part, ...] = ()


class Piece(NamedTuple):
    """Units of an assignment that have one fate: those of a part, or (None) the rest."""

    part: Part | None
    state: Assigned


class Share(NamedTuple):
    """What assignments add to a balance whose count is of some instant."""

    committed: int = 0
    handed_over: int = 0
    shipped: int = 0  # ever
    shipped_since: int = 0  # after the count
    accepted_then: int = 0  # A in rules/folding.py

    def plus(self, other: "Share") -> "Share":
        """Add two shares."""
        return Share(*(one + more for one, more in zip(self, other, strict=True)))

    def minus(self, other: "Share") -> "Share":
        """What this one has more than another."""
        return Share(*(one - less for one, less in zip(self, other, strict=True)))


class Balance(NamedTuple):
    """What it all comes to."""

    on_hand: int
    locked: int
    committed: int
    handed_over: int
    sellable: int


class Key(NamedTuple):
    """What is counted and moved, of one tenant."""

    node: str
    owner: str
    sku: str
    condition: Condition
    batch: str


class Assignment(NamedTuple):
    """Which line of which order was given to which node; `attempt` counts how often it was."""

    order_id: str
    line_no: int
    node: str
    attempt: int = 1


class Given(NamedTuple):
    """An assignment as it is kept."""

    name: Assignment
    key_id: int
    state: Assigned


class Asked(NamedTuple):
    """What is asked of one node for an order; `lines` are (line_no, key_id, units).

    A key that is None was never counted. Keys are never used again, so one may be read long before.
    """

    order_id: str
    node: str
    attempt: int
    lines: Sequence[tuple[int, int | None, int]]
