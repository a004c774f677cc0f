"""A small world for routing: nodes, stock, an order, and carriers that are constants."""

from typing import NamedTuple

from engine.routing.types.core import (
    CompiledPlan,
    Line,
    Node,
    Offer,
    Order,
    Reach,
    Service,
    Snapshot,
    SourcingRule,
    Stage,
    Stock,
)

NOW = 1_794_000_000_000
DAY_MS = 86_400_000


class Lane(NamedTuple):
    """What one service charges and how long it takes from a node to anywhere."""

    service: int = 0
    first: int = 500
    step: int = 0
    days: int = 1
    grams_max: int = 1 << 40


class Carriers:
    """A stand-in for carriers and calendars: a list of lanes by node; the first kilogram, then
    steps of one. Of the lanes that take the parcel the cheapest, then the first."""

    def __init__(self, lanes, *, closed=0, late=0, whys=None, tiers=None):
        self.lanes, self.closed, self.late = lanes, closed, late
        self.whys, self.tiers = whys or {}, tiers or {}
        self.asked = 0

    def kind(self, order, parcel):
        return (order.tier, order.allow, order.deny, parcel.service, order.cod > 0)

    def fits(self, order, node, parcel, snap, full):
        for lane in self.lanes[node]:
            service = snap.services[lane.service]
            if order.allow and service.service not in order.allow:
                continue
            if service.service in order.deny or (order.cod and not service.cod):
                continue
            if parcel.service and service.service != parcel.service:
                continue
            if order.tier and service.tier and service.tier != order.tier:
                continue
            if parcel.tags & service.tags_not or (lane.service, 0) in full:
                continue
            if any(
                name == service.service and order.region.startswith(region)
                for name, region in snap.off
            ):
                continue
            yield lane

    def reach(self, order, parcel, moment):
        self.asked += 1
        snap, every = moment.snap, range(len(moment.snap.nodes))
        served, deliver, why = 0, [], []
        for no in every:
            lanes = list(self.fits(order, no, parcel, snap, frozenset()))
            if lanes:
                served |= 1 << no
                best = min(lanes, key=lambda lane: (lane.first, lane.service))
                deliver.append(moment.now_ms + best.days * DAY_MS)
            else:
                deliver.append(1 << 50)
                why.append((no, "no_service"))
        nodes = (1 << len(snap.nodes)) - 1
        at = (moment.now_ms,) * len(snap.nodes)
        return Reach(
            nodes & ~self.closed, served, nodes & ~self.late, at, tuple(deliver),
            (0,) * len(snap.nodes), tuple(why),
        )  # fmt: skip

    def offer(self, order, node, parcel, moment):
        lanes = [
            lane
            for lane in self.fits(order, node, parcel, moment.snap, moment.full)
            if parcel.grams <= lane.grams_max
        ]
        if not lanes:
            return Offer(0, "", 0, 0, 0, 0, 0, "no_carrier")
        priced = [(self.price(lane, parcel.grams), lane.service, lane) for lane in lanes]
        quote, service, lane = min(priced, key=lambda one: one[:2])
        at = moment.now_ms
        return Offer(service, "card", 1, quote, at, at + lane.days * DAY_MS, 0)

    @staticmethod
    def price(lane, grams):
        return lane.first + lane.step * -(-max(0, grams - 1_000) // 1_000)


class Table:
    """Distances of regions: whole kilometres between the numbers they are written with."""

    def metres(self, a, b):
        return abs(int(a) - int(b)) * 1_000 if a and b else None


def snapshot(nodes, stock, **rest):
    """A snapshot of `{sku: [units by node]}`; groups are those of the nodes."""
    nodes = tuple(one._replace(no=no) for no, one in enumerate(nodes))
    groups = {}
    for one in nodes:
        groups[one.group] = groups.get(one.group, 0) | 1 << one.no
    return Snapshot(
        nodes, {one.node: one.no for one in nodes},
        {sku: Stock(list(row)) for sku, row in stock.items()}, groups,
        rest.get("capacity", {}), rest.get("load", (0,) * len(nodes)),
        rest.get("services", (Service("S0"),)), None, frozenset(rest.get("off", ())),
        rest.get("regions", Table()), rest.get("metrics", {}), 1,
    )  # fmt: skip


def plan(*rules, judge=lambda _: 0, max_hops=3, stages=None):
    return CompiledPlan("test", 1, judge, stages or (Stage(1, rules=tuple(rules)),), max_hops, {})


def order(lines, order_id="o1", **rest):
    rest = {"region": "310000", "lat": None, "lon": None, "facts": ()} | rest
    return Order(order_id, "t", "shop", lines=tuple(lines), **rest)


def line(line_no, sku, units=1, **rest):
    return Line(line_no, sku, rest.pop("group", "cn"), units, **rest)


def node(name, **rest):
    return Node(name, 0, group=rest.pop("group", "cn"), **rest)


def rule(assignment="MIN_SPLIT", *scorers, **rest):
    return SourcingRule(
        rest.pop("seq", 1), rest.pop("name", "rule"), assignment=assignment, scorers=scorers, **rest
    )
