"""What became of orders, as the API shows them, held against what the warehouses know."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from engine.kernel.codec import Money
from engine.routing.following import followed
from engine.simulation.calls import Calls
from engine.simulation.fulfilment.types import CURRENCY, MARKET, Fulfilled, Stopped
from engine.simulation.times import latency
from engine.simulation.warehouse import Held

_PAGE: Final = 500
_READERS: Final = 16
_LEFT: Final = frozenset(
    {"shipped", "delivered", "refused", "returning", "returned", "lost", "partly_shipped"}
)
# From the last of these an order could be routed.
_READY: Final = frozenset({"order.paid", "order.synced", "order.unblocked"})

Document = dict[str, Any]


class Played(NamedTuple):
    """What was done: the orders, the one to follow, refunds, and the warehouses' books by node."""

    order_ids: tuple[str, ...]
    followed: str
    stops: tuple[Stopped, ...]
    books: Mapping[str, Mapping[str, Held]]
    notes: list[str]
    faults: list[str]


async def read(calls: Calls, played: Played, seconds: float) -> Fulfilled:
    """Ask for all of it, and count."""
    orders: dict[str, Document] = {}

    async def some(order_ids: Sequence[str]) -> None:
        for order_id in order_ids:
            orders[order_id] = await calls.get(f"/v1/orders/{order_id}")

    async with asyncio.TaskGroup() as tasks:
        for n in range(_READERS):
            tasks.create_task(some(played.order_ids[n::_READERS]))
    acks = await calls.pages("/v1/acks", channel=MARKET, limit=_PAGE)
    routing = await calls.get(f"/v1/orders/{played.followed}/routing")
    lines = [*followed(orders[played.followed], routing)]
    return _counted(played, orders, acks, lines, seconds)


async def shipments(calls: Calls, state: str = "") -> list[Document]:
    """Return all shipments, or those in a state."""
    return await calls.pages("/v1/shipments", state=state, limit=_PAGE)


def _counted(
    played: Played,
    orders: Mapping[str, Document],
    acks: Iterable[Document],
    lines: list[str],
    seconds: float,
) -> Fulfilled:
    sent = [one for order in orders.values() for one in order["fulfilments"]]
    left = [one for one in sent if one["state"] in _LEFT]
    parcels = [parcel for one in left for parcel in one["parcels"]]
    by_order = Counter(one["order_id"] for one in left for _ in one["parcels"])
    promised = [
        _kept(parcel, one["promised_deliver_by"])
        for one in left
        for parcel in one["parcels"]
        if one["promised_deliver_by"]
    ]
    freight = sum(one["quote"]["amount"] for one in left if one["quote"])
    return Fulfilled(
        orders=len(orders),
        delivered=sum(order["fulfilment_state"] == "delivered" for order in orders.values()),
        parcels=len(parcels),
        parcels_per_order=round(len(parcels) / max(1, len(by_order)), 3),
        orders_by_parcels=_words(Counter(by_order.values())),
        promise={"parcels": len(promised), "kept": sum(promised)},
        freight=Money(freight, CURRENCY),
        freight_per_parcel=Money(round(freight / max(1, len(parcels))), CURRENCY),
        orders_by_node=_words(Counter(one["node"] for one in left)),
        parcels_by_service=_words(Counter(one["service"] for one in left for _ in one["parcels"])),
        routed_ms=latency([took for order in orders.values() for took in routed(order)]),
        queues=_words(
            Counter(
                f"{order['queue']['queue']}: {order['queue']['reason']}"
                for order in orders.values()
                if order["queue"]
            )
        ),
        acks=_words(Counter(one["state"] for one in acks)),
        stops=list(played.stops),
        followed_order=played.followed,
        followed=lines,
        shipped_after_stop=0,
        seconds=round(seconds, 1),
        notes=played.notes,
        faults=[*played.faults, *stop_faults(played.stops), *book_faults(played.books, sent)],
    )


def _kept(parcel: Document, promised: str) -> bool:
    """Whether a parcel was at its buyer's door by then."""
    if parcel["milestone"] != "delivered":
        return False
    return datetime.fromisoformat(parcel["milestone_at"]) <= datetime.fromisoformat(promised)


def routed(order: Document) -> Iterator[float]:
    """Yield how long it took from when nothing held an order to the decision, if there was one."""
    ready = None
    for entry in order["timeline"]:
        if entry["kind"] in _READY:
            ready = datetime.fromisoformat(entry["at"])
        elif entry["kind"] == "order.routed" and ready is not None:
            yield (datetime.fromisoformat(entry["at"]) - ready).total_seconds()
            return


def _words(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(name): n for name, n in sorted(counts.items())}


def stop_faults(stops: Sequence[Stopped]) -> Iterator[str]:
    """Yield what no refund showed, and those that nobody answered."""
    answers = [one.answer for one in stops]
    if "stopped" not in answers:
        yield f"no refund stopped a parcel that was being picked: {answers}"
    if "not_stopped" not in answers:
        yield f"no refund came too late: {answers}"
    if unanswered := answers.count(""):
        yield f"{unanswered} stops were not answered"


def book_faults(books: Mapping[str, Mapping[str, Held]], sent: Iterable[Document]) -> Iterator[str]:
    """Yield where what we say and what a warehouse did are not the same."""
    known = {one["consignment_id"]: one for one in sent}
    for node, held in books.items():
        for code, one in held.items():
            ours = known.get(code)
            units = sum(item.units for _, item in one.left)
            if ours is None or ours["node"] != node:
                yield f"{node} has {code}, which nobody sent there"
            elif one.made != 1:
                yield f"{node} made {code} {one.made} times"
            elif one.left_after_said:
                yield f"{one.left_after_said} units of {code} left {node} after it had stopped them"
            elif units != _units(ours):
                yield f"{units} units of {code} left {node}, {_units(ours)} were told"


def _units(shipment: Document) -> int:
    return sum(item["quantity"] for parcel in shipment["parcels"] for item in parcel["items"])
