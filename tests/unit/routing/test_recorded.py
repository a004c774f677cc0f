"""A decision's record stands by itself: what it saw is all that it takes to decide it again."""

import time

import msgspec
import pytest

from engine.routing.rules import facts, recorded
from engine.routing.rules.deciding import decide
from engine.routing.rules.facts import UnreadableFacts
from engine.routing.types.core import Scorer, Service, Split, Stock
from engine.routing.types.queue import Claimed
from tests.unit.routing.crowd import Crowd
from tests.unit.routing.test_properties import World
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


def records(snap, orders, decisions):
    by_id = {one.order_id: leased(one) for one in orders}
    pairs = [(by_id[one.order_id], one) for one in decisions]
    return recorded.packed(snap, NOW, pairs)


def leased(one):
    """Every other order with the bytes that it waited as."""
    return Claimed(one, "", 1, facts.pack(one) if len(one.order_id) % 2 else b"")


def emptied(snap):
    """The world without what a record brings: only what is documents."""
    return snap._replace(stock={}, capacity={}, load=(0,) * len(snap.nodes))


def alone(the_plan, snap, data, carriers, names=None):
    """Decide one order by its record."""
    seen = recorded.unpacked(data)
    then = recorded.world(seen, names or [one.node for one in snap.nodes], emptied(snap))
    (found,) = decide(the_plan._replace(memo={}), then, [seen.order], seen.at_ms, carriers)
    return found


def of_batches(seed):
    """Yield (world, snapshot, plan, orders as decided, decisions) of 50 random batches."""
    for each in range(seed, seed + 50):
        world = World(each)
        snap, the_plan = world.snap(), plan(*world.rules)
        decisions = decide(the_plan, snap, world.orders, NOW, Carriers(world.lanes))
        by_id = {one.order_id: one for one in world.orders}
        yield world, snap, the_plan, [by_id[one.order_id] for one in decisions], decisions


@pytest.mark.parametrize("seed", range(0, RUNS, 50))
def test_each_of_a_batch_comes_out_the_same_by_its_record_alone(seed):
    for world, snap, the_plan, orders, decisions in of_batches(seed):
        for data, decision in zip(records(snap, orders, decisions), decisions, strict=True):
            assert alone(the_plan, snap, data, Carriers(world.lanes)) == decision


def test_records_that_forget_what_others_of_the_batch_took_come_out_otherwise():
    """The control: what the batch began with is not what each saw."""
    lost = 0
    for world, snap, the_plan, orders, decisions in of_batches(0):
        for one, decision in zip(orders, decisions, strict=True):
            (data,) = records(snap, [one], [decision])
            lost += alone(the_plan, snap, data, Carriers(world.lanes)) != decision
    assert lost


def small(**over):
    """Two nodes, of which the second is asked when the first has not enough."""
    nodes = [node("A", sequence=1), node("B", sequence=2)]
    return snapshot(nodes, over.pop("stock", {"tea": [3, 3]}), **over)


FIRST = plan(rule("SINGLE_NODE", Scorer("fixed_sequence"), split=Split(max_parcels=1)))
LANES = [[Lane()], [Lane()]]


def test_a_node_has_another_number_is_new_or_is_gone():
    snap = small()
    (data,) = records(snap, [one := order([line(1, "tea", 2)])],
                      decide(FIRST, snap, [one], NOW, Carriers(LANES)))  # fmt: skip
    later = snapshot([node("0", sequence=0), node("B", sequence=2), node("A", sequence=1)], {})
    lanes = Carriers([[Lane()]] * 3)
    found = alone(FIRST, later, data, lanes, names=["A", "B"])
    assert [part.node for part in found.parts] == [2], "the new one had nothing then"
    gone = snapshot([node("B", sequence=2)], {})
    found = alone(FIRST, gone, data, Carriers(LANES[:1]), names=["A", "B"])
    assert [part.node for part in found.parts] == [0]


def test_safety_that_a_rule_may_override_is_kept():
    snap = small()
    snap.stock["tea"] = Stock([0, 3], [3, 3])
    one = order([line(1, "tea", 2)])
    (data,) = records(snap, [one], decide(FIRST, snap, [one], NOW, Carriers(LANES)))
    then = recorded.world(recorded.unpacked(data), ["A", "B"], emptied(snap))
    assert (then.stock["tea"].units, then.stock["tea"].usable) == ([0, 3], [3, 3])


def test_capacity_is_kept_where_it_is_scarce_or_weighs():
    cells = {
        ("node", "A", 0, "orders"): (10, 12), ("node", "A", 1, "orders"): (10, 1_000),
        ("service", "S0", 0, "orders"): (70, None), ("service", "S1", 0, "orders"): (70, None),
        ("node", "B", 0, "units"): (5, 9), ("node", "B", 0, "lines"): (5, 9),
    }  # fmt: skip
    snap = small(capacity=cells, services=(Service("S0", ratio=3), Service("S1")))
    orders = [order([line(1, "tea", 4), line(2, "tea", 2)], f"o{n}") for n in range(2)]
    decisions = decide(FIRST, snap, orders, NOW, Carriers(LANES))
    first, _ = records(snap, orders, decisions)
    kept = {tuple(room[:4]): tuple(room[4:]) for room in recorded.unpacked(first).rooms}
    assert kept == {
        ("node", "A", 0, "orders"): (10, 12), ("service", "S0", 0, "orders"): (70, None),
        ("node", "B", 0, "units"): (5, 9),
    }  # fmt: skip


@pytest.mark.parametrize(
    "data", [b"", b"\x02", b"\x02\xc0", b"\x07abc", msgspec.msgpack.encode([b"", 1, {}])]
)
def test_bytes_of_another_form_are_refused(data):
    with pytest.raises(UnreadableFacts):
        recorded.unpacked(data)


def test_a_record_costs_little_beside_its_decision():
    """The bar is generous, because other tests run beside it; `pytest -s` prints the figures."""
    crowd = Crowd(20)
    decided, pairs = 0.0, []
    by_id = {one.order_id: Claimed(one, "", 1, facts.pack(one)) for one in crowd.orders}
    for _ in range(3):
        began = time.process_time()
        for batch in crowd.batches():
            found = decide(crowd.plan, crowd.snap, batch, NOW, crowd.rates)
            pairs.append([(by_id[one.order_id], one) for one in found])
        decided = time.process_time() - began
    best, size = float("inf"), 0
    for _ in range(3):
        began = time.process_time()
        size = sum(len(data) for batch in pairs for data in recorded.packed(crowd.snap, NOW, batch))
        best = min(best, time.process_time() - began)
    count = sum(map(len, pairs))
    print(  # noqa: T201  # the figures, for `pytest -s`
        f"{best / count * 1e6:.1f} us an order, {size / count:.0f} bytes;"
        f" decided in {decided / len(crowd.orders) * 1e6:.0f} us"
    )
    assert best / count < 150e-6
