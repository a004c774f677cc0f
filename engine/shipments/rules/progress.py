"""The rule: how far an order is, of its shipments and of what it still asks for."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from engine.shipments.types.shipments import LEFT, Shipment

# In the order in which an order goes through them; the last three are ends beside each other.
_STATES: Final = (
    "unrouted", "routed", "released", "partly_shipped", "shipped", "delivered", "refused",
    "returned",
)  # fmt: skip
_BACK: Final = frozenset({"unrouted", "routed", "released"})


def progress(now: str, shipments: Iterable[Shipment], wanted: Mapping[int, int]) -> str:
    """Return an order's `fulfilment_state`; never further back than `now`, unless nothing left.

    `wanted` are the units of each line that it is still to get from stock.
    """
    live = [one for one in shipments if one.live]
    found = _told(live, wanted)
    if now in _BACK and found in _BACK:
        return found
    if now not in _STATES:
        return found
    return max(now, found, key=_STATES.index)


def _told(live: Collection[Shipment], wanted: Mapping[int, int]) -> str:
    states = {one.state for one in live}
    if states & LEFT:
        return _left(live, wanted)
    if not live:
        return "unrouted"
    return "routed" if states == {"planned"} else "released"


def _left(live: Collection[Shipment], wanted: Mapping[int, int]) -> str:
    states = {one.state for one in live}
    given: dict[int, int] = {}
    for one in live:
        for n, units in one.units.items():
            given[n] = given.get(n, 0) + units
    missing = any(units > given.get(n, 0) for n, units in wanted.items())
    if missing or states - LEFT or "partly_shipped" in states:
        return "partly_shipped"
    ends = [end for end in ("delivered", "refused", "returned") if states == {end}]
    return ends[0] if ends else "shipped"
