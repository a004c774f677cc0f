"""A sale that was: the orders of a file, each at its instant, faster or slower."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from engine.kernel import codec
from engine.simulation.drill import plan as plans
from engine.simulation.types import Demand, Order


class Replay(NamedTuple):
    """What was written for the generator, and what it needs for sale."""

    path: Path
    units: Mapping[str, int]
    seconds: float
    highest: float


def write(demand: Demand, mark: str, speed: float, path: Path) -> Replay:
    """Write the orders by their instants, a line each, and return what they come to."""
    timed = sorted(_timed(demand.orders, speed), key=lambda one: one[0])
    first = timed[0][0] if timed else 0.0
    counts: dict[int, int] = {}
    with path.open("wb") as file:
        for n, (at, order) in enumerate(timed):
            at_s = at - first
            counts[int(at_s)] = counts.get(int(at_s), 0) + 1
            document = codec.encode(_document(demand, mark, n, order))
            file.write(b"%.6f\t%b\n" % (at_s, document))
    seconds = timed[-1][0] - first if timed else 0.0
    return Replay(path, demand.stock, seconds, max(counts.values(), default=0))


def documents(path: Path, wanted: Iterable[int]) -> dict[int, bytes]:
    """Return the bodies of some orders by their number."""
    numbers = set(wanted)
    with path.open("rb") as file:
        return {
            n: line.partition(b"\t")[2].rstrip(b"\n") for n, line in enumerate(file) if n in numbers
        }


def _timed(orders: Iterable[Order], speed: float) -> Iterable[tuple[float, Order]]:
    for order in orders:
        placed = datetime.fromisoformat(order.placed_at).timestamp() if order.placed_at else None
        yield (order.at_s if placed is None else placed) / speed, order


def _document(demand: Demand, mark: str, n: int, order: Order) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for line in order.lines:
        price = {"amount": line.price, "currency": demand.currency}
        posted: dict[str, Any] = {"sku": line.sku, "quantity": line.quantity, "unit_price": price}
        if line.droppable:
            posted["on_short"] = "drop"
        lines.append(posted)
    return {
        "channel": plans.CHANNEL,
        "channel_order_id": plans.number(mark, n),
        "campaign": plans.campaign(mark),
        "buyer_id": order.buyer,
        "lines": lines,
    }
