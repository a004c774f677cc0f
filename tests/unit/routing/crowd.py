"""A batch as on a sale's day: nodes, 5,000 SKUs, 30 rules' conditions, orders of real sizes."""

import random

from engine.routing.types.core import (
    Line,
    NodeFilter,
    Offer,
    Order,
    Reach,
    Scorer,
    Service,
    SourcingRule,
    Split,
    Stage,
)
from tests.unit.routing.world import DAY_MS, Table, node, plan, snapshot

SKUS, REGIONS = 5_000, 340
# lines per order of a real shop, in permille: median 8, mean 15, the longest at 120
SIZES = (
    (1, 150), (2, 80), (3, 60), (4, 55), (5, 50), (6, 50), (7, 45), (8, 40), (9, 40), (10, 35),
    (12, 70), (14, 60), (17, 55), (20, 50), (25, 50), (31, 40), (40, 35), (60, 20), (120, 15),
)  # fmt: skip


class Rates:
    """Three services a node, priced by region and kilogram; what was asked is kept."""

    def __init__(self, rnd, nodes):
        self.nodes = nodes
        self.days = [[rnd.randrange(1, 5) for _ in range(nodes)] for _ in range(REGIONS)]
        self.rates = [
            [(rnd.randrange(500, 900), rnd.randrange(80, 300)) for _ in range(nodes * 3)]
            for _ in range(REGIONS)
        ]
        self.kept = {}

    def kind(self, order, parcel):
        return (order.tier, order.allow, order.deny, parcel.service)

    def reach(self, order, _parcel, moment):
        region, every = int(order.region), (1 << self.nodes) - 1
        at = tuple(moment.now_ms + days * DAY_MS for days in self.days[region])
        zero = (0,) * self.nodes
        return Reach(every, every, every, (moment.now_ms,) * self.nodes, at, zero)

    def offer(self, order, no, parcel, moment):
        steps = -(-max(0, parcel.grams - 1_000) // 1_000)
        key = (order.region, no, steps)
        told = self.kept.get(key)
        if told is None:
            region, at = int(order.region), moment.now_ms
            lanes = self.rates[region][no :: self.nodes]
            quote, service = min((first + step * steps, n) for n, (first, step) in enumerate(lanes))
            days = self.days[region][no] * DAY_MS
            told = self.kept[key] = Offer(service, "c", 1, quote, at, at + days, 0)
        return told


def judge():
    """30 conditions as one function, as a compiled plan has them."""
    source = [
        (
            f"(o[1] == 'd11' and o[2] > {90_000 + i} and 'PRESELL' not in o[3])",
            f"(o[0] in ('mall', 'jd{i}') and o[4] <= {i} and o[5].startswith('{10 + i}'))",
            f"(any(t == 'FRESH{i}' or t == 'COLD' for t in o[3]) and o[2] >= 5000)",
        )[i % 3]
        for i in range(30)
    ]
    names = {}
    body = " | ".join(f"{one} << {i}" for i, one in enumerate(source))
    exec(f"def judge(o):\n return {body} | 1 << 30", names)  # noqa: S102  # it is written above
    return names["judge"]


def rules(nodes):
    """30 rules of which the last always applies: one node if there is one, else the fewest."""
    scorers = tuple(map(Scorer, ("delivery_eta", "total_cost", "node_load")))
    reachable = NodeFilter("cutoff_reachable", "eq", value=True)
    found = []
    for i in range(30):
        split = i == 29
        found.append(
            SourcingRule(
                i + 1, f"r{i}", 1 << (30 if split else i), "MIN_SPLIT" if split else "SINGLE_NODE",
                (NodeFilter("node", "ne", f"n{i % nodes}"), reachable),
                scorers=scorers, split=Split(max_parcels=8),
            )
        )  # fmt: skip
    return found


class Crowd:
    """Everything for one measurement."""

    def __init__(self, nodes, lines="real", dc=0.97, store=0.5, orders=1_000, seed=7):
        rnd = random.Random(seed)
        dcs = max(4, nodes // 5)
        stock = {
            f"sku{n}": [
                rnd.randrange(1, 400) if rnd.random() < (dc if no < dcs else store) else 0
                for no in range(nodes)
            ]
            for n in range(SKUS)
        }
        self.snap = snapshot(
            [node(f"n{no}", region="1", pick_cost=50) for no in range(nodes)], stock,
            regions=Table(), services=tuple(Service(f"S{n}") for n in range(3)),
        )  # fmt: skip
        self.plan = plan(stages=(Stage(1, rules=tuple(rules(nodes))),), judge=judge())
        self.rates = Rates(rnd, nodes)
        sizes = (
            [size for size, n in SIZES for _ in range(n)] if lines == "real" else [1, 1, 1, 2, 2]
        )
        self.orders = [self.an_order(rnd, n, sizes, lines) for n in range(orders)]

    def an_order(self, rnd, n, sizes, lines):
        many = (1, 1, 1, 2, 3, 6, 12) if lines == "real" else (1,)
        skus = [rnd.randrange(SKUS) for _ in range(rnd.choice(sizes))]
        found = []
        for no, sku in enumerate(skus, 1):
            units = rnd.choice(many)
            found.append(
                Line(no, f"sku{sku}", "cn", units, units * rnd.randrange(100, 900), 0, 100)
            )
        facts = ("mall", "d11", 12_000, ("GIFT",), 9_000, "440305")
        return Order(
            f"o{n}", "t", "mall", facts, str(rnd.randrange(REGIONS)), None, None, tuple(found)
        )

    def batches(self, size=500):
        for at in range(0, len(self.orders), size):
            yield self.orders[at : at + size]
