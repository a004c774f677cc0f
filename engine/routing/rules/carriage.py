"""What carriers and calendars answer to a decision: lanes once a minute, then prices; no I/O."""

from collections.abc import Hashable
from typing import Any, Final, NamedTuple

from engine.carriers.rules import choosing
from engine.carriers.rules.choosing import Lane, Standing
from engine.carriers.types.services import Parcel
from engine.places.rules import calendars
from engine.places.types.calendars import ALWAYS, NEVER
from engine.routing.types.core import Moment, Node, Offer, Order, Reach, Snapshot

_MINUTE_MS: Final = 60_000
_LANES_MAX: Final = 200_000  # nodes by kinds of orders; begun anew beyond
_BY_IDENTITY: Final = 4


def bands(snap: Snapshot) -> list[int]:
    """Return by which entry of its table each node takes as long as it does with its load.

    What changes by load changes with these alone.
    """
    return [
        sum([least <= load for least, _ in node.handling])
        for node, load in zip(snap.nodes, snap.load, strict=True)
    ]


class _From(NamedTuple):
    """Lanes from a node for a kind of orders, the first word of why there are none, their names."""

    lanes: list[Lane]
    word: str
    services: frozenset[str]


_Last = tuple[Order | None, frozenset[str], str, dict[int, _From]]


