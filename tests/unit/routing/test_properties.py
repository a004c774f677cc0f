"""What holds of every decision, whatever is asked: sums, stock, capacity, order of candidates."""

import random

import pytest

from engine.routing.rules import splitting
from engine.routing.rules.deciding import decide
from engine.routing.types.core import (
    Constraint,
    NodeFilter,
    Scorer,
    Service,
    Split,
    Unfilled,
)
from tests.unit.routing.world import (
    NOW,
    Carriers,
    Lane,
    line,
    node,
    order,
    plan,
    rule,
    snapshot,
)

RUNS = 300


class World:
    """A seeded batch of anything: repeated SKUs, groups, refusals, limits, several rules."""

    def __init__(self, seed):
        self.rnd = rnd = random.Random(seed)
        self.count = count = rnd.randint(1, 7)
        self.nodes = [
            node(
                f"n{no}", group=rnd.choice(("cn", "cn", "cn", "hk")), sequence=no,
                region=f"{310_000 + rnd.randrange(9)}", pick_cost=rnd.randrange(90),
                modes=frozenset(rnd.sample(("ship", "pickup", "instant"), 2)) | {"ship"},
                kind=rnd.choice(("DC", "STORE")),
            )
            for no in range(count)
        ]  # fmt: skip
        self.skus = [f"s{n}" for n in range(rnd.randint(1, 5))]
        self.stock = {
            sku: [rnd.choice((0, 1, 2, 5, 9, 30)) for _ in range(count)] for sku in self.skus
        }
        self.capacity = {
            (scope, name, 0, dimension): (used := rnd.randrange(3), used + rnd.randrange(4))
            for scope, name, dimension in (
                *[("node", f"n{no}", d) for no in range(count) for d in ("orders", "units")],
                ("service", "S0", "orders"), ("service", "S1", "orders"),
            )
            if rnd.random() < 0.3
        }  # fmt: skip
        self.lanes = [
            [Lane(n, 400 + (1 << no) + 100 * n, 0, 1) for n in range(rnd.randint(1, 2))]
            for no in range(count)
        ]
        self.rules = [self.a_rule(seq) for seq in range(1, rnd.randint(2, 4))]
        self.orders = [self.an_order(n) for n in range(rnd.randint(1, 6))]

    def a_rule(self, seq):
        rnd = self.rnd
        metrics = rnd.sample(("delivery_eta", "total_cost", "node_load", "distance", "freight"), 2)
        filters = rnd.sample(
            (
                NodeFilter("node", "ne", f"n{rnd.randrange(7)}"),
                NodeFilter("safety_stock", "eq", 2),
                NodeFilter("capacity_left", "gt", 1), NodeFilter("node_type", "eq", "DC"),
            ),
            rnd.choice((0, 0, 1)),
        )  # fmt: skip
        split = Split(
            max_parcels=rnd.randint(1, 5), min_parcel_value=rnd.choice((0, 0, 1_500)),
            all_or_hold=rnd.random() < 0.2, allow_partial_line=rnd.random() < 0.5,
            keep_together=rnd.choice(((), ("SET",))),
        )  # fmt: skip
        constraints = rnd.sample(
            (
                Constraint("separate", {"tags": ["HAZMAT"]}),
                Constraint("max_cost", {"amount": 1_500}),
                Constraint("value_per_parcel", {"amount": 9_000}),
            ),
            rnd.choice((0, 0, 1)),
        )  # fmt: skip
        return rule(
            rnd.choice(("SINGLE_NODE", "MIN_SPLIT", "ANY_SPLIT", "GROUPED")),
            *map(Scorer, metrics), seq=seq, filters=tuple(filters), split=split,
            weighted=rnd.random() < 0.3, constraints=tuple(constraints),
            on_unfilled=Unfilled(rnd.choice(("NEXT_RULE", "NEXT_RULE", "PARK"))),
        )  # fmt: skip

    def an_order(self, n):
        rnd = self.rnd
        lines = [
            line(
                no, rnd.choice([*self.skus, "declared"]), rnd.choice((1, 2, 3, 8, 20)),
                group=rnd.choice(("cn", "cn", "cn", "hk")), value=rnd.randrange(500, 5_000),
                grams=rnd.randrange(100, 5_000), node=rnd.choice(("", "", "", "n0")),
                tags=frozenset(rnd.sample(("HAZMAT", "SET"), rnd.choice((0, 0, 1)))),
                service=rnd.choice(("", "", "", "S1")),
                together=rnd.choice(("", "", "", "x", "y")),
            )
            for no in range(1, rnd.randint(1, 6) + 1)
        ]  # fmt: skip
        return order(
            lines, f"o{n}", mode=rnd.choice(("ship", "ship", "ship", "pickup", "instant")),
            excluded=tuple((rnd.randint(1, 4), f"n{rnd.randrange(7)}", NOW + 9) for _ in range(1)),
        )  # fmt: skip

    def snap(self, **over):
        services = (Service("S0"), Service("S1"))
        return snapshot(
            self.nodes, over.get("stock", self.stock),
            capacity=over.get("capacity", self.capacity), services=services,
            load=over.get("load", (0,) * self.count),
        )  # fmt: skip

    def decide(self, orders=None, snap=None):
        snap = snap or self.snap()
        return decide(plan(*self.rules), snap, orders or self.orders, NOW, Carriers(self.lanes))


