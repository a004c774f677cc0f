"""Which service brings a parcel, and why not the others; no I/O.

Those that may are narrowed step by step, and the step that left one is the word of the choice:
designation, promise, cost, scorecard, share of the day's parcels, name. It knows orders and nodes
by what it reads of them alone: who routes brings its own.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.carriers.rules.quoting import (
    KILO,
    Tariff,
    applying,
    cost,
    line_of,
    lines_from,
    names_of,
    priced,
    tariff,
    zone_of,
)
from engine.carriers.types.asking import Capacity, Known, Line, Node, Order, Slot
from engine.carriers.types.services import (
    FOREVER,
    NO_RATE,
    Choice,
    Parcel,
    Quote,
    RateCard,
    Service,
    Surcharge,
)
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
_UNUSED: Final = 0, None
NOTHING: Final[Mapping[tuple[str, int], int]] = {}


class Lane(NamedTuple):
    """What one service does from a node to a region, whatever the parcel weighs.

    `rate` is the line of a card that is in force when it leaves, `extras` its surcharges that are
    for the region then; `tariff` is both where weight alone decides a price. `day` is the node's
    local day, an ordinal, on which that is.
    """

    no: int
    service: Service
    ship_at: int
    deliver_at: int
    day: int
    rate: RateCard
    extras: tuple[Surcharge, ...]
    tariff: Tariff | None


class Standing(NamedTuple):
    """What a service is for orders of a kind: the zone, or the word for why it may not bring them.

    `names` are what the region may be called in a card. The kind is region, mode, tier and who is
    allowed and denied, and tags and designation of the parcel. It is the same for all nodes.
    """

    no: int
    service: Service
    zone: str
    names: tuple[str, ...]
    word: str


class Bid(NamedTuple):
    """What one service asks for a parcel."""

    lane: Lane
    quote: Quote


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
    of = standing(order, parcel, snap)
    found = lanes(of, order.region, node, snap, at, {}, reasons)
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


def standing(order: Order, parcel: Parcel, snap: Known) -> list[Standing]:
    """Return what each service is for orders of this kind."""
    found = []
    for no, service in enumerate(snap.services):
        zone = zone_of(service, order.region)
        word = (
            _not_wanted(order, parcel, service)
            or _not_of_tier(order, service)
            or _not_there(order, zone, service, snap.off)
            or ("" if service.tags_not.isdisjoint(parcel.tags) else "tag")
        )
        names = () if word else names_of(service, order.region)
        found.append(Standing(no, service, zone or "", names, word))
    return found


def lanes(  # noqa: PLR0913, PLR0917 - what lanes depend on
    of: Iterable[Standing], region: str, node: Node, snap: Known, at: int,
    memo: dict[Hashable, Any], reasons: list[tuple[int, str]],
) -> list[Lane]:  # fmt: skip
    """Return the services that go from a node to a region, and note why others do not.

    `memo` only saves work; it may be kept while nodes, services, cards, loads and the instant are
    the same.
    """
    found = []
    for no, service, zone, names, refused in of:
        word = refused or ("not_here" if service.nodes and node.node not in service.nodes else "")
        if word:
            reasons.append((no, word))
            continue
        leaves, day = _leaves(node, service, snap, at, memo)
        arrives = _arrives(no, service, zone, node, leaves, memo) if leaves < NEVER else NEVER
        lines = memo.get((no, node.region))
        if lines is None:
            lines = memo[no, node.region] = lines_from(snap.cards, service, node.region)
        rate = line_of(lines, names, leaves)
        if arrives >= NEVER:
            reasons.append((no, "closed" if leaves >= NEVER else "not_running"))
        elif rate is None:
            reasons.append((no, "no_rate"))
        else:
            extras = applying(rate, region, leaves)
            plain = tariff(rate, service, extras)
            found.append(Lane(no, service, leaves, arrives, day, rate, extras, plain))
    return found


def best(
    found: Iterable[Lane], order: Order, parcel: Parcel, capacity: Capacity,
    full: Collection[tuple[int, int]], sent: Mapping[tuple[str, int], int] = NOTHING,
) -> tuple[Lane | None, int, str]:  # fmt: skip
    """Return the lane that `choose` would take and its price, or why the first one was refused.

    `full` are (service, day) that are used up besides what `capacity` says, and `sent` are parcels
    by (name, day) that count for shares besides.
    """
    sums = _share(order.cod, parcel, order), _share(order.insured, parcel, order)
    size = parcel.grams, parcel.cm3
    least: tuple[tuple[int, int, int], Lane] | None = None
    why = ""
    for lane in found:
        word = _not_so(lane.service, parcel, *sums)
        word = word or ("full" if full and (lane.no, lane.day) in full else "")
        word = word or (_full(lane, parcel, capacity) if capacity else "")
        if word:
            why = why or word
            continue
        price = cost(lane.rate, lane.service, lane.extras, size, sums)
        key = _late(lane, order), price, -lane.service.score
        if (
            least is None
            or key < least[0]
            or (key == least[0] and _after(least[1], capacity, sent) > _after(lane, capacity, sent))
        ):
            least = key, lane
    if least is None:
        return None, 0, why or "no_service"
    return least[1], least[0][1], ""


def cheapest(found: Iterable[Lane], order: Order, parcel: Parcel) -> tuple[Lane | None, int]:
    """Return the lane that `best` would take, and its price, where promise and weight decide.

    That is of an order without cod and insurance, and of services of which none is used up. None
    where more than that decides, or no lane keeps to it: then `best` is to be asked.
    """
    chosen: Lane | None = None
    least = FOREVER
    grams, cm3, ship_by, deliver_by = parcel.grams, parcel.cm3, order.ship_by, order.deliver_by
    for lane in found:
        if lane.tariff is None:
            return None, 0
        low, high, most, divisor, first_g, step_g, first, step, charge = lane.tariff
        if not low <= grams <= high or cm3 > most:
            continue
        if (ship_by and lane.ship_at > ship_by) or (deliver_by and lane.deliver_at > deliver_by):
            continue
        billed = -(-cm3 * KILO // divisor) if divisor else 0
        over = (billed if billed > grams else grams) - first_g  # noqa: FURB136 - most calls of all
        price = first - (-over // step_g) * step if over > 0 else first
        if charge:
            price = max(price, charge)
        if price < least:
            chosen, least = lane, price
        elif price == least:
            return None, 0
    return chosen, least


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


def _leaves(
    node: Node, service: Service, snap: Known, at: int, memo: dict[Hashable, Any]
) -> tuple[int, int]:
    """Return when a parcel for a service leaves, and the node's local day of that."""
    cutoff = service.cutoffs.get(node.node)
    if cutoff is None:
        cutoff = service.cutoffs.get("", -1)
    kept = memo.get((node.no, cutoff))
    if kept is None:
        calendar = node.calendar or ALWAYS
        leaves = calendars.ship_at(calendar, node.handling, snap.load[node.no], at, cutoff)
        day = calendars.local_day(calendar.timezone, leaves) if leaves < NEVER else 0
        kept = memo[node.no, cutoff] = leaves, day
    return kept


