"""What is told of each event; a field that is not here does not leave. Money is minor units."""

import msgspec

from engine.kernel import codec


class OfOrderData(codec.Answer, frozen=True):
    """What all events of orders have."""

    order_id: str = ""
    channel: str = ""
    channel_order_id: str = ""


class ReservedData(OfOrderData, frozen=True):
    """An order was taken; `state` C: it is paid already, or pays on delivery, else P."""

    state: str = ""
    total: int = 0
    currency: str = ""


class SyncedData(OfOrderData, frozen=True):
    """A marketplace's order, as its newest snapshot has it; `short`: units that we lack."""

    version: str = ""
    source_status: str = ""
    state: str = ""
    payment_state: str = ""
    total: int = 0
    currency: str = ""
    short: int = 0


class PaymentData(OfOrderData, frozen=True):
    """A payment that counts."""

    payment_id: str = ""
    amount: int = 0


class RefundDueData(PaymentData, frozen=True):
    """Money that is to be given back, and the word for why."""

    reason: str = ""


class CancelledData(OfOrderData, frozen=True):
    """A cancel; `total` is what the order costs now, `refund` what is given back of it."""

    cancel_id: str = ""
    total: int | None = None
    refund: int | None = None


class CancelRefusedData(OfOrderData, frozen=True):
    """A cancel that came too late; `answer` is what the nodes said."""

    cancel_id: str = ""
    answer: str = ""


class ReplacedData(OfOrderData, frozen=True):
    """`by` is the order that took its place."""

    by: str = ""


class SplitData(OfOrderData, frozen=True):
    """`into` is the order that has the rest."""

    into: str = ""


class DeadlineData(OfOrderData, frozen=True):
    """Until when it may be paid, and is held."""

    pay_by: str | None = None
    held_until: str | None = None


class BlockedData(OfOrderData, frozen=True):
    """A block, by its code; of one line, or of all (`line_id` "")."""

    code: str = ""
    line_id: str = ""
    until: str | None = None


class RepaidData(OfOrderData, frozen=True):
    """Units that came, and how many are still lacking."""

    units: int = 0
    lacking: int = 0


class PromiseData(OfOrderData, frozen=True):
    """Units of one line."""

    line_no: int = 0
    sku: str = ""
    units: int = 0


class ReviewedData(OfOrderData, frozen=True):
    """What the rules said, and which one."""

    revision: int | str = 0
    verdict: str = ""
    rule: str = ""


class RoutedPartData(codec.Answer, frozen=True):
    """A shipment, and the node that sends it."""

    shipment_id: str = ""
    node: str = ""


class RoutedData(OfOrderData, frozen=True):
    """By which plan, and what goes from where."""

    plan: str = ""
    version: int | str = 0
    rule: str | None = None
    shipments: list[RoutedPartData] = msgspec.field(default_factory=list)


class ParkedData(OfOrderData, frozen=True):
    """The queue it waits in, and why."""

    queue: str = ""
    reason: str = ""


class ReleasedData(OfOrderData, frozen=True):
    """What the node knows it by."""

    consignment_id: str = ""


class RefundData(OfOrderData, frozen=True):
    """A refund."""

    refund_id: str = ""
    kind: str = ""
    amount: int = 0
    currency: str = ""
    payment_state: str = ""


class StopData(OfOrderData, frozen=True):
    """For which cancel, refund or change; `answer` "" while there is none."""

    stop_id: int | str = ""
    cause: str = ""
    cause_id: str = ""
    answer: str = ""


class AddressData(OfOrderData, frozen=True):
    """A change of address; the address itself is read with the order."""

    change_id: str = ""
    revision: int | str | None = None


class ShipmentData(OfOrderData, frozen=True):
    """A shipment."""

    shipment_id: str = ""
    node: str = ""


class MilestoneData(OfOrderData, frozen=True):
    """How far a parcel is."""

    parcel_id: str = ""
    shipment_id: str = ""
    carrier: str = ""
    waybill: str = ""
    milestone: str = ""
    at: str = ""


class ClockData(OfOrderData, frozen=True):
    """What a stretch of a parcel's way was to be done by."""

    parcel_id: str = ""
    shipment_id: str = ""
    leg: str = ""
    service: str = ""
    due_at: str = ""


class AckData(OfOrderData, frozen=True):
    """A parcel of which its marketplace does not know."""

    parcel_id: str = ""


class ReturnedData(OfOrderData, frozen=True):
    """Units that came back."""

    return_id: str = ""


class StockAlertData(codec.Answer, frozen=True):
    """What of stock needs a look."""

    kind: str = ""
    sku: str = ""
    channel: str = ""
    severity: str = ""


class StockShortData(codec.Answer, frozen=True):
    """Units that are lacking."""

    sku: str = ""
    node_group: str = ""
    units: int = 0


class ListingDriftData(codec.Answer, frozen=True):
    """A listing that shows another number than it was told."""

    channel: str = ""
    item_id: str = ""
    sku_id: str = ""
    sku: str = ""
    drift: int | None = None


class PlanActivatedData(codec.Answer, frozen=True):
    """A routing plan, and its version."""

    plan: str = ""
    version: int | str = 0


class CarrierRegionData(codec.Answer, frozen=True):
    """Where a carrier's service does not go, or goes again."""

    service: str = ""
    region: str = ""


class CellData(codec.Answer, frozen=True):
    """A cell."""

    cell: str = ""


class EndpointDisabledData(codec.Answer, frozen=True):
    """An endpoint that is told nothing any more: `gone` (410), or `failing` for three days."""

    endpoint_id: str = ""
    cause: str = ""


class TestedData(codec.Answer, frozen=True):
    """Nothing happened."""

    endpoint_id: str = ""
