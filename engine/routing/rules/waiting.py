"""How long a parcel waits for others of its buyer: no longer than its promise bears; pure."""

from typing import Final

from engine.carriers.rules.quoting import zone_of
from engine.places.rules import calendars
from engine.places.types.calendars import ALWAYS
from engine.routing.types.binding import Made
from engine.routing.types.core import Order, Part

_SECOND_MS: Final = 1_000
_SHARES: Final = (1, 2, 4, 8)  # of the window: all of it, half of it, …


def release(order: Order, part: Part, made: Made) -> tuple[int, int]:
    """Return until when a parcel waits, and when it leaves then; until 0 if it does not wait.

    It leaves as if it had been ordered when the wait is over, and arrives no later than without.
    """
    window = made.merge_s * _SECOND_MS
    if not window or not order.merge_hash or order.mode != "ship" or part.service < 0:
        return 0, part.ship_at
    for share in _SHARES:
        until = made.at_ms + window // share
        leaves = _leaves(part, made, until)
        if _arrives(order, part, made, leaves) and not 0 < order.ship_by < leaves:
            return until, leaves
    return 0, part.ship_at


def _leaves(part: Part, made: Made, at_ms: int) -> int:
    node, service = made.snap.nodes[part.node], made.snap.services[part.service]
    cutoff = service.cutoffs.get(node.node)
    if cutoff is None:
        cutoff = service.cutoffs.get("", -1)
    load = made.snap.load[part.node]
    return calendars.ship_at(node.calendar or ALWAYS, node.handling, load, at_ms, cutoff)


def _arrives(order: Order, part: Part, made: Made, leaves: int) -> bool:
    """Tell whether what leaves then arrives as soon as was decided."""
    node, service = made.snap.nodes[part.node], made.snap.services[part.service]
    holidays = (node.calendar or ALWAYS).holidays
    zone = zone_of(service, order.region) or ""
    return calendars.deliver_at(service, zone, leaves, holidays) <= part.deliver_at