def _arrives(
    no: int, service: Service, zone: str, node: Node, leaves: int, memo: dict[Hashable, Any]
) -> int:
    holidays = (node.calendar or ALWAYS).holidays
    key = no, zone, leaves, holidays.country
    kept = memo.get(key)
    if kept is None:
        kept = memo[key] = calendars.deliver_at(service, zone, leaves, holidays), 0
    return kept[0]


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


def _not_there(
    order: Order, zone: str | None, service: Service, off: frozenset[tuple[str, str]]
) -> str:
    if off and any((service.service, one) in off for one in chain(order.region)):
        return "off"
    return "" if zone in service.days or zone in service.minutes else "no_zone"


def _not_so(service: Service, parcel: Parcel, cod: int, insured: int) -> str:
    least, most = service.grams
    if not least <= parcel.grams <= most:
        return "too_heavy" if parcel.grams > most else "too_light"
    if 0 < service.cm3_max < parcel.cm3:
        return "too_big"
    if cod and not service.cod:
        return "cod"
    return "insurance" if insured > service.insured_max else ""


def _full(lane: Lane, parcel: Parcel, capacity: Capacity) -> str:
    name, day = lane.service.service, lane.day
    used, limit = capacity.get(("service", name, day, "orders"), _UNUSED)
    if limit is not None and used + 1 > limit:
        return "full"
    if not parcel.grams:
        return ""
    used, limit = capacity.get(("service", name, day, "grams"), _UNUSED)
    return "full" if limit is not None and used + parcel.grams > limit else ""


def _share(total: int, parcel: Parcel, order: Order) -> int:
    """Return what of an order's sum falls to a parcel, by value; begun minor units are whole."""
    if not total:
        return 0
    whole = sum([line.value for line in order.lines])
    if parcel.value >= whole:
        return total
    return -(-total * parcel.value // whole)


def narrowed(
    bids: list[Bid], order: Order, capacity: Capacity, reasons: list[tuple[int, str]]
) -> tuple[Bid, str]:
    """Return the best bid and the word of the step that left it alone; notes who lost at which."""
    steps: tuple[tuple[str, str, Callable[[Bid], Any]], ...] = (
        ("promise", "late", lambda bid: _late(bid.lane, order)),
        ("cost", "dearer", lambda bid: bid.quote.price),
        ("scorecard", "scorecard", lambda bid: -bid.lane.service.score),
        ("ratio", "ratio", lambda bid: _after(bid.lane, capacity)[0]),
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


def _late(lane: Lane, order: Order) -> int:
    """Return 0 for what keeps the promises; of what does not, the earliest is the best."""
    late = order.ship_by and lane.ship_at > order.ship_by
    late = late or (order.deliver_by and lane.deliver_at > order.deliver_by)
    return lane.deliver_at if late else 0


def _after(
    lane: Lane, capacity: Capacity, sent: Mapping[tuple[str, int], int] = NOTHING
) -> tuple[int, str]:
    """Return how far a service would be in its share of the day with this parcel, and its name."""
    service = lane.service
    if not service.ratio:
        return NEVER, service.service
    used, _ = capacity.get(("service", service.service, lane.day, "orders"), (0, None))
    used += sent.get((service.service, lane.day), 0)
    return (used + 1) * _SHARE // service.ratio, service.service
