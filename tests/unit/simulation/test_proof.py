"""The comparison of what buyers were told with what is recorded: each difference is a fault."""

import pytest

from engine.simulation import proof
from engine.simulation.naive import wanted_of
from engine.simulation.seen import Seen, SeenOrder, percentile
from engine.simulation.types import Demand, Line, Order

DEMAND = Demand(title="t", currency="CNY", orders=[], stock={"TEA": 2}, names={"TEA": "Tea"})


def seen():
    return Seen(
        orders={"T1": SeenOrder("id1", [("id1-1", "TEA", 2)], 100)},
        payments={("id1", "p1"): "applied"},
        cancels={("id1", "c1")},
    )


def rows(**other):
    order = {
        "order_id": "id1", "state": "open", "payment_state": "paid", "stock_state": "committed",
    }  # fmt: skip
    line = {"sku": "TEA", "quantity": 2, "open_quantity": 2}
    good = {
        "orders": {"T1": order},
        "lines": {"id1": [line]},
        "payments": {("id1", "p1"): "applied"},
        "cancels": {("id1", "c1")},
    }
    return proof.Rows(**{**good, **other})


def test_what_agrees_is_counted_and_has_no_fault():
    found = proof.compare(rows(), seen(), DEMAND)
    assert (found.faults, found.orders, found.paid, found.payments) == ([], 1, 1, 1)
    assert found.units_in_hand == {"TEA": 2}


GOOD = rows()
# ruff: noqa: E501 - a row of a table is one line
# fmt: off
FAULTS = {
    "lost order":        ({"orders": {}}, "is not recorded"),
    "another id":        ({"orders": {"T1": {**GOOD.orders["T1"], "order_id": "id2"}}}, "recorded as id2"),
    "phantom order":     ({"orders": {**GOOD.orders, "T2": {**GOOD.orders["T1"], "order_id": "id2"}}},
                          "its buyer was refused"),
    "other units":       ({"lines": {"id1": [{"sku": "TEA", "quantity": 1, "open_quantity": 1}]}},
                          "other lines"),
    "another SKU":       ({"lines": {"id1": [{"sku": "CUP", "quantity": 2, "open_quantity": 0}]}},
                          "other lines"),
    "lost line":         ({"lines": {}}, "other lines"),
    "lost payment":      ({"payments": {}}, "answered applied and is not recorded"),
    "payment left":      ({"payments": {("id1", "p1"): "received"}}, "never booked"),
    "payment turned":    ({"payments": {("id1", "p1"): "refund_due"}}, "recorded as refund_due"),
    "lost cancel":       ({"cancels": set()}, "cancel ('id1', 'c1') is not recorded"),
    "beyond the shelf":  ({"lines": {"id1": [{"sku": "TEA", "quantity": 2, "open_quantity": 3}]}},
                          "3 units of TEA are sold, 2 were on the shelf"),
}
# fmt: on


@pytest.mark.parametrize(("change", "told"), FAULTS.values(), ids=FAULTS)
def test_a_difference_is_a_fault(change, told):
    faults = proof.compare(rows(**change), seen(), DEMAND).faults
    assert [told in fault for fault in faults] == [True]


def test_an_order_whose_buyer_never_got_an_answer_may_be_recorded():
    unanswered = seen()
    unanswered.unknown.add("T2")
    more = {**GOOD.orders, "T2": {**GOOD.orders["T1"], "order_id": "id2"}}
    assert proof.compare(rows(orders=more), unanswered, DEMAND).faults == []


def test_a_payment_that_waited_may_end_either_way():
    waited = seen()
    waited.payments["id1", "p1"] = "received"
    for state in ("applied", "refund_due"):
        found = proof.compare(rows(payments={("id1", "p1"): state}), waited, DEMAND)
        assert found.faults == []


# fmt: off
PERCENTILES = [
    ([],                     0.50, 0.0),
    ([3.0],                  0.99, 3.0),
    ([1.0, 2.0, 3.0, 4.0],   0.50, 2.0),
    ([1.0, 2.0, 3.0, 4.0],   0.51, 3.0),
    ([1.0, 2.0, 3.0, 4.0],   1.00, 4.0),
]
# fmt: on


@pytest.mark.parametrize(("values", "share", "value"), PERCENTILES)
def test_percentile(values, share, value):
    assert percentile(values, share) == value


# fmt: off
NAIVE = [
    # lines (sku, units, droppable)                stock                  taken (units, left)
    ([("TEA", 2, False)],                          {"TEA": 3},            {"TEA": (2, 1)}),
    ([("TEA", 2, False)],                          {"TEA": 1},            {}),
    ([("TEA", 1, False), ("TEA", 1, False)],       {"TEA": 1},            {}),
    ([("TEA", 1, False), ("CUP", 1, True)],        {"TEA": 1, "CUP": 0},  {"TEA": (1, 0)}),
]
# fmt: on


@pytest.mark.parametrize(("lines", "stock", "taken"), NAIVE)
def test_the_naive_script_is_right_when_it_is_alone(lines, stock, taken):
    order = Order("1", "b", 0.0, tuple(Line(s, n, 1, droppable=d) for s, n, d in lines))
    assert wanted_of(order, stock) == taken
