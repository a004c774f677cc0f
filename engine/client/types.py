"""What is sent and what comes back: the main ones as types, everything else as plain documents.

`ops/openapi.json` has all of it; a body may also be a msgspec struct of the caller's own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

import msgspec

Body = Mapping[str, object] | msgspec.Struct
Instant = str | datetime


class Money(TypedDict):
    """An amount in minor units."""

    amount: int
    currency: str


class Line(TypedDict):
    """A line of an order; more fields are in the API's description."""

    sku: str
    quantity: int
    unit_price: Money
    channel_line_id: NotRequired[str]
    kind: NotRequired[Literal["sale", "gift", "bundle", "service", "virtual"]]
    on_short: NotRequired[Literal["refuse", "owe", "drop"]]
    payable: NotRequired[Money]


class Order(TypedDict):
    """An order of a gate channel; (channel, channel_order_id) is who it is, for ever."""

    channel: str
    channel_order_id: str
    lines: list[Line]
    buyer_id: NotRequired[str]
    campaign: NotRequired[str]
    placed_at: NotRequired[Instant]
    replace_unpaid: NotRequired[bool]
    ship_to: NotRequired[Mapping[str, object]]
    payment: NotRequired[Mapping[str, object]]
    amounts: NotRequired[Mapping[str, object]]
    extensions: NotRequired[Mapping[str, object]]


class Payment(TypedDict):
    """A payment; the same payment_id is the same payment."""

    payment_id: str
    amount: Money
    method: NotRequired[str]
    paid_at: NotRequired[Instant]
    stage: NotRequired[str]


class OrderLine(TypedDict):
    """A line that is cancelled or refunded, by the `line_id` of our answers."""

    line_id: str
    quantity: int


class Cancel(TypedDict):
    """A cancel; without lines all that is left of the order."""

    cancel_id: str
    reason: NotRequired[str]
    lines: NotRequired[list[OrderLine]]


class Refund(TypedDict):
    """A refund as it stands."""

    refund_id: str
    kind: Literal["cancel", "return", "allowance"]
    amount: Money
    state: Literal["requested", "done", "rejected"]
    lines: NotRequired[list[OrderLine]]


class Reply(msgspec.Struct, frozen=True):
    """An answer that is no refusal: its document, and what its headers say.

    `replayed`: the order had come before. `durability`: what an acceptance survives. `etag` goes
    into If-Match. `date` is the server's clock, "" where it sends none.
    """

    status: int
    document: Any
    request_id: str = ""
    etag: str = ""
    durability: str = ""
    replayed: bool = False
    date: str = ""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request: where, as a JSON pointer, and what is accepted."""

    pointer: str
    detail: str


class Amount(msgspec.Struct, frozen=True):
    """An amount in minor units, as answered."""

    amount: int
    currency: str


class PlacedLine(msgspec.Struct, frozen=True):
    """A line of an accepted order; 0 units of it: it was dropped, as its on_short asked."""

    line_id: str
    sku: str
    quantity: int
    components: list[dict[str, Any]] = []


class Placed(msgspec.Struct, frozen=True):
    """An accepted order: to be paid by `pay_by` if that is not null."""

    order_id: str
    status: str
    pay_by: str | None
    payable: Amount
    lines: list[PlacedLine]
    stages: list[dict[str, Any]] = []
    replayed: bool = False
    durability: str = ""
    request_id: str = ""


class PlacedItem(msgspec.Struct, frozen=True):
    """What became of one order of many: `order` if it was taken, else why not."""

    status: int
    order: Placed | None = None
    code: str = ""
    detail: str = ""
    errors: list[Fault] = []


class SyncedItem(msgspec.Struct, frozen=True):
    """What became of one snapshot of many."""

    status: int
    result: Literal["created", "updated", "unchanged", "stale", ""] = ""
    order_id: str = ""
    version: str = ""
    short: list[dict[str, Any]] = []
    blocks: list[str] = []
    code: str = ""
    detail: str = ""
    errors: list[Fault] = []
