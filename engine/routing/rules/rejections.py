"""The rule: what follows from a node's refusal, by its reason.

| reason | stock at the node | not asked for the line |
| --- | --- | --- |
| out_of_stock, lost, mismatch | the units are taken off (`adjustment`) | any more |
| damaged | the units are taken off (`damage`) | any more |
| cannot_ship, cancelled | - | any more |
| busy | - | for 4 hours |
| closed, other | - | for 24 hours |

Units are taken off, never counted to 0: a node that has not found what one order asks for says
nothing of what it has put aside for others, and a count to 0 would take those from their buyers,
too. Left as they are, they would be sold again at once, and refused again. A later count of the
node, as of after the refusal, says what is there, whichever was wrong. What was never counted, and
is sold by declaration, has no stock to correct.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from engine.routing.types.core import Order
from engine.routing.types.hands import Hand
from engine.routing.types.queue import Row
from engine.shipments.types.shipments import Reason


class Handling(NamedTuple):
    """What follows: a movement of its units of that kind, and hours until it is asked again."""

    effect: Literal["", "adjustment", "damage"]
    hours: int | None = None


HANDLING: Final[Mapping[Reason, Handling]] = {
    "out_of_stock": Handling("adjustment"),
    "lost": Handling("adjustment"),
    "mismatch": Handling("adjustment"),
    "damaged": Handling("damage"),
    "cannot_ship": Handling(""),
    "cancelled": Handling(""),
    "busy": Handling("", 4),
    "closed": Handling("", 24),
    "other": Handling("", 24),
}


def until(reason: Reason, now: datetime) -> datetime | None:
    """Return until when a node is not asked for a line again; None is for good."""
    hours = HANDLING[reason].hours
    return None if hours is None else now + timedelta(hours=hours)


def asked_again(order: Order, now_ms: int, latest_ms: int) -> int:
    """Return when the first node that refused something of it is asked again, 0 if none is."""
    ends = (until for _, _, until in order.excluded if now_ms < until < latest_ms)
    return min(ends, default=0)


def by_hand(order: Order, hand: Hand, excluded: Iterable[tuple[int, str, int]]) -> Order:
    """Return an order with what nodes refused, and with what was decided by hand.

    What somebody has it sent from is asked, whatever it refused before.
    """
    order = order._replace(
        excluded=tuple(one for one in excluded if one[1] != hand.node),
        hops=max(order.hops, hand.hops),
    )
    if not hand.node:
        return order
    return order._replace(lines=tuple(line._replace(node=hand.node) for line in order.lines))


def in_hand(row: Row, hand: Hand, excluded: Iterable[tuple[int, str, int]]) -> Row:
    """Return a row as it stands with what nodes refused, and with what was decided by hand."""
    order = by_hand(row.order, hand, excluded)
    row = row._replace(order=order)
    if row.queue != "NEW":
        return row
    if hand.hold:
        return row._replace(queue="MANUAL", reason=hand.hold, due_at=None)
    return row._replace(queue="REJECTED", reason="node_refused") if order.hops else row