def units(decision, one):
    """(what parts have, what is left) by line."""
    placed = [0] * len(one.lines)
    for part in decision.parts:
        for index, n in part.atoms:
            assert n > 0
            placed[index] += n
    rest = dict(decision.rest)
    return placed, [rest.get(index, 0) for index in range(len(one.lines))]


@pytest.mark.parametrize("seed", range(0, RUNS, 50))
def test_a_sum_never_differs_from_what_was_asked(seed):
    for each in range(seed, seed + 50):
        world = World(each)
        by_id = {one.order_id: one for one in world.orders}
        decided = world.decide()
        assert sorted(one.order_id for one in decided) == sorted(by_id)
        for decision in decided:
            one = by_id[decision.order_id]
            placed, rest = units(decision, one)
            assert [a + b for a, b in zip(placed, rest, strict=True)] == [
                x.units for x in one.lines
            ]
            assert bool(decision.rest) == bool(decision.queue)
            assert (decision.verdict == "routed") == bool(decision.parts)


@pytest.mark.parametrize("seed", range(0, RUNS, 50))
def test_stock_and_capacity_of_the_snapshot_are_never_exceeded_by_a_batch(seed):
    for each in range(seed, seed + 50):
        world = World(each)
        by_id = {one.order_id: one for one in world.orders}
        taken, used = {}, {}
        for decision in world.decide():
            for part in decision.parts:
                for index, n in part.atoms:
                    key = (part.node, by_id[decision.order_id].lines[index].sku)
                    taken[key] = taken.get(key, 0) + n
                for *key, n in part.slots:
                    used[tuple(key)] = used.get(tuple(key), 0) + n
        for (no, sku), n in taken.items():
            assert sku == "declared" or n <= world.stock[sku][no], each
        for key, (before, limit) in world.capacity.items():
            assert used.get(key, 0) == 0 or before + used[key] <= limit, (each, key)


def test_a_part_is_where_it_may_be():
    for each in range(RUNS):
        world = World(each)
        by_id = {one.order_id: one for one in world.orders}
        for decision in world.decide():
            one = by_id[decision.order_id]
            refused = {(line_no, name) for line_no, name, _ in one.excluded}
            for part in decision.parts:
                place = world.nodes[part.node]
                assert one.mode in place.modes
                assert one.mode == "ship" or len({p.node for p in decision.parts}) == 1
                for index, _ in part.atoms:
                    asked = one.lines[index]
                    assert asked.group == place.group
                    assert asked.node in {"", place.node}
                    assert (asked.line_no, place.node) not in refused
                    assert one.mode == "pickup" or asked.service in {"", f"S{part.service}"}


def test_what_goes_together_is_in_one_part_or_in_none():
    together = alone = 0
    for each in range(RUNS):
        world = World(each)
        by_id = {one.order_id: one for one in world.orders}
        for decision in world.decide():
            asked = by_id[decision.order_id].lines
            for name in {one.together for one in asked} - {""}:
                all_ = {(i, one.units) for i, one in enumerate(asked) if one.together == name}
                having = [part for part in decision.parts if all_ & set(part.atoms)]
                placed = [index for part in decision.parts for index, _ in part.atoms]
                if having:
                    assert all_ <= set(having[0].atoms), each
                    assert all(placed.count(index) == 1 for index, _ in all_), each
                    together += len(all_) > 1
                    alone += len(having[0].atoms) == len(all_)
                else:
                    assert not any(index in placed for index, _ in all_), each
    assert together > 10
    assert alone > 10


