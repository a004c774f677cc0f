"""Nouns of a reservation: the order as posted, the claim made of it, and what the cell answered."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from engine.kernel.codec import Decoder, Document, Identifier, Instant, Money, Wire
from engine.kernel.limits import LINES_PER_ORDER_MAX, QUANTITY_MAX
from engine.kernel.types import OrderId
from engine.reservation.bundles import Part
from engine.reservation.stages import Due

PENDING: Final = "P"  # a hold's state; the others are C confirmed, R released, E expired

Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]
Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Text = Annotated[str, msgspec.Meta(max_length=512)]


class Discount(Wire, frozen=True):
    """What was taken off a line, and who bears it."""

    kind: Identifier
    bearer: Literal["seller", "platform", "creator"]
    amount: Money


class ListingRef(Wire, frozen=True):
    """A sellable link of the channel."""

    item_id: Identifier
    sku_id: Text = ""


class LineIn(Wire, frozen=True):
    """One line as posted.

    `payable` is the line's total; without it, unit price times quantity less discounts.
    """

    sku: Identifier
    quantity: Quantity
    unit_price: Money
    channel_line_id: Text = ""
    listing: ListingRef | None = None
    kind: Literal["sale", "gift", "bundle", "service", "virtual"] = "sale"
    parent_line_id: Text = ""
    discounts: Annotated[list[Discount], msgspec.Meta(max_length=32)] = msgspec.field(
        default_factory=list
    )
    payable: Money | None = None
    tax: Money | None = None
    on_short: Literal["refuse", "owe", "drop"] = "refuse"
    ship_with: Text = ""
    node: Text = ""
    ship_by: Instant | None = None


class PaymentStatus(Wire, frozen=True):
    """Whether the order arrives paid, to be paid, or to be paid on delivery."""

    status: Literal["pending", "paid", "on_delivery"] = "pending"
    method: Text = ""


class PaymentIn(Wire, frozen=True):
    """One payment; `payment_id` is unique within its order and makes a repeat harmless."""

    payment_id: Identifier
    amount: Money
    method: Text = ""
    paid_at: Instant | None = None
    stage: Literal["full", "deposit", "balance"] = "full"


class Amounts(Wire, frozen=True):
    """Totals of the order; `payable` is what the buyer is asked for."""

    items: Money | None = None
    discount: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    payable: Money | None = None


class ShipTo(Wire, frozen=True):
    """Where the goods go; it never enters the cell but inside the log's payload.

    Coordinates come both or not at all, in degrees, by the datum of the nodes' own. Without them
    distances are those of regions.
    """

    name: Text = ""
    phone: Text = ""
    country: Text = ""
    province: Text = ""
    city: Text = ""
    district: Text = ""
    town: Text = ""
    region_code: Text = ""
    address: Text = ""
    postcode: Text = ""
    consignee_id: Text = ""
    merge_key: Text = ""
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    revision: Small = 1


class Promise(Wire, frozen=True):
    """What the buyer was promised."""

    ship_by: Instant | None = None
    deliver_by: Instant | None = None
    tier: Text = ""


class Invoice(Wire, frozen=True):
    """The invoice the buyer wants."""

    kind: Text = "none"
    title: Text = ""
    tax_id: Text = ""


class Attribution(Wire, frozen=True):
    """Who brought the sale about."""

    store: Text = ""
    guide: Text = ""
    live_room: Text = ""
    creator: Text = ""


class Relation(Wire, frozen=True):
    """Another order this one came from."""

    kind: Identifier
    channel_order_id: Identifier


class BuyerKeys(Wire, frozen=True):
    """Hashes by which a campaign may count one buyer with several accounts."""

    phone: Text = ""
    address: Text = ""
    device: Text = ""


class OrderIn(Wire, frozen=True):
    """An order as posted; the first three fields are required.

    The relation `split_from` names an unpaid order of the same buyer: this one takes its units over
    and keeps its deadline. A `ticket` is of the campaign's waiting room, if it has one.
    """

    channel: Identifier
    channel_order_id: Identifier
    lines: Annotated[list[LineIn], msgspec.Meta(min_length=1, max_length=LINES_PER_ORDER_MAX)]
    buyer_id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    buyer_keys: BuyerKeys = BuyerKeys()
    campaign: Annotated[str, msgspec.Meta(max_length=128)] = ""
    placed_at: Instant | None = None
    kind: Literal["sale", "exchange", "reship", "sample"] = "sale"
    replace_unpaid: bool = False
    tags: Annotated[list[Text], msgspec.Meta(max_length=64)] = msgspec.field(default_factory=list)
    extensions: Document = msgspec.field(default_factory=dict)
    payment: PaymentStatus = PaymentStatus()
    payments: Annotated[list[PaymentIn], msgspec.Meta(max_length=16)] = msgspec.field(
        default_factory=list
    )
    amounts: Amounts = Amounts()
    ship_to: ShipTo | None = None
    promise: Promise | None = None
    invoice: Invoice | None = None
    attribution: Attribution | None = None
    relations: Annotated[list[Relation], msgspec.Meta(max_length=64)] = msgspec.field(
        default_factory=list
    )
    fulfilled_by: Literal["merchant", "platform"] = "merchant"
    buyer_note: Text = ""
    seller_note: Text = ""
    flag: Small = 0
    version: Text = ""
    source_status: Text = ""
    ticket: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Claim(NamedTuple):
    """What the scripts read of an order, in the order of `lua/include/take.lua`.

    Money is minor units of `currency`; `lines` are (sku, quantity, payable, on_short), the last a
    mark where bundles are (`engine/reservation/bundles.py`); `settle` is "" while it must still be
    paid.
    """

    order_id: OrderId
    fingerprint: str
    tenant: str
    channel: str
    campaign: str
    buyer: str
    currency: str
    total: int
    settle: str
    method: str
    replace: int
    lines: tuple[tuple[str, int, int, str], ...]
    payment: tuple[str, int, str, str, int, str, str] | tuple[()]
    buyer_keys: tuple[tuple[str, str], ...]
    placed_at: int
    actor: str
    split_from: str = ""
    ticket: str = ""


class TicketClaim(NamedTuple):
    """What `ticket` reads: who wants to buy where, and the place that he has, "" for none yet."""

    tenant: str
    campaign: str
    buyer: str
    place: str


class Turn(NamedTuple):
    """A buyer's turn in a waiting room, ms: until when his ticket holds, or when to ask again."""

    at: int
    ticket: str = ""
    place: str = ""
    ahead: int = 0


