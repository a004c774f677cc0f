"""Which service brings a parcel, and why not the others; no I/O.

Those that may are narrowed step by step, and the step that left one is the word of the choice:
designation, promise, cost, scorecard, share of the day's parcels, name. It knows orders and nodes
by what it reads of them alone: who routes brings its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from engine.carriers.rules.quoting import line_for, priced, zone_of
from engine.carriers.types.services import NO_RATE, Cards, Choice, Parcel, Quote, RateCard, Service
from engine.places.rules import calendars
from engine.places.rules.regions import chain
from engine.places.types.calendars import ALWAYS, NEVER

# How fast the tiers are that stand for one another: a faster one may bring what asks for a slower.
_RANKS: Final = {
    "instant": 0, "same_day": 1, "next_morning": 2, "next_day": 3, "two_day": 4, "standard": 5,
    "": 5,
}  # fmt: skip
_INSTANT, _COLD = "instant", "cold"
_SLOWEST: Final = 5
_SHARE: Final = 1_000_000

Capacity: TypeAlias = "Mapping[tuple[str, str, int, str], tuple[int, int | None]]"
Slot: TypeAlias = "tuple[str, str, int, str, int]"


class Line(Protocol):
    """What is read of a line; its grams, cm3 and value are of all its units."""

    @property
    def units(self) -> int: ...  # noqa: D102
    @property
    def grams(self) -> int: ...  # noqa: D102
    @property
    def cm3(self) -> int: ...  # noqa: D102
    @property
    def value(self) -> int: ...  # noqa: D102
    @property
    def tags(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def service(self) -> str: ...  # noqa: D102


class Order(Protocol):
    """What is read of an order; `ship_by` and `deliver_by` are 0 where nothing was promised."""

    @property
    def region(self) -> str: ...  # noqa: D102
    @property
    def lines(self) -> Sequence[Line]: ...  # noqa: D102
    @property
    def mode(self) -> str: ...  # noqa: D102
    @property
    def tier(self) -> str: ...  # noqa: D102
    @property
    def cod(self) -> int: ...  # noqa: D102
    @property
    def insured(self) -> int: ...  # noqa: D102
    @property
    def ship_by(self) -> int: ...  # noqa: D102
    @property
    def deliver_by(self) -> int: ...  # noqa: D102
    @property
    def allow(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def deny(self) -> frozenset[str]: ...  # noqa: D102


class Node(Protocol):
    """What is read of a node."""

    @property
    def node(self) -> str: ...  # noqa: D102
    @property
    def no(self) -> int: ...  # noqa: D102
    @property
    def region(self) -> str: ...  # noqa: D102
    @property
    def calendar(self) -> Any: ...  # noqa: D102
    @property
    def handling(self) -> tuple[tuple[int, int], ...]: ...  # noqa: D102


class Known(Protocol):
    """What is read of the world; `off` is (service, region), `capacity` is (used, limit)."""

    @property
    def services(self) -> tuple[Service, ...]: ...  # noqa: D102
    @property
    def cards(self) -> Cards: ...  # noqa: D102
    @property
    def off(self) -> frozenset[tuple[str, str]]: ...  # noqa: D102
    @property
    def capacity(self) -> Capacity: ...  # noqa: D102
    @property
    def load(self) -> tuple[int, ...]: ...  # noqa: D102


class Lane(NamedTuple):
    """What one service does from a node to a region, whatever the parcel weighs.

    `rate` is the line of a card that is in force when it leaves. `day` is the node's local day, an
    ordinal, on which that is.
    """

    no: int
    service: Service
    ship_at: int
    deliver_at: int
    day: int
    rate: RateCard


class Bid(NamedTuple):
    """What one service asks for a parcel."""

    lane: Lane
    quote: Quote


_NOWHERE: Final = Lane(
    -1, Service(""), NEVER, NEVER, 0, RateCard("", 0, "", 0, 0, "", "", 0, 0, 0, 0)
)


def choose_service(
    order: Order, part_lines: Sequence[tuple[Line, int]], node: Node, snap: Known, at: int
) -> Choice:
    """Return the service for these units of lines from a node, decided at an instant.

    `part_lines` are (line, units of it in this parcel). With the service -1 none may bring it.
    """
    return choose(order, parcel_of(part_lines), node, snap, at)


def choose(order: Order, parcel: Parcel, node: Node, snap: Known, at: int) -> Choice:
    """Return the service for a parcel, as `choose_service` does."""
    reasons: list[tuple[int, str]] = []
    found = lanes(order, parcel, node, snap, at, reasons)
    bids = offers(found, order, parcel, snap.capacity, reasons)
    if not bids:
        return Choice(
            -1, "no_service", NO_RATE, NEVER, NEVER, parcel.grams, (), tuple(sorted(reasons))
        )
    best, why = narrowed(bids, order, snap.capacity, reasons)
    lane = best.lane
    return Choice(
        lane.no, why, best.quote, lane.ship_at, lane.deliver_at, parcel.grams,
        slots(lane.service, lane.day, parcel), tuple(sorted(reasons)),
    )  # fmt: skip


def lanes(
    order: Order, parcel: Parcel, node: Node, snap: Known, at: int,
    reasons: list[tuple[int, str]],
) -> list[Lane]:  # fmt: skip
    """Return the services that go from a node to the order's region, and note why others do not.

    Of the order it reads region, mode, tier and who is allowed and denied, of the parcel its tags
    and designation: for orders that are the same in these, lanes are the same within a minute.
    """
    found = []
    for no, service in enumerate(snap.services):
        lane = _NOWHERE
        word = (
            _not_wanted(order, parcel, service)
            or _not_of_tier(order, service)
            or _not_there(order, node, service, snap.off)
            or ("" if service.tags_not.isdisjoint(parcel.tags) else "tag")
        )
        if not word:
            lane, word = _lane(order, node, snap, (no, service), at)
        if word:
            reasons.append((no, word))
        else:
            found.append(lane)
    return found


def offers(
    found: Iterable[Lane], order: Order, parcel: Parcel, capacity: Capacity,
    reasons: list[tuple[int, str]],
) -> list[Bid]:  # fmt: skip
    """Return what each lane asks for a parcel, and note why some do not take it."""
    cod, insured = _share(order.cod, parcel, order), _share(order.insured, parcel, order)
    bids = []
    for lane in found:
        service = lane.service
        word = _not_so(service, parcel, cod, insured) or _full(lane, parcel, capacity)
        if word:
            reasons.append((lane.no, word))
        else:
            size = parcel.grams, parcel.cm3
            price = priced(lane.rate, service, order.region, size, (cod, insured), lane.ship_at)
            bids.append(Bid(lane, price))
    return bids


def parcel_of(part_lines: Iterable[tuple[Line, int]]) -> Parcel:
    """Return what these units of lines are together; begun grams, cm3 and cents are whole ones."""
    grams = cm3 = value = 0
    tags: set[str] = set()
    services: set[str] = set()
    for line, units in part_lines:
        whole = max(1, line.units)
        grams += -(-line.grams * units // whole)
        cm3 += -(-line.cm3 * units // whole)
        value += -(-line.value * units // whole)
        tags |= line.tags
        services |= {line.service} - {""}
    return Parcel(grams, cm3, value, frozenset(tags), " & ".join(sorted(services)))


def slots(service: Service, day: int, parcel: Parcel) -> tuple[Slot, ...]:
    """Return the capacity of a service that a parcel uses: (scope, id, day, dimension, n)."""
    name = service.service
    used: tuple[Slot, ...] = (("service", name, day, "orders", 1),)
    return (*used, ("service", name, day, "grams", parcel.grams)) if parcel.grams else used


def _lane(
    order: Order, node: Node, snap: Known, numbered: tuple[int, Service], at: int
) -> tuple[Lane, str]:
    no, service = numbered
    calendar, cutoffs = node.calendar or ALWAYS, service.cutoffs
    cutoff = cutoffs.get(node.node, cutoffs.get("", -1))
    leaves = calendars.ship_at(calendar, node.handling, snap.load[node.no], at, cutoff)
    if leaves >= NEVER:
        return _NOWHERE, "closed"
    zone = zone_of(service, order.region) or ""
    arrives = calendars.deliver_at(service, zone, leaves, calendar.holidays)
    if arrives >= NEVER:
        return _NOWHERE, "not_running"
    rate = line_for(snap.cards, service, node.region, order.region, leaves)
    if rate is None:
        return _NOWHERE, "no_rate"
    day = calendars.local_day(calendar.timezone, leaves)
    return Lane(no, service, leaves, arrives, day, rate), ""


def _not_wanted(order: Order, parcel: Parcel, service: Service) -> str:
    names = {service.service, service.carrier}
    if not service.enabled:
        return "disabled"
    if order.deny & names:
        return "denied"
    if order.allow and not order.allow & names:
        return "not_allowed"
    return "not_designated" if parcel.service and parcel.service not in names else ""


def _not_of_tier(order: Order, service: Service) -> str:
    """Return "tier" where it is slower than asked, or of another kind.

    Cold chain and instant delivery stand for themselves: nothing else is instead of them, and they
    are not instead of anything else.
    """
    asked = _INSTANT if order.mode == _INSTANT else order.tier
    if asked == service.tier:
        return ""
    apart = {_INSTANT, _COLD} & {asked, service.tier}
    slower = _RANKS.get(service.tier, _SLOWEST) > _RANKS.get(asked, _SLOWEST)
    return "tier" if apart or slower else ""


def _not_there(order: Order, node: Node, service: Service, off: frozenset[tuple[str, str]]) -> str:
    if service.nodes and node.node not in service.nodes:
        return "not_here"
    if off and any((service.service, one) in off for one in chain(order.region)):
        return "off"
    zone = zone_of(service, order.region)
    return "" if zone in service.days or zone in service.minutes else "no_zone"


def _not_so(service: Service, parcel: Parcel, cod: int, insured: int) -> str:
    least, most = service.grams
    words = (
        (parcel.grams > most, "too_heavy"),
        (parcel.grams < least, "too_light"),
        (0 < service.cm3_max < parcel.cm3, "too_big"),
        (cod > 0 and not service.cod, "cod"),
        (insured > service.insured_max, "insurance"),
    )
    return next((word for refused, word in words if refused), "")


def _full(lane: Lane, parcel: Parcel, capacity: Capacity) -> str:
    for scope, name, day, dim, n in slots(lane.service, lane.day, parcel):
        used, limit = capacity.get((scope, name, day, dim), (0, None))
        if limit is not None and used + n > limit:
            return "full"
    return ""


def _share(total: int, parcel: Parcel, order: Order) -> int:
    """Return what of an order's sum falls to a parcel, by value; begun minor units are whole."""
    whole = sum(line.value for line in order.lines)
    if not total or parcel.value >= whole:
        return total
    return -(-total * parcel.value // whole)


def narrowed(
    bids: list[Bid], order: Order, capacity: Capacity, reasons: list[tuple[int, str]]
) -> tuple[Bid, str]:
    """Return the best bid and the word of the step that left it alone; notes who lost at which."""

    def promise(bid: Bid) -> int:
        lane = bid.lane
        late = order.ship_by and lane.ship_at > order.ship_by
        late = late or (order.deliver_by and lane.deliver_at > order.deliver_by)
        return lane.deliver_at if late else 0  # where all are late, the earliest

    def share(bid: Bid) -> int:
        service = bid.lane.service
        key = ("service", service.service, bid.lane.day, "orders")
        used, _ = capacity.get(key, (0, None))
        return (used + 1) * _SHARE // service.ratio if service.ratio else NEVER

    steps: tuple[tuple[str, str, Callable[[Bid], Any]], ...] = (
        ("promise", "late", promise),
        ("cost", "dearer", lambda bid: bid.quote.price),
        ("scorecard", "scorecard", lambda bid: -bid.lane.service.score),
        ("ratio", "ratio", share),
        ("id", "id", lambda bid: bid.lane.service.service),
    )
    if len(bids) == 1:
        return bids[0], "only"
    for word, lost, rank in steps:
        best = min(map(rank, bids))
        reasons.extend((bid.lane.no, lost) for bid in bids if rank(bid) != best)
        bids = [bid for bid in bids if rank(bid) == best]
        if len(bids) == 1:
            return bids[0], word
    return bids[0], "id"