def test_orders_one_by_one_are_decided_as_in_a_batch():
    """The layer over the snapshot is the snapshot that one would read in between."""
    for each in range(RUNS):
        world = World(each)
        stock = {sku: list(row) for sku, row in world.stock.items()}
        capacity, load = dict(world.capacity), [0] * world.count
        for decision in world.decide():
            one = next(o for o in world.orders if o.order_id == decision.order_id)
            snap = world.snap(stock=stock, capacity=capacity, load=tuple(load))
            (alone,) = world.decide([one], snap)
            assert alone == decision, each
            for part in decision.parts:
                load[part.node] += 1
                for index, n in part.atoms:
                    if one.lines[index].sku in stock:
                        stock[one.lines[index].sku][part.node] -= n
                for *key, n in part.slots:
                    if tuple(key) in capacity:
                        used, limit = capacity[tuple(key)]
                        capacity[tuple(key)] = used + n, limit


def test_the_snapshot_stays_as_it_is_and_what_is_kept_changes_nothing():
    for each in range(0, RUNS, 3):
        world = World(each)
        snap, kept = world.snap(), plan(*world.rules)
        before = {sku: (list(s.units), s.mask, s.much, s.least) for sku, s in snap.stock.items()}
        carriers = Carriers(world.lanes)
        first = decide(kept, snap, world.orders, NOW, carriers)
        asked = carriers.asked
        assert decide(kept, snap, world.orders, NOW, carriers) == first
        assert carriers.asked == asked, "what carriers said a moment ago is asked for again"
        assert world.decide() == first
        after = {sku: (list(s.units), s.mask, s.much, s.least) for sku, s in snap.stock.items()}
        assert after == before


def named(decision, nodes):
    return (
        decision.order_id, decision.queue, decision.reason, decision.rest,
        sorted((nodes[part.node].node, part.atoms, part.quote) for part in decision.parts),
    )  # fmt: skip


def test_the_order_of_candidates_decides_nothing():
    """Nodes are listed another way; costs are such that no two sets of nodes are equal."""
    differs = 0
    for each in range(RUNS):
        world = World(each)
        scorers = (Scorer("fixed_sequence"), Scorer("freight"))
        world.rules = [one._replace(scorers=scorers, weighted=False) for one in world.rules]
        world.orders = [one._replace(mode="ship") for one in world.orders]
        other = World(each)
        other.rules, other.orders = world.rules, world.orders
        shuffled = list(range(world.count))
        random.Random(each).shuffle(shuffled)
        differs += shuffled != sorted(shuffled)
        other.nodes = [world.nodes[no] for no in shuffled]
        other.stock = {sku: [row[no] for no in shuffled] for sku, row in world.stock.items()}
        other.lanes = [world.lanes[no] for no in shuffled]
        if any(one.split.allow_partial_line for one in world.rules):
            continue  # of equal stock the lower number is cut from, and numbers are what changed
        assert [named(one, other.nodes) for one in other.decide()] == [
            named(one, world.nodes) for one in world.decide()
        ], each
    assert differs > RUNS // 2


def careless(lot, free, used, *, lines):
    """What others shipped: each node gives what was asked, not what remains."""
    del used, lines
    return [(no, index, min(n, free[no])) for index, n in lot for no in sorted(free) if free[no]]


def test_control_the_careless_sum_is_noticed(monkeypatch):
    world = snapshot([node("A"), node("B")], {"a": [10, 15]})
    asked = order([line(1, "a", 20)])
    one = rule("MIN_SPLIT", split=Split(allow_partial_line=True))

    def decided():
        return decide(plan(one), world, [asked], NOW, Carriers([[Lane()], [Lane()]]))[0]

    assert [part.atoms for part in decided().parts] == [((0, 15),), ((0, 5),)]
    monkeypatch.setattr(splitting, "spread", careless)
    with pytest.raises(AssertionError, match="more was placed than was asked"):
        decided()