class Freight:
    """A `Carriage` by the rules of carriers and places.

    It keeps what depends on the present minute, snapshot and load; answers never depend on that.
    """

    def __init__(self) -> None:
        """Begin with nothing kept."""
        self._of: tuple[Any, ...] = ()
        self._seen: tuple[Snapshot | None, int] = None, 0
        self._limited: frozenset[str] = frozenset()  # services that take only so much
        self._load: tuple[int, ...] = ()
        self._bands: list[int] = []
        self._kinds: dict[Hashable, list[Standing]] = {}
        self._lanes: dict[Hashable, dict[int, _From]] = {}
        self._many = 0  # of them
        self._names: dict[frozenset[str], frozenset[str]] = {}
        # the order that was asked for last, tags and service of its parcel, lanes of their kind
        self._last: _Last = None, frozenset(), "", {}
        self._memo: dict[Hashable, Any] = {}
        self._ready: dict[int, tuple[int, int]] = {}

    def kind(self, order: Order, parcel: Parcel) -> Hashable:
        """Return what `reach` depends on besides region, mode, snapshot and minute."""
        return order.tier, order.allow, order.deny, parcel.tags, parcel.service

    def reach(self, order: Order, parcel: Parcel, moment: Moment) -> Reach:
        """Return who could send an order of this kind, whatever its weight, and by when.

        What nobody carries, because it is fetched or because no service goes there, leaves when it
        is ready. For what is to be there at once, only who works at this moment is open.
        """
        self._keep(moment.snap, moment.now_ms)
        open_ = served = today = 0
        ships, arrives, days = [], [], []
        why: list[tuple[int, str]] = []
        for node in moment.snap.nodes:
            bit = 1 << node.no
            ship, now = self._when_ready(node, moment)
            works = order.mode != "instant" or calendars.open_at(
                node.calendar or ALWAYS, moment.now_ms
            )
            open_ |= bit if ship < NEVER and works else 0
            deliver = ship
            if order.mode == "pickup":
                served |= bit
            else:
                found, word, _ = self._at(order, node.no, parcel, moment)
                if found:
                    served |= bit
                    ship = min([one.ship_at for one in found])
                    deliver = min([one.deliver_at for one in found])
                else:
                    deliver = NEVER
                    why.append((node.no, word))
            day = self._day(node, ship)
            today |= bit if day == now else 0
            ships.append(ship)
            arrives.append(deliver)
            days.append(day)
        return Reach(open_, served, today, tuple(ships), tuple(arrives), tuple(days), tuple(why))

    def offer(self, order: Order, node: int, parcel: Parcel, moment: Moment) -> Offer:
        """Return the best service for one parcel from a node, or why there is none."""
        self._keep(moment.snap, moment.now_ms)
        found, word, services = self._at(order, node, parcel, moment)
        lane, price, why = None, 0, ""
        plain = not (order.cod or order.insured or moment.full)
        if plain and (not self._limited or self._limited.isdisjoint(services)):
            lane, price = choosing.cheapest(found, order, parcel)
        if lane is None:
            capacity = moment.snap.capacity
            lane, price, why = choosing.best(
                found, order, parcel, capacity, moment.full, moment.sent
            )
        if lane is None:
            return Offer(-1, "", 0, 0, NEVER, NEVER, 0, word or why)
        rate = lane.rate
        return Offer(
            lane.no, rate.card, rate.version, price, lane.ship_at, lane.deliver_at, lane.day
        )

    def _at(self, order: Order, no: int, parcel: Parcel, moment: Moment) -> _From:
        """Return the lanes from a node."""
        known, tags, service, lanes = self._last
        if known is not order or tags != parcel.tags or service != parcel.service:
            kind = self._whole_kind(order, parcel)
            if self._many >= _LANES_MAX:
                self._lanes.clear()
                self._many = 0
            lanes = self._lanes.setdefault(kind, {})
            self._last = order, parcel.tags, parcel.service, lanes
        kept = lanes.get(no)
        if kept is None:
            kept = lanes[no] = self._new(order, no, parcel, moment)
            self._many += 1
        return kept

    def _whole_kind(self, order: Order, parcel: Parcel) -> Hashable:
        return order.region, order.mode, self.kind(order, parcel)

    def _new(self, order: Order, no: int, parcel: Parcel, moment: Moment) -> _From:
        kind = self._whole_kind(order, parcel)
        snap = moment.snap
        of = self._kinds.get(kind)
        if of is None:
            of = self._kinds[kind] = choosing.standing(order, parcel, snap)
        reasons: list[tuple[int, str]] = []
        at = _next_minute(moment.now_ms)
        found = choosing.lanes(of, order.region, snap.nodes[no], snap, at, self._memo, reasons)
        word = "" if found else reasons[0][1] if reasons else "no_service"
        names = frozenset([lane.service.service for lane in found])
        return _From(found, word, self._names.setdefault(names, names))

    def _when_ready(self, node: Node, moment: Moment) -> tuple[int, int]:
        """Return when something would be ready at a node, and its local day of now."""
        kept = self._ready.get(node.no)
        if kept is None:
            calendar, now = node.calendar or ALWAYS, moment.now_ms
            at = _next_minute(now)
            load = moment.snap.load[node.no]
            ship = calendars.ship_at(calendar, node.handling, load, at, -1)
            kept = self._ready[node.no] = ship, calendars.local_day(calendar.timezone, now)
        return kept

    def _day(self, node: Node, at: int) -> int:
        if at >= NEVER:
            return 0
        zone = (node.calendar or ALWAYS).timezone
        key = zone, at
        kept = self._memo.get(key)
        if kept is None:
            kept = self._memo[key] = calendars.local_day(zone, at), 0
        return kept[0]

    def _keep(self, snap: Snapshot, now_ms: int) -> None:
        """Forget everything if what it depends on is another than the last time."""
        if self._seen[0] is snap and self._seen[1] == now_ms:
            return
        self._seen = snap, now_ms
        self._limited = frozenset(
            [of for (scope, of, _, _), (_, most) in snap.capacity.items()
             if scope == "service" and most is not None]
        )  # fmt: skip
        now = snap.nodes, snap.services, snap.cards, snap.off, minute(now_ms)
        of = self._of
        if (
            of
            and of[4] == now[4]
            and all(a is b for a, b in zip(of[:_BY_IDENTITY], now, strict=False))
        ):
            if snap.load is self._load:
                return
            self._load, before = snap.load, self._bands
            self._bands = bands(snap)
            if self._bands == before:
                return
        self._of, self._load, self._bands = now, snap.load, bands(snap)
        for kept in (self._kinds, self._lanes, self._names, self._memo, self._ready):
            kept.clear()
        self._many = 0
        self._last = None, frozenset(), "", {}


def minute(now_ms: int) -> tuple[int, int]:
    """Return what instants have in common at which carriers and calendars answer the same.

    A full minute is by itself: it begins the hours that begin with it, and is its own next one.
    """
    return now_ms // _MINUTE_MS, _next_minute(now_ms)


def _next_minute(now_ms: int) -> int:
    """Return the full minute that is next, or now: no promise is for an instant that has passed."""
    return -(-now_ms // _MINUTE_MS) * _MINUTE_MS
