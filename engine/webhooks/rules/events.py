"""The public vocabulary: what each kind of event is called outside, and what is told of it; pure.

A payload is a struct, and only its fields go out: an address, a phone or a person's words cannot,
whatever an event has in it. Who wants more reads the order by its id. A kind that is not here stays
inside.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.webhooks.types.payloads import (
    AckData,
    AddressData,
    BlockedData,
    CancelledData,
    CancelRefusedData,
    CarrierRegionData,
    CellData,
    ClockData,
    DeadlineData,
    EndpointDisabledData,
    ListingDriftData,
    MilestoneData,
    OfOrderData,
    ParkedData,
    PaymentData,
    PlanActivatedData,
    PromiseData,
    RefundData,
    RefundDueData,
    ReleasedData,
    RepaidData,
    ReplacedData,
    ReservedData,
    ReturnedData,
    ReviewedData,
    RoutedData,
    ShipmentData,
    SplitData,
    StockAlertData,
    StockShortData,
    StopData,
    SyncedData,
    TestedData,
)
from engine.webhooks.types.webhooks import Happened, Message

MESSAGE_ID: Final = "evt_{id}_{ms:x}"
TEST: Final = "webhook.test"
_INSTANTS: Final = frozenset({"pay_by", "held_until"})


class Kind(NamedTuple):
    """One type of event as it is told outside; `key` names the field whose values keep order."""

    name: str
    payload: type[codec.Answer]
    told: str
    key: str = ""


def _kinds(payload: type[codec.Answer], **told: str) -> dict[str, Kind]:
    """Of orders: inside and outside they are called the same."""
    names = {name.replace("__", "."): text for name, text in told.items()}
    return {name: Kind(name, payload, text) for name, text in names.items()}


KINDS: Final[Mapping[str, Kind]] = {
    **_kinds(ReservedData, order__reserved="An order was taken, and its units are held"),
    **_kinds(
        SyncedData,
        order__synced="A marketplace's order was seen for the first time",
        order__changed="A marketplace's order became what a newer snapshot says",
    ),
    **_kinds(
        PaymentData,
        order__paid="An order was paid",
        order__deposit_paid="A stage of a presale was paid",
    ),
    **_kinds(RefundDueData, payment__refund_due="Money is to be given back"),
    **_kinds(
        CancelledData,
        order__cancelled="An order was cancelled",
        order__lines_cancelled="Some of an order was cancelled",
    ),
    **_kinds(CancelRefusedData, order__cancel_refused="It was too late to cancel"),
    **_kinds(
        OfOrderData,
        order__expired="An order was not paid in time, and its units are free",
        order__duplicate="An order was taken a second time, and the second one given back",
        order__needs_attention="An order needs a person",
    ),
    **_kinds(ReplacedData, order__replaced="A newer order of its buyer took an order's place"),
    **_kinds(SplitData, order__split="Some of an order became another one"),
    **_kinds(
        DeadlineData,
        order__deadline_moved="An order may be paid until another instant",
        hold__expiring="An order is about to expire",
    ),
    **_kinds(
        BlockedData,
        order__blocked="An order is not to be sent for now",
        order__unblocked="A reason not to send an order is gone",
    ),
    **_kinds(RepaidData, order__short_repaid="Units came that an order was short of"),
    **_kinds(
        PromiseData,
        order__promise_broken="No node can send what was sold",
        order__promise_kept="A node can send, after all, what was sold",
    ),
    **_kinds(ReviewedData, order__reviewed="Rules judged an order"),
    **_kinds(RoutedData, order__routed="It was decided which nodes send an order"),
    **_kinds(
        ParkedData,
        order__parked="An order waits in a queue of routing",
        order__queue_overdue="An order waits there for too long",
    ),
    **_kinds(ReleasedData, order__released="A node was told to send"),
    **_kinds(
        RefundData,
        order__refund_requested="A refund was asked for",
        order__refunded="Money was given back",
        order__refund_rejected="A refund was refused",
    ),
    **_kinds(
        StopData,
        order__stop_requested="An order is to be stopped at its nodes",
        order__stop_answered="It was stopped, or it was too late",
    ),
    **_kinds(
        AddressData,
        order__address_changed="An order goes to another address",
        order__address_refused="It was too late for another address",
        order__address_told="A marketplace told another address",
    ),
    **_kinds(
        ShipmentData,
        shipment__accepted="A node accepted a shipment",
        shipment__sent="A node was given a shipment",
        shipment__shipped="Something of a shipment left its node",
        shipment__short="A node has less than it was to send",
        shipment__rejected="A node will not send a shipment",
        shipment__cancelled="A shipment is not to be sent any more",
        shipment__merged="A shipment goes together with others",
        shipment__unmerged="A shipment goes alone again",
        shipment__call_dead="A node's system could not be told",
    ),
    **_kinds(MilestoneData, parcel__milestone="A parcel came further"),
    **_kinds(
        ClockData,
        parcel__near_breach="A parcel is about to be late",
        parcel__breached="A parcel is late",
    ),
    **_kinds(
        AckData,
        ack__failed="A marketplace did not take what was shipped",
        ack__overdue="A marketplace was not told in time what was shipped",
    ),
    **_kinds(ReturnedData, stock__returned="An order's units are for sale again"),
    "stock_alert": Kind("stock.alert", StockAlertData, "Stock needs a look", "sku"),
    "stock_alert_over": Kind("stock.alert_over", StockAlertData, "It does not any more", "sku"),
    "stock_short": Kind("stock.short", StockShortData, "Less is there than was sold", "sku"),
    "stock_short_ended": Kind("stock.short_ended", StockShortData, "There is enough again", "sku"),
    "listing_drift": Kind(
        "listing.drift", ListingDriftData, "A marketplace shows another number", "item_id"
    ),
    "plan.activated": Kind(
        "plan.activated", PlanActivatedData, "A routing plan is in force", "plan"
    ),
    "carrier.region_off": Kind(
        "carrier.region_off", CarrierRegionData, "A carrier does not go to a region", "service"
    ),
    "carrier.region_on": Kind(
        "carrier.region_on", CarrierRegionData, "A carrier goes there again", "service"
    ),
    "cell_closed": Kind("cell.closed", CellData, "Nothing is sold for now", "cell"),
    "cell_opened": Kind("cell.opened", CellData, "It is sold again", "cell"),
    "webhook.disabled": Kind(
        "webhook.disabled",
        EndpointDisabledData,
        "An endpoint is told nothing any more",
        "endpoint_id",
    ),
}
TESTED: Final = Kind(TEST, TestedData, "Somebody asked for a test; its id begins with test_")
TYPES: Final[Mapping[str, Kind]] = {
    one.name: one for one in sorted((*KINDS.values(), TESTED), key=lambda kind: kind.name)
}


def message_of(one: Happened) -> Message | None:
    """Return what is told of an event; None of what stays inside."""
    kind = KINDS.get(one.kind)
    if kind is None:
        return None
    about = one.about._asdict() if one.about else {}
    told: dict[str, Any] = {**one.data, **about}
    for name in _INSTANTS & told.keys():
        if isinstance(told[name], int):
            told[name] = rfc3339(told[name])
    at_ms = to_ms(one.at)
    try:
        payload: Any = msgspec.convert(told, kind.payload, strict=False)
    except msgspec.ValidationError:  # some field is not as we know it: that it happened still is
        payload = {name: value for name, value in about.items() if isinstance(value, str)}
    key = one.about.order_id if one.about else str(told.get(kind.key) or "")
    channel = one.about.channel if one.about else str(told.get("channel") or "")
    return Message(
        MESSAGE_ID.format(id=one.id, ms=at_ms), kind.name, channel, key, one.at,
        one.trace, body(kind.name, at_ms, payload),
    )  # fmt: skip


def body(name: str, at_ms: int, payload: object) -> str:
    """Return a message's body: the same bytes at each try."""
    return codec.encode({"type": name, "timestamp": rfc3339(at_ms), "data": payload}).decode()