class SnapshotClaim(NamedTuple):
    """What `sync` reads of a snapshot: a claim's fields, and those of `lua/include/snapshot.lua`.

    `fingerprint` is the digest of the whole snapshot, `lines` are (sku, units wanted, payable), the
    sku "" when nobody here knows it. `state` is P unpaid, C sold, R closed; `recalled` is the hold
    as Postgres has it, for an order the cell may have forgotten. `parts` are (line, component,
    units in each) of lines that are bundles by now.
    """

    order_id: OrderId
    fingerprint: str
    tenant: str
    channel: str
    campaign: str
    buyer: str
    currency: str
    total: int
    settle: str
    method: str
    replace: int
    lines: tuple[tuple[str, int, int], ...]
    payment: tuple[()]
    buyer_keys: tuple[()]
    placed_at: int
    actor: str
    split_from: str
    version: str
    state: str
    progress: int
    line_keys: tuple[str, ...]
    recalled: Sequence[Any] = ()
    parts: tuple[tuple[int, str, int], ...] = ()

    @property
    def weight(self) -> int:
        """How many lines the cell looks at."""
        return len(self.lines) + len(self.parts)


class Snapshot(NamedTuple):
    """A snapshot on its way to the cell; `payload` is what the recorder reads of it."""

    claim: SnapshotClaim
    payload: bytes


class Synced(msgspec.Struct, frozen=True, gc=False):
    """What became of a snapshot.

    `version` is the newest that the cell has seen; `short` are (line, units, sku) that were lacking
    when it was judged, some of them perhaps repaid since; `unmapped` and `below_floor` are lines.
    """

    word: Literal["created", "updated", "unchanged", "stale"]
    version: str
    short: list[tuple[int, int, str]]
    unmapped: list[int]
    below_floor: list[int]
    log_id: str


class Held(msgspec.Struct, frozen=True, gc=False):
    """An accepted claim, first or repeated: `state` is P, C, R or E; `pay_by` 0 means none.

    Of a repeated one `parts` are the components it was accepted with; None where only its hold says
    them (`bundled`), or where there are none.
    """

    order_id: OrderId
    state: str
    pay_by: int
    total: int
    dropped: list[int]
    repeated: bool
    log_id: str = ""
    stages: list[Due] = msgspec.field(default_factory=list)
    parts: list[Part] | None = None
    bundled: bool = False


class HoldRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A hold as the cell keeps it (fields as in `lua/include/hold.lua`)."""

    layout: int
    state: str
    attempt: int
    fingerprint: str
    tenant: str
    channel: str
    campaign: str
    buyer: str
    currency: str
    total: int
    pay_by: int
    held_until: int
    lines: list[tuple[str, int, int, str]]
    draws: list[tuple[int, str, int]]
    counters: list[tuple[str, int, int]]
    payments: list[list[Any]]
    cancels: list[str]
    warned: int
    since: int
    dropped: list[int]
    buyer_keys: list[tuple[str, str]] = []
    stages: list[Any] = []
    paid: int = 0
    version: str = ""
    progress: int = 0
    line_keys: list[str] = []
    shorts: list[tuple[str, int, int]] = []
    unmapped: list[int] = []
    below_floor: list[int] = []


class PaymentClaim(NamedTuple):
    """One payment for `confirm` and `rehold`, in the order of `lua/include/pay.lua`."""

    order_id: OrderId
    payment_id: str
    amount: int
    currency: str
    method: str
    paid_at: int
    stage: str
    actor: str
    buyer_keys: tuple[tuple[str, str], ...] = ()


class Paid(NamedTuple):
    """What became of a payment; `reason` says why a refund is due."""

    outcome: Literal["applied", "refund_due", "unknown_order"]
    reason: str = ""
    log_id: str = ""


class ReleaseClaim(NamedTuple):
    """One release, in the order of `lua/release.lua`; no lines means all of them."""

    order_id: OrderId
    cancel_id: str
    kind: str
    reason: str
    actor: str
    lines: tuple[tuple[int, int], ...] = ()


decode_order: Final = Decoder(OrderIn)
decode_hold: Final = msgspec.msgpack.Decoder(HoldRecord)
Result = list[Any]
