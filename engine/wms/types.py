"""The port to a warehouse's system: what it is asked, what it answers, what it tells of itself.

Amounts are minor units; weights are g, sizes mm, volumes cm³. What is said of a person never shows
in a text that might reach a log.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

from engine.physical.types.facts import Condition
from engine.shipments.types.shipments import Line as Planned
from engine.shipments.types.shipments import Mode, Reason

Language = Literal["qimen", "plain"]
ConsignmentKind = Literal["sale", "exchange", "reship"]
# A cancel may be PENDING: the warehouse took note, and a report will say what came of it.
Outcome = Literal["DONE", "PENDING", "REFUSED", "UNKNOWN"]
# What the codes that a warehouse refuses with stand for; any other one says just that it refuses.
Meaning = Literal["exists", "no_such_order", "too_late", "cancelled", "invalid", "busy"]
ReportKind = Literal[
    "ACCEPTED", "PROGRESS", "SHIPPED", "PARTLY_SHIPPED", "CANCELLED", "CANCEL_FAILED", "REJECTED",
    "LACK", "STOCK_DELTA", "STOCK_COUNT",
]  # fmt: skip
# How far a PROGRESS is. `left` is a hint only: what left is told by a report that says in which
# boxes. `intercepted` is a carrier's answer, `trouble` is for people to read.
Step = Literal[
    "", "picked", "packed", "left", "signed", "refused", "intercepted", "intercept_failed",
    "trouble", "other",
]  # fmt: skip
SeenState = Literal["none", "open", "cancelled", "partly_shipped", "shipped"]


class Contact(NamedTuple):
    """Who sends or receives, and where; `oaid` stands for what a marketplace does not show us."""

    name: str
    mobile: str
    province: str
    city: str
    address: str
    district: str = ""
    town: str = ""
    phone: str = ""
    postcode: str = ""
    country: str = ""
    oaid: str = ""

    def __repr__(self) -> str:
        """Say nothing of the person."""
        return "Contact(…)"


class Line(NamedTuple):
    """Units of one SKU; `ref` names the order's line, and is sent and told back as it is.

    `price` is what one unit costs the buyer, `list_price` what it would without discounts;
    `discount` is of all its units.
    """

    ref: str
    sku: str
    units: int
    price: int
    list_price: int | None = None
    discount: int | None = None
    owner: str = ""
    condition: Condition = "good"
    batch: str = ""
    produced_on: date | None = None
    expires_on: date | None = None
    order_code: str = ""  # the channel's own, and that of its line
    line_code: str = ""


class Consignment(NamedTuple):
    """What a warehouse is asked to send; made anew from the order, it is the same again.

    `due` is what is to be collected from the buyer, `paid` what he has paid.
    """

    consignment_id: str
    kind: ConsignmentKind
    created_at: datetime
    placed_at: datetime
    shop: str
    carrier: str
    receiver: Contact
    sender: Contact
    lines: tuple[Line, ...]
    platform: str = ""
    waybill: str = ""
    paid_at: datetime | None = None
    payment: str = ""
    total: int | None = None
    items: int | None = None
    discount: int | None = None
    freight: int | None = None
    due: int | None = None
    paid: int | None = None
    flags: tuple[str, ...] = ()
    delivery: str = ""
    ship_by: datetime | None = None
    deliver_by: datetime | None = None
    note: str = ""


class Reference(NamedTuple):
    """A consignment that a warehouse may have."""

    consignment_id: str
    kind: ConsignmentKind = "sale"
    wms_ref: str = ""


class Reply(NamedTuple):
    """What a warehouse answered to a call, or that it did not.

    UNKNOWN is no answer, a torn one or one of 5xx: what was asked may have been done. `code` is a
    `Meaning` where the warehouse's own code stands for one, its own code otherwise. A refusal that
    is `permanent` would be repeated.
    """

    outcome: Outcome
    wms_ref: str = ""
    code: str = ""
    text: str = ""
    permanent: bool = False


class Seen(NamedTuple):
    """What a warehouse has of a consignment; `reply` is UNKNOWN or REFUSED where it did not say."""

    reply: Reply
    state: SeenState = "none"


class Item(NamedTuple):
    """Units of a SKU in a report; `line` is the `ref` of a line, or empty where it was not told.

    Of a STOCK_DELTA `units` are signed; `total` is what is there then. `cause` is the code of the
    order behind it, `reference` what tells this change from every other one of the warehouse.
    """

    sku: str
    units: int
    line: str = ""
    condition: Condition = "good"
    batch: str = ""
    owner: str = ""
    total: int | None = None
    reference: str = ""
    cause: str = ""
    at: datetime | None = None


class Package(NamedTuple):
    """A box as a warehouse tells of it; None and "" are what it did not say."""

    carrier: str
    waybill: str
    code: str = ""
    grams: int | None = None
    mm: tuple[int, int, int] | None = None
    cm3: int | None = None
    items: tuple[Item, ...] = ()
    serials: tuple[str, ...] = ()


class Report(NamedTuple):
    """Something that a warehouse told; the same `report_id` again is the same report.

    `consignment_id` is "" of stock; `reason` is why something is not sent, where it has a word for
    it that stands for one of ours. `at` is by the warehouse's clock, or when it came here. `page`
    and `pages` are of reports that come in parts.
    """

    kind: ReportKind
    report_id: str
    consignment_id: str
    at: datetime
    step: Step = ""
    packages: tuple[Package, ...] = ()
    lines: tuple[Item, ...] = ()
    text: str = ""
    wms_ref: str = ""
    page: int = 1
    pages: int = 1
    reason: Reason | Literal[""] = ""


class Access(NamedTuple):
    """How a node's system is reached; `codes` are its own words for what it refuses.

    `reasons` are its words for why it does not send something.

    `warehouse`, `owner`, `app_key` and `customer` are names that it knows us by. `secrets` are in
    force, the first one is what we sign with; the others are on their way out or in.
    """

    node: str
    language: Language
    url: str
    secrets: tuple[str, ...]
    warehouse: str = ""
    owner: str = ""
    app_key: str = ""
    customer: str = ""
    codes: Mapping[str, Meaning] = {}
    reasons: Mapping[str, Reason] = {}
    cancels_later: bool = False  # a cancel that succeeded was taken note of, no more
    can_query: bool = False

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Access({self.node}, {self.language})"


class Intercept(NamedTuple):
    """Parcels that a carrier is asked to turn round."""

    order_id: str
    service: str
    waybills: tuple[str, ...]


class Member(NamedTuple):
    """A shipment in a consignment, and what is in its parcels so far, by (carrier, waybill)."""

    shipment_id: str
    order_id: str
    lines: tuple[Planned, ...]
    parcels: Mapping[tuple[str, str], tuple[tuple[int, int], ...]]


ON_DELIVERY: Final = "on_delivery"  # the state of a payment that is made at the door


class Facts(NamedTuple):
    """What an order says; `lines` are (payable, units) by line, `document` is as it was posted."""

    order_id: str
    channel: str
    channel_order_id: str
    kind: str
    payable: int
    paid: int
    placed_at: datetime
    accepted_at: datetime
    payment_state: str
    payment_id: str
    paid_at: datetime | None
    lines: Mapping[int, tuple[int, int]]
    ship_to: Mapping[str, Any]
    document: Mapping[str, Any]


class Warehouse(Protocol):
    """One node's system."""

    async def create(self, one: Consignment) -> Reply:
        """Ask it to send something; the same `consignment_id` again changes nothing there."""
        ...

    async def cancel(self, one: Reference, reason: str) -> Reply:
        """Ask it not to send something; only DONE says that it will not."""
        ...

    async def query(self, one: Reference) -> Seen:
        """Ask what it has of a consignment; `NotImplementedError` where it cannot be asked."""
        ...


class Sold(NamedTuple):
    """A line of an order: what is to be paid for it; `part_of` is the bundle it is a part of."""

    payable: int
    part_of: int = 0


class Content(NamedTuple):
    """A shipment in a consignment: units by line, g as it was quoted, what its node collects."""

    shipment_id: str
    order_id: str
    node: str
    mode: Mode
    units: tuple[tuple[int, int], ...]
    grams: int
    due: int


class Asked(NamedTuple):
    """Units by line of a live shipment, and what its node was asked to collect; None: not yet."""

    units: tuple[tuple[int, int], ...]
    due: int | None


class Due(NamedTuple):
    """What is to be paid for an order at the door; `live` are its shipments that stand, by id."""

    due: int
    wanted: tuple[tuple[int, int], ...]
    sold: Mapping[int, Sold]
    live: Mapping[str, Asked]
