"""The rule: what a report of a consignment says of each shipment in it.

Warehouses tell SKUs; shipments have lines. Units of a SKU go to the lines that have room for them,
in their order; those beyond go to the last one, so that they are seen to be too many. A box that
was told before keeps the lines that it got then: it may be told again with a final confirm, and
would else be counted as another one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from engine.kernel.ids import line_id
from engine.shipments.types.shipments import Kind, Reason, Told
from engine.shipments.types.shipments import Package as Box
from engine.wms.rules import meanings
from engine.wms.types import Item, Member, Package, Report, Step

AHEAD_MAX: Final = timedelta(minutes=10)  # by how much a warehouse's clock may be ahead of ours
_UNKNOWN_LINE: Final = 0

# What is left out says nothing of a shipment: a hint, or something for people to read.
_STEPS: Final[Mapping[Step, Kind]] = {
    "picked": "picked",
    "packed": "packed",
    "signed": "delivered",
    "refused": "refused",
    "intercepted": "returning",
}
_KINDS: Final[Mapping[str, Kind]] = {
    "ACCEPTED": "accepted",
    "CANCELLED": "cancelled",
    "CANCEL_FAILED": "cancel_failed",
    "REJECTED": "rejected",
    "PARTLY_SHIPPED": "partly_shipped",
    "SHIPPED": "shipped",
}


def told(
    report: Report,
    members: Sequence[Member],
    now: datetime,
    reasons: Mapping[str, Reason] = MappingProxyType({}),
) -> dict[str, Told]:
    """Return what a report says, by shipment; nothing where it says nothing that counts.

    `reasons` are the node's own words for why it does not send something.
    """
    kind = _kind(report, members)
    if kind is None:
        return {}
    at = min(report.at, now) if report.at <= now + AHEAD_MAX else now
    said = Told(kind, report.report_id, at, text=report.text[:200], wms_ref=report.wms_ref)
    if kind in {"rejected", "lacking"}:
        said = said._replace(reason=meanings.reason(report, reasons))
        return {one.shipment_id: said._replace(lacks=_lacks(report, one)) for one in members}
    if kind in {"shipped", "partly_shipped"}:
        return _confirmed(report, said, members)
    return {one.shipment_id: said for one in members}


def _confirmed(report: Report, said: Told, members: Sequence[Member]) -> dict[str, Told]:
    boxes = _boxes(report)
    if not any(box.items for box in boxes):
        # of everything if it is final, as nobody says what is in it; else it says nothing yet
        if said.kind == "partly_shipped" or (report.lines and not _units(report.lines)):
            return {} if said.kind == "partly_shipped" else _nothing(said, members)
        empty = tuple(_box(box, ()) for box in boxes)
        return {one.shipment_id: said._replace(packages=empty) for one in members}
    return _divided(said, boxes, members)


def _kind(report: Report, members: Sequence[Member]) -> Kind | None:
    if report.kind == "PROGRESS":
        return _STEPS.get(report.step)
    if report.kind == "LACK":
        planned = sum(line.units for one in members for line in one.lines)
        left = sum(n for one in members for box in one.parcels.values() for _, n in box)
        return "rejected" if not left and _units(report.lines) >= planned else "lacking"
    return _KINDS.get(report.kind)


def _lacks(report: Report, one: Member) -> tuple[tuple[int, int], ...]:
    """Return the units of a shipment's lines that a report is about, the first lines first."""
    room = {line.line_no: line.units for line in one.lines}
    found: dict[int, int] = {}
    for item in report.lines:
        units = item.units
        for _, line_no in _places(item, [one]):
            some = min(units, room[line_no])
            room[line_no] -= some
            units -= some
            if some:
                found[line_no] = found.get(line_no, 0) + some
    return tuple(sorted(found.items()))


def _boxes(report: Report) -> list[Package]:
    """Return the boxes; what stands only in the lines is in the first one, or in one unnamed."""
    boxes = list(report.packages)
    if any(box.items for box in boxes):
        return boxes
    inside = tuple(item for item in report.lines if item.units > 0)
    if not inside:
        return boxes
    first = boxes[0] if boxes else Package("", "")
    return [first._replace(items=inside), *boxes[1:]]


def _divided(said: Told, boxes: Sequence[Package], members: Sequence[Member]) -> dict[str, Told]:
    room = {(one.shipment_id, line.line_no): line.units for one in members for line in one.lines}
    for one in members:
        for inside in one.parcels.values():
            for n, units in inside:
                room[one.shipment_id, n] = room.get((one.shipment_id, n), 0) - units
    found: dict[str, list[Box]] = {one.shipment_id: [] for one in members}
    for box in boxes:
        for shipment_id, items in _inside(box, members, room).items():
            found[shipment_id].append(_box(box, tuple(items.items())))
    answer = {name: said._replace(packages=tuple(mine)) for name, mine in found.items() if mine}
    if said.kind == "shipped":
        answer |= _nothing(said, [one for one in members if not found[one.shipment_id]])
    return answer


def _inside(
    box: Package, members: Sequence[Member], room: dict[tuple[str, int], int]
) -> dict[str, dict[int, int]]:
    """Return (units by line) by shipment of what is in a box, and take the room for it."""
    name = (box.carrier, box.waybill)
    before = {
        (one.shipment_id, n): units
        for one in members
        if box.waybill
        for n, units in one.parcels.get(name, ())
    }
    found: dict[str, dict[int, int]] = {}

    def give(shipment_id: str, line_no: int, units: int) -> None:
        mine = found.setdefault(shipment_id, {})
        mine[line_no] = mine.get(line_no, 0) + units

    for item in box.items:
        units = item.units
        places = _places(item, members)
        for place in places:
            again = min(units, before.get(place, 0))
            before[place] = before.get(place, 0) - again
            taken = again + min(units - again, max(room.get(place, 0), 0))
            room[place] = room.get(place, 0) - (taken - again)
            units -= taken
            if taken:
                give(*place, taken)
        if units:
            give(*(places[-1] if places else (members[0].shipment_id, _UNKNOWN_LINE)), units)
    return found


def _places(item: Item, members: Sequence[Member]) -> list[tuple[str, int]]:
    """Return the (shipment, line)s that units of an item may be of."""
    named = [
        (one.shipment_id, line.line_no)
        for one in members
        for line in one.lines
        if item.line and line_id(one.order_id, line.line_no) == item.line and line.sku == item.sku
    ]
    return named or [
        (one.shipment_id, line.line_no)
        for one in members
        for line in one.lines
        if line.sku == item.sku
    ]


def _nothing(said: Told, members: Sequence[Member]) -> dict[str, Told]:
    """Return that nothing more leaves of some shipments of a consignment that is done with."""
    return {
        one.shipment_id: said._replace(kind="rejected", packages=(), reason="out_of_stock")
        for one in members
    }


def _box(box: Package, items: tuple[tuple[int, int], ...]) -> Box:
    return Box(box.carrier, box.waybill, items, box.grams, box.mm, box.serials)


def _units(items: Sequence[Item]) -> int:
    return sum(item.units for item in items)
