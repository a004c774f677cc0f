"""Seeded demand: its shape, and that a seed is all there is to it."""

from engine.simulation.demand import GIFT, HOT, seeded
from engine.simulation.types import Again, Cancel, Changed, Pay

ORDERS = 5_000
DEMAND = seeded(11, ORDERS)


def share(wanted):
    return sum(map(bool, map(wanted, DEMAND.orders))) / ORDERS


def test_the_same_seed_is_the_same_demand():
    assert seeded(11, 300) == seeded(11, 300)
    assert seeded(11, 300) != seeded(12, 300)


def test_a_third_of_the_orders_want_the_hot_sku():
    assert 0.30 < share(lambda order: HOT in {line.sku for line in order.lines}) < 0.38


def test_most_orders_have_one_or_two_lines_and_some_a_gift():
    assert share(lambda order: len([one for one in order.lines if not one.gift]) <= 2) > 0.9
    assert share(lambda order: len(order.lines) > 2) > 0.03
    assert 0.05 < share(lambda order: any(line.gift for line in order.lines)) < 0.15
    assert DEMAND.wanted()[GIFT] > DEMAND.stock[GIFT]


def test_arrivals_are_a_spike_and_then_a_tail():
    at = [order.at_s for order in DEMAND.orders]
    first, last = at[ORDERS // 4], at[-1] - at[-ORDERS // 4]
    assert at == sorted(at)
    assert first < last / 1.5


def test_every_habit_of_buyers_is_there():
    steps = {type(step) for order in DEMAND.orders for step in order.steps}
    assert steps == {Pay, Cancel, Again, Changed}
    assert share(lambda order: order.copies > 1) > 0.02
    assert share(lambda order: order.hangs_up) > 0.01
    assert share(lambda order: not order.steps) > 0.1
    assert share(lambda order: any(s.lines for s in order.steps if isinstance(s, Cancel))) > 0
    assert share(lambda order: any(s.after_s > 7 for s in order.steps)) > 0.01


def test_some_buyers_want_more_than_their_limit():
    wanted = {}
    for order in DEMAND.orders:
        for line in order.lines:
            wanted[order.buyer, line.sku] = wanted.get((order.buyer, line.sku), 0) + line.quantity
    over = [key for key, units in wanted.items() if units > DEMAND.limits.get(key[1], units)]
    assert len(over) > 10


def test_the_hot_sku_sells_out_and_the_shelf_has_every_sku():
    wanted = DEMAND.wanted()
    assert set(wanted) <= set(DEMAND.stock) == set(DEMAND.names)
    assert DEMAND.stock[HOT] < wanted[HOT] / 2
