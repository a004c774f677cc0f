"""Rows of the queue, and what a router does with them."""

from datetime import datetime
from typing import Final, Literal, NamedTuple

from engine.routing.types.core import Order

Queue = Literal["NEW", "HELD_RISK", "HELD_PRESALE", "UNFILLABLE", "BACKORDER", "REJECTED", "MANUAL"]
WAIT_FOR_STOCK: Final[frozenset[str]] = frozenset({"UNFILLABLE", "BACKORDER"})


class Row(NamedTuple):
    """A row to write: an order that is to be routed, or looked at by a person.

    `due_at` None: by hand, or when stock comes. `row_version` is `orders.xmin` of the facts.
    """

    queue: Queue
    order: Order
    row_version: str
    reason: str = ""
    due_at: datetime | None = None
    alarm_at: datetime | None = None
    turn: int = 0


class Claimed(NamedTuple):
    """An order that this router has leased; its lease is named by the token.

    `facts` is the order as bytes, empty where they say something else than it by now.
    """

    order: Order
    row_version: str
    token: int
    facts: bytes = b""


class Late(NamedTuple):
    """An order that has been in a queue for too long."""

    order_id: str
    queue: str
    reason: str
    since: datetime
