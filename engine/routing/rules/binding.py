"""What a decision asks of stock, capacity and shipments: pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from engine.kernel import clock
from engine.physical.types.facts import Asked, Key
from engine.places.rules.regions import chain
from engine.places.types.calendars import NEVER
from engine.routing.rules import rejections, tracing
from engine.routing.rules.waiting import release
from engine.routing.types.binding import Made, Wish
from engine.routing.types.capacity import Cell
from engine.routing.types.core import Line, Order, Part
from engine.shipments.types import shipments
from engine.shipments.types.shipments import Planned, Slot

FORGET: Final = datetime.min.replace(tzinfo=UTC)  # what the driver makes -infinity of
Keys = Mapping[tuple[str, str], int]  # by SKU and node
_NOWHERE: Final[Mapping[str, int]] = {}
_LATEST_MS: Final = 1 << 48  # far beyond what a timestamp of Postgres has to be
_encode: Final = msgspec.msgpack.Encoder().encode
assert NEVER > _LATEST_MS, "what never comes is no instant of a table"


def planned(wish: Wish, made: Made, first: int, attempts: Mapping[str, int]) -> list[Planned]:
    """Return the shipments of a decision, from number `first` on; `attempts` are the next ones.

    A node that sends two parcels has two attempts, so that their units have names of their own.
    """
    found, attempt = [], dict(attempts)
    for n, part in enumerate(wish.decision.parts, start=first):
        node = made.snap.nodes[part.node].node
        found.append(_shipment(wish.order, part, made, n, attempt.get(node, 1)))
        attempt[node] = found[-1].attempt + 1
    return found


def served(wish: Wish, made: Made, off: frozenset[tuple[str, str]]) -> bool:
    """Return whether the services of a decision go to its region, by what is `off` by now."""
    if off == made.snap.off:
        return True  # it was decided by that
    services = {made.snap.services[part.service].service for part in wish.decision.parts
                if part.service >= 0}  # fmt: skip
    return not any((service, one) in off for service in services
                   for one in chain(wish.order.region))  # fmt: skip


def apart(shipments: Iterable[Planned], made: Made) -> set[Key]:
    """Return the keys of what is guarded by its chain, not by its goods without a batch alone."""
    stock = made.snap.stock
    return {
        Key(one.node, made.owners.get(line.sku, ""), line.sku, "good", "")
        for one in shipments
        for line in one.lines
        if line.bound and stock[line.sku].complex
    }


def asked(shipment: Planned, made: Made, loose: Keys) -> Asked:
    """Return what of a shipment is to be assigned; `loose` are the keys of what is apart."""
    node, keys = shipment.node, made.keys
    lines = [
        (line_no, keys.get(sku, _NOWHERE).get(node), units)
        for line_no, sku, units, bound in shipment.lines
        if bound
    ]
    if loose:
        lines = [
            (line.line_no, _key(line.sku, node, made, loose), line.units)
            for line in shipment.lines
            if line.bound
        ]
    return Asked(shipment.order_id, node, shipment.attempt, lines)


def free(
    lost: Iterable[Planned], made: Made, loose: Keys, left: Mapping[int, int]
) -> dict[tuple[str, str], int]:
    """Return what `loose` keys have left, and that nothing is where what lost has no key at all."""
    found = {name: left.get(key_id, 0) for name, key_id in loose.items()}
    for one in lost:
        for line in one.lines:
            if line.bound and _key(line.sku, one.node, made, loose) is None:
                found[line.sku, one.node] = 0
    return found


def _key(sku: str, node: str, made: Made, loose: Keys) -> int | None:
    return loose.get((sku, node)) or made.keys.get(sku, _NOWHERE).get(node)


def cells(slots: Iterable[Slot]) -> dict[Cell, int]:
    """Return what slots add up to."""
    found: dict[Cell, int] = {}
    for scope, of, day, dim, n in slots:
        cell = Cell(scope, of, _day(day), dim)
        found[cell] = found.get(cell, 0) + n
    return found


def rest(wish: Wish) -> Order:
    """Return the order as it waits on, with what no part has; of a parked one all of it."""
    order = wish.order
    left = tuple(_some(order.lines[index], n) for index, n in wish.decision.rest)
    return order._replace(lines=left) if left else order


def trace(wish: Wish, made: Made) -> bytes:
    """Return why it was decided so, and what."""
    return tracing.packed(wish.decision, made.names, len(made.snap.nodes))


def instant(at_ms: int) -> datetime | None:
    """Return an instant as Postgres takes it, None of one that never comes, or was not said."""
    return clock.instant(at_ms) if 0 < at_ms < _LATEST_MS else None


def due(wish: Wish, now_ms: int) -> datetime | None:
    """Return when what waits is decided again; None: by hand, or when stock comes.

    At the latest when a node that refused something of it may be asked again.
    """
    decision = wish.decision
    again = 0
    if decision.queue != "MANUAL":
        again = rejections.asked_again(wish.order, now_ms, _LATEST_MS)
    ends = [at_ms for at_ms in (decision.until, again) if at_ms > 0]
    return instant(min(ends, default=0))


def cancel_at(wish: Wish) -> datetime | None:
    """Return when what is left is cancelled, None: as it was said before, `FORGET`: never."""
    at = wish.decision.cancel_at
    return FORGET if at < 0 else instant(at)


def _shipment(order: Order, part: Part, made: Made, n: int, attempt: int) -> Planned:
    node, snap = made.snap.nodes[part.node].node, made.snap
    service = snap.services[part.service] if part.service >= 0 else None
    lines: dict[tuple[int, str], int] = {}
    for index, some in part.atoms:
        line = order.lines[index]
        name = line.line_no, line.sku
        lines[name] = lines.get(name, 0) + some
    stock = snap.stock
    no_return: Any = made.no_return.get(node, "picked")
    mode: Any = order.mode
    until, leaves = release(order, part, made)
    return Planned(
        order.tenant, order.order_id, n, node, attempt,
        tuple(
            [shipments.Line(line_no, sku, some, int(sku in stock))
             for (line_no, sku), some in lines.items()]
        ),
        mode, service.service if service else "", part.card, part.quote, order.currency,
        part.grams, instant(leaves), instant(part.deliver_at), order.region,
        no_return, bool(service and service.intercept), order.merge_hash, instant(until),
        tuple([Slot(scope, of, _text(day), dim, some) for scope, of, day, dim, some in part.slots]),
        part.card_version,
    )  # fmt: skip


@lru_cache(maxsize=64)
def _text(day: int) -> str:
    return date.fromordinal(day).isoformat()


@lru_cache(maxsize=64)
def _day(text: str) -> date:
    return date.fromisoformat(text)


def _some(line: Line, n: int) -> Line:
    if n == line.units:
        return line
    shares = {name: getattr(line, name) * n // line.units for name in ("grams", "cm3", "value")}
    return line._replace(units=n, **shares)
