"""Nouns of after-sales: a refund and a block as they are told, and an order as they meet it."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from engine.kernel import codec, limits
from engine.kernel.types import OrderId
from engine.reservation.types import ShipTo

REFUNDS_PER_ORDER_MAX: Final = 200  # a marketplace has one a line, and some are asked for twice
REASON_LENGTH_MAX: Final = 512

REFUND_REQUESTED: Final = "refund_requested"
ADDRESS_CHANGE: Final = "address_change"
# A marketplace gave the money back; which units it means, its next snapshot says.
WAITS_FOR_SNAPSHOT: Final = "refunded there: waits for the snapshot that says so"

# What a person may set; the others follow from what happened and are set by the engine alone.
SETTABLE: Final = (
    "review", "cool_off", "address_change", "group_buy", "channel_hold", "manual",
)  # fmt: skip
CODES: Final = (
    *SETTABLE, REFUND_REQUESTED, "unmapped_sku", "short", "price", "presale",
)  # fmt: skip

Kind = Literal["cancel", "return", "allowance"]
State = Literal["requested", "done", "rejected"]


class BlockIn(codec.Wire, frozen=True):
    """A block to set: on the order or, with a `line_id`, on a line; until then, or until lifted."""

    code: codec.Identifier
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_LENGTH_MAX)]
    line_id: Annotated[str, msgspec.Meta(max_length=limits.IDENTIFIER_LENGTH_MAX)] = ""
    until: codec.Instant | None = None


class RefundLine(codec.Wire, frozen=True):
    """Units of one line that money goes back for."""

    line_id: codec.Identifier
    quantity: Annotated[int, msgspec.Meta(ge=1, le=limits.QUANTITY_MAX)]


class RefundIn(codec.Wire, frozen=True):
    """A refund as it stands: `cancel` before shipment, `return` after it, `allowance` money only.

    A `cancel` that is done gives the units of its `lines` back to sale, as far as no cancel did.
    """

    refund_id: codec.Identifier
    kind: Kind
    amount: codec.Money
    state: State
    lines: Annotated[list[RefundLine], msgspec.Meta(max_length=limits.LINES_PER_ORDER_MAX)] = (
        msgspec.field(default_factory=list)
    )


class AddressIn(codec.Wire, frozen=True):
    """Where an order is to go from now on, whole."""

    change_id: codec.Identifier
    ship_to: ShipTo


class AddressView(codec.Answer, frozen=True):
    """What became of a change: `changed`, or `requested` until the stop of that id is answered."""

    order_id: str
    change_id: str
    state: str
    revision: int
    stop_id: str


class RefundView(codec.Answer, frozen=True):
    """A refund as it is recorded."""

    order_id: str
    refund_id: str
    kind: str
    state: str
    amount: codec.Money
    lines: list[RefundLine]


class Refund(NamedTuple):
    """A refund; `lines` are (line number, units), each line once, in order."""

    order_id: OrderId
    refund_id: str
    kind: Kind
    state: State
    amount: int
    currency: str
    lines: tuple[tuple[int, int], ...]


class AddressChange(NamedTuple):
    """A change of where an order is to go; `ship_to` as it was told."""

    order_id: OrderId
    change_id: str
    ship_to: dict[str, Any]


class Block(NamedTuple):
    """A block; `line_id` "" is the whole order."""

    code: str
    line_id: str
    reason: str
    until: datetime | None


class Line(NamedTuple):
    """A line as a refund meets it; `refunded` are the units of `cancel` refunds that are done."""

    quantity: int
    open_quantity: int
    refunded: int


class Standing(NamedTuple):
    """An order as a refund meets it, the refund itself not counted; money in minor units.

    `applied` was paid for its goods and `due_back` for none; `refunded` is what was given back.
    """

    state: str
    payment_state: str
    stock_state: str
    attention: str
    currency: str
    payable: int
    version: str
    applied: int
    due_back: int
    refunded: int
    lines: Mapping[int, Line]


class Step(Enum):
    """What has to be done before a refund can be booked."""

    END_HOLD = "the cell still counts what was paid"
    CATCH_UP = "more may have been paid than is recorded"
