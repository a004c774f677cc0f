"""A shipment as it is shown."""

from typing import NamedTuple

from engine.kernel import codec


class LineShown(codec.Answer, frozen=True):
    """Units of an order's line."""

    line_id: str
    sku: str
    quantity: int


class ItemShown(codec.Answer, frozen=True):
    """Units of an order's line in a parcel."""

    line_id: str
    quantity: int


class TrackShown(codec.Answer, frozen=True):
    """What somebody (`source`) told of a parcel's way; `at` is by the teller's clock."""

    milestone: str
    at: str
    place: str
    source: str


class ParcelShown(codec.Answer, frozen=True):
    """A box that left; `items` is empty where its node did not say what is in it.

    `milestone` is how far it is, by all that was told; `tracking` is that, the earliest first.
    `mm` is length, width and height; they and `grams` are null where they were not told.
    """

    parcel_id: str
    carrier: str
    waybill: str
    items: list[ItemShown]
    grams: int | None
    mm: list[int] | None
    serials: list[str]
    shipped_at: str
    milestone: str
    milestone_at: str | None
    tracking: list[TrackShown]


class StopShown(codec.Answer, frozen=True):
    """A stop that was asked for, and what this shipment answered; "" while it is open."""

    stop_id: str
    cause: str
    asked_at: str
    answer: str
    at: str | None


class OrderStop(codec.Answer, frozen=True):
    """A stop as the order sees it: `answer` is its one answer, "" while it is open."""

    stop_id: str
    cause: str
    asked_at: str
    answer: str
    answered_at: str | None
    shipments: list[str]


class ShipmentView(codec.Answer, frozen=True):
    """What one node sends for one order; `told_at` has when it said what, by its clock.

    `quote` was made by that version of the rate card.
    """

    shipment_id: str
    order_id: str
    consignment_id: str
    node: str
    attempt: int
    mode: str
    state: str
    state_at: str
    reason: str
    service: str
    quote: codec.Money | None
    card: str
    card_version: int
    promised_ship_by: str | None
    promised_deliver_by: str | None
    wms_ref: str
    told_at: dict[str, str]
    lines: list[LineShown]
    parcels: list[ParcelShown]
    stops: list[StopShown]


class ShipmentPage(codec.Answer, frozen=True):
    """Shipments by id."""

    items: list[ShipmentView]
    next_cursor: str | None


class Wanted(NamedTuple):
    """Which shipments to show; empty texts do not filter. `after` is the id shown last."""

    tenant: str
    channel: str = ""
    shipment_id: str = ""
    order_id: str = ""
    node: str = ""
    state: str = ""
    carrier: str = ""
    ship_by_before: object = None
    after: str = ""
    limit: int = 1
