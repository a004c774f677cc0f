"""Nouns of the desk: something that waits for a person, and what is done of it in bulk."""

from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from engine.kernel import codec
from engine.kernel.types import Tenant

COUNT_MAX: Final = 10_000  # more are not counted
IDS_MAX: Final = 500
TOUCHED_PER_CALL_MAX: Final = 500
AGE_MAX_S: Final = 10 * 365 * 86_400
SAMPLE: Final = 10
REASON_LENGTH_MAX: Final = 512
REMEDY_ID_LENGTH_MAX: Final = 64
ID_LENGTH_MAX: Final = 640

Code = Literal[
    "review", "cool_off", "address_change", "group_buy", "channel_hold", "manual",
    "refund_requested", "unmapped_sku", "short", "price", "presale",
    "needs_attention", "refund_due", "unfillable", "backorder", "rejected", "route_by_hand",
    "broken_promise", "ship_by_missed", "ack_failed", "dead_job", "dead_entry", "payment_waiting",
    "unmapped_listing", "stock_short", "webhook_failed",
]  # fmt: skip
Name = Literal[
    "approve", "lift_block", "send_to_manual", "route_again", "cancel_order", "cancel_latest",
    "retry_letter", "settle_letter", "retry_ack", "book_refund", "map_listing", "count_stock",
    "open_cell", "look_at_order", "look_at_shipment", "enable_webhook", "replay_webhook",
]  # fmt: skip
# `skipped`: it is not so any more, or the call it makes refused; nothing of it was changed.
# `failed` may be tried again, `left` was not come to.
Outcome = Literal["done", "requested", "skipped", "failed", "left"]


class RemedyView(codec.Answer, frozen=True):
    """What can be done of it: the call that does it, and whether `:remedy` does it of many."""

    remedy: Name
    call: str
    bulk: bool


class ItemView(codec.Answer, frozen=True):
    """Something that waits for a person; the most urgent is the one that has to leave first.

    `subject` is the shipment, parcel, call, log entry, payment, link, group of nodes or webhook
    that it is about besides. `at_risk` is what the line asks for where one is named, of a shipment
    what its order asks for of its units, where money is to go back that money, else what the whole
    order asks for; null where nobody can say. No address and no name of a person.
    """

    id: str
    code: Code
    order_id: str
    channel: str
    channel_order_id: str
    line_id: str
    sku: str
    subject: str
    since: str
    age_seconds: int
    ship_by: str | None
    overdue: bool
    at_risk: codec.Money | None
    reason: str
    remedies: list[RemedyView]


class ItemPage(codec.Answer, frozen=True):
    """What waits, by `ship_by`, then by age."""

    items: list[ItemView]
    next_cursor: str | None


class SumView(codec.Answer, frozen=True):
    """How much waits of a code in a channel; `capped`: of this code there is more than is counted.

    `next_ship_by` is the first one that has not passed, `overdue` counts those that have.
    """

    code: Code
    channel: str
    count: int
    capped: bool
    overdue: int
    at_risk: list[codec.Money]
    oldest: str
    oldest_seconds: int
    next_ship_by: str | None


class SumPage(codec.Answer, frozen=True):
    """How much waits, by code and channel."""

    items: list[SumView]


class RemedyIn(codec.Wire, frozen=True):
    """What to do, of what: `ids`, or what the filters of the list leave.

    A real run names itself, and says how many it may touch at most: `expect_max` as the dry run
    counted them. `limit` bounds how many of them it touches now, the most urgent first.
    """

    remedy: Name
    code: Code | None = None
    channel: Annotated[str, msgspec.Meta(max_length=128)] = ""
    sku: Annotated[str, msgspec.Meta(max_length=128)] = ""
    overdue: bool = False
    min_age: Annotated[int, msgspec.Meta(ge=0, le=AGE_MAX_S)] = 0
    ship_by_before: codec.Instant | None = None
    ids: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX)]],
        msgspec.Meta(max_length=IDS_MAX),
    ] = msgspec.field(default_factory=list)
    dry_run: bool = True
    limit: Annotated[int, msgspec.Meta(ge=1, le=TOUCHED_PER_CALL_MAX)] = 100
    expect_max: Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)] | None = None
    remedy_id: Annotated[str, msgspec.Meta(max_length=REMEDY_ID_LENGTH_MAX)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=REASON_LENGTH_MAX)] = ""


class TargetView(codec.Answer, frozen=True):
    """What would be touched; of `cancel_latest` an order of the SKU that is short."""

    id: str
    code: Code
    order_id: str


class ResultView(codec.Answer, frozen=True):
    """What became of one."""

    id: str
    order_id: str
    outcome: Outcome
    detail: str


class RemedyAnswer(codec.Answer, frozen=True):
    """How many it touches, and what became of each; `capped`: there are more than are counted.

    A dry run has a `sample` and no results; the same `remedy_id` again gets the same answer.
    """

    remedy: Name
    remedy_id: str
    dry_run: bool
    touches: int
    capped: bool
    sample: list[TargetView]
    results: list[ResultView]
    outcomes: dict[str, int]


class Wanted(NamedTuple):
    """Which items; `channel` "" is any, `codes` and `ids` None are all.

    `after` is what was shown last: its `ship_by`, `since` and id.
    """

    tenant: Tenant
    channel: str = ""
    codes: tuple[str, ...] | None = None
    sku: str = ""
    overdue: bool = False
    since_before: datetime | None = None
    ship_by_before: datetime | None = None
    ids: tuple[str, ...] | None = None
    after: tuple[datetime | None, datetime, str] | None = None


class Item(NamedTuple):
    """A row of what waits, in the order of the statement's columns."""

    id: str
    code: Code
    order_id: str
    channel: str
    channel_order_id: str
    line_id: str
    sku: str
    subject: str
    since: datetime
    ship_by: datetime | None
    amount: int | None
    currency: str
    reason: str


class Sum(NamedTuple):
    """A row of the summary; `of_code` is how many of the code were looked at in all."""

    code: Code
    channel: str
    currency: str
    items: int
    overdue: int
    amount: int | None
    oldest: datetime
    next_ship_by: datetime | None
    of_code: int


class Target(msgspec.Struct, frozen=True, array_like=True):
    """One thing to touch, as it is kept until it was."""

    id: str
    code: Code
    order_id: str
    channel: str
    line_id: str
    subject: str
    since: datetime
