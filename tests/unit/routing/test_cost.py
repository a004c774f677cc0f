"""What a decision costs, in CPU: 20 nodes, 30 rules, 5,000 SKUs, batches of 500.

The budget is 150 us an order; a test that runs beside others allows three times as much. Measured
by itself (`pytest -s`), it prints the figures.
"""

import time

import pytest

from engine.routing.rules.deciding import decide
from tests.unit.routing.crowd import Crowd
from tests.unit.routing.world import NOW

BUDGET_US, SLACK = 150, 3


def cost(nodes, lines="real", dc=0.97, store=0.5):
    """(us of CPU an order, parcels an order), the best of three."""
    crowd = Crowd(nodes, lines, dc, store)
    decide(crowd.plan, crowd.snap, crowd.orders, NOW, crowd.rates)  # what is kept is kept
    best = parts = 0
    for _ in range(3):
        began, parts = time.process_time(), 0
        for batch in crowd.batches():
            found = decide(crowd.plan, crowd.snap, batch, NOW, crowd.rates)
            parts += sum(len(one.parts) for one in found)
        spent = (time.process_time() - began) / len(crowd.orders) * 1e6
        best = min(best or spent, spent)
    print(f"{nodes} nodes, {lines} lines: {best:.0f} us, {parts / len(crowd.orders):.2f} parcels")  # noqa: T201  # the figures, for `pytest -s`
    return best


@pytest.mark.parametrize("lines", ["real", "d11"])
def test_a_decision_is_within_its_budget_and_grows_slower_than_nodes(lines):
    twenty = cost(20, lines)
    assert twenty <= BUDGET_US * SLACK
    ten, fifty = cost(10, lines), cost(50, lines)
    assert fifty <= 2 * ten * 1.5, "five times the nodes may cost twice as much"


def test_an_order_that_must_be_split_costs_not_much_more():
    assert cost(20, dc=0.8, store=0.35) <= 2 * BUDGET_US * SLACK
