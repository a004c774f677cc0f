"""Rows that one stretch of the log becomes, and the axes on which an order stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from engine.kernel.events import LogEvent, Payment

OPEN: Final = "open"
CLOSED: Final = "closed"
CANCELLED: Final = "cancelled"

NOTHING: Final = "[]"  # of draws, counters or stages
CHANGE_REQUESTED: Final = "address change {} is requested"  # why a block stands
_encode: Final = msgspec.json.Encoder().encode


class Logged(NamedTuple):
    """One event where it stands: its entry, and the payload it came with if it is a claim."""

    log_id: str
    event: LogEvent
    payload: bytes = b""


# One change of one pool, as a row of the ledger: log id, position in the entry, kind, reference,
# pool, and by how much granted, owed, available, held and sold changed.
Post: TypeAlias = tuple[str, int, str, str, str, int, int, int, int, int]


def packed(values: Sequence[Any] | None) -> str:
    """Return draws, counters or stages as their columns take them."""
    return _encode(values).decode() if values else NOTHING


class NewOrder(msgspec.Struct, gc=False):
    """A row of `orders`, its fields in the order in which they are written.

    Instants are ms; `draws`, `counters`, `stages` and `document` are JSON, `trace` a traceparent.
    """

    order_id: str
    tenant: str
    channel: str
    channel_order_id: str
    campaign: str
    buyer_id: str
    kind: str
    state: str
    payment_state: str
    stock_state: str
    currency: str
    payable: int
    pay_by: int | None
    held_until: int | None
    attempt: int
    fingerprint: str
    placed_at: int
    accepted_at: int
    log_id: str
    actor: str
    attention: str
    draws: str
    counters: str
    stages: str
    document: str
    fulfilment_state: str = "unrouted"
    version: str = ""
    source_status: str = ""
    trace: str | None = None


class NewLine(msgspec.Struct, gc=False):
    """A row of `order_lines`, its fields in the order in which they are written."""

    order_id: str
    line_no: int
    sku: str
    quantity: int
    open_quantity: int
    payable: int
    short: int = 0
    channel_line_id: str = ""


class Patch(msgspec.Struct, gc=False):
    """What later events change on an order, as NewOrder has it; None leaves a column as it is."""

    state: str | None = None
    payment_state: str | None = None
    stock_state: str | None = None
    payable: int | None = None
    pay_by: int | None = None
    held_until: int | None = None
    attempt: int | None = None
    draws: str | None = None
    counters: str | None = None
    stages: str | None = None
    attention: str | None = None


class PaymentRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `payments`."""

    order_id: str
    payment: Payment
    state: str
    reason: str
    log_id: str
    at: int


class CancelRow(NamedTuple):
    """A row of `cancels`; lines are (line, units, money)."""

    order_id: str
    cancel_id: str
    kind: str
    reason: str
    lines: list[tuple[int, int, int]]
    actor: str
    log_id: str
    at: int


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `events`; `of_new` marks the event that only a newly inserted order may have."""

    at: int
    kind: str
    order_id: str
    log_id: str
    actor: str
    data: dict[str, Any]
    of_new: bool = False


class BlockRow(NamedTuple):
    """A row of `blocks`."""

    order_id: str
    code: str
    line_id: str
    reason: str
    at: int
    by: str


class Owed(NamedTuple):
    """Units that a pool owes an order newly; `line_no` is the last line that drew from it."""

    order_id: str
    pool_id: str
    line_no: int
    units: int


class Repaid(NamedTuple):
    """Units by which a pool owes less: first to the order that gave them back, if it is one."""

    pool_id: str
    units: int
    order_id: str
    log_id: str
    at: int


class Unmapped(NamedTuple):
    """A line whose SKU is not known, in the order of `note_unmapped`'s columns."""

    tenant: str
    channel: str
    item_id: str
    sku_id: str
    sku: str
    reason: str


class Told(NamedTuple):
    """What the newest snapshot of an order says of its money and of its lines."""

    payments: list[PaymentRow]
    blocks: list[BlockRow]


@dataclass(slots=True)
class Changes:
    """What a stretch of the log changes around orders, merged order by order.

    `snapshots` are whole rows of orders that Postgres has, as their newest snapshots say; `debts`
    stand in the order of the log. `told` is by order, and ends in `payments` and `blocks`. `parts`
    are `part_of` and `per` of lines, only of orders in which there are bundles.
    """

    orders: dict[str, NewOrder] = field(default_factory=dict)
    lines: dict[tuple[str, int], NewLine] = field(default_factory=dict)
    parts: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    snapshots: dict[str, NewOrder] = field(default_factory=dict)
    snapshot_lines: dict[tuple[str, int], NewLine] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    debts: list[Owed | Repaid] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)
    patches: dict[str, Patch] = field(default_factory=dict)
    line_cuts: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    payments: list[PaymentRow] = field(default_factory=list)
    cancels: list[CancelRow] = field(default_factory=list)
    blocks: list[BlockRow] = field(default_factory=list)
    returns: list[tuple[str, str]] = field(default_factory=list)
    twice: list[tuple[str, str, int]] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
