"""What a warehouse is told of a consignment, made from the orders whose goods are in it.

It is made anew for each call and never stored, so names and addresses stand in the order alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.kernel import codec
from engine.kernel.ids import line_id
from engine.places.rules.regions import Regions, chain
from engine.shipments.types.shipments import Shipment
from engine.wms.types import Consignment, ConsignmentKind, Contact, Facts, Line

_KINDS: Final[Mapping[str, ConsignmentKind]] = {"exchange": "exchange", "reship": "reship"}
_CITY: Final = "00"  # how codes of cities end, and those of provinces (GB/T 2260)
_PROVINCE: Final = "0000"


def consignment(
    shipments: Sequence[Shipment],
    orders: Mapping[str, Facts],
    sender: Contact,
    carrier: str,
    dues: Mapping[str, int],
    regions: Regions,
) -> Consignment:
    """Return the consignment of these shipments; the first order speaks for all of them.

    `dues` is what each collects at the door: not what its whole order is to pay, for other parcels
    of it collect their shares. `regions` name the province and the city of a consignee of whom no
    more than a region's code is known.
    """
    first = orders[shipments[0].order_id]
    facts = [orders[order_id] for order_id in dict.fromkeys(one.order_id for one in shipments)]
    due = sum(dues.get(one.shipment_id, 0) for one in shipments)
    lines = tuple(line for one in shipments for line in _lines(one, orders[one.order_id]))
    promise = first.document.get("promise") or {}
    return Consignment(
        shipments[0].consignment_id,
        _KINDS.get(first.kind, "sale"),
        max(one.accepted_at for one in facts),
        first.placed_at,
        first.channel,
        carrier,
        _receiver(first.ship_to, regions),
        sender,
        lines,
        paid_at=first.paid_at,
        payment=first.payment_id,
        items=sum(line.price * line.units for line in lines),
        due=due,
        paid=sum(one.paid for one in facts),
        flags=("COD",) if due else (),
        ship_by=codec.moment(promise.get("ship_by")),
        deliver_by=codec.moment(promise.get("deliver_by")),
        note=str(first.document.get("buyer_note") or ""),
    )


def _lines(one: Shipment, order: Facts) -> list[Line]:
    posted = order.document.get("lines") or []
    found = []
    for line in one.lines:
        payable, units = order.lines.get(line.line_no, (0, 0))
        told = posted[line.line_no - 1] if line.line_no <= len(posted) else {}
        list_price = (told.get("unit_price") or {}).get("amount")
        found.append(
            Line(
                line_id(one.order_id, line.line_no),
                line.sku,
                line.units,
                payable // units if units else 0,
                list_price=list_price,
                order_code=order.channel_order_id,
                line_code=str(told.get("channel_line_id") or ""),
            )
        )
    return found


def _receiver(told: Mapping[str, Any], regions: Regions) -> Contact:
    def text(name: str) -> str:
        return str(told.get(name) or "")

    province, city = _named(text("region_code"), regions)
    return Contact(
        text("name"),
        text("phone"),
        text("province") or province,
        text("city") or city,
        text("address"),
        district=text("district"),
        town=text("town"),
        postcode=text("postcode"),
        country=text("country"),
        oaid=text("consignee_id"),
    )


def _named(code: str, regions: Regions) -> tuple[str, str]:
    """Return the province and the city that a region lies in, "" of what is not known."""
    province, city = "", ""
    for one in chain(code):
        if one.endswith(_PROVINCE):
            province = regions.name(one)
        elif one.endswith(_CITY):
            city = regions.name(one)
    return province, city
