"""One order in words: what was decided, what is left, and what nobody has a word for."""

import pytest

from engine.routing.following import amount, followed

NOTHING = {"blocks": [], "queue": None, "fulfilments": [], "timeline": [], "lines": []}
ORDER = {"order_id": "o1", "channel": "mall", "status": "paid",
         "payable": {"amount": 300, "currency": "CNY"}}  # fmt: skip
DECIDED = {
    "n": 1, "at": "2026-11-11T00:00:01.500Z", "verdict": "parked", "plan": "near", "version": 3,
    "stage": 1, "rule": 2, "rule_name": "", "queue": "UNFILLABLE", "reason": "nobody_has_it",
    "parts": [], "rest": [{"line_id": "o1-1", "sku": "tea", "quantity": 11}], "runner_up": None,
    "tried": [
        {"stage": 1, "rule": 1, "name": "whole", "filters": [
            {"filter": "mode", "dropped": [], "left": 3},
            {"filter": "calendar", "dropped": [f"n{n}" for n in range(10)], "left": 2},
         ], "candidates": ["a", "b"], "complete": [], "lacking": [{"node": "a", "skus": ["tea"]}],
         "scores": [], "why": "no_single_node"},
    ],
    "carriers": [{"node": "x", "reason": "no_service"}, {"node": "y", "reason": "no_service"}],
    "bounded": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("units", "currency", "text"),
    [(800, "CNY", "8.00 CNY"), (800, "JPY", "800 JPY"), (1_234_500, "KWD", "1,234.500 KWD")],
)
def test_money_as_people_write_it(units, currency, text):
    assert amount({"amount": units, "currency": currency}) == text


def test_by_how_much_the_second_is_worse_is_said_in_its_units():
    part = {
        "node": "a", "service": "sf", "card": "", "card_version": 0, "grams": 1, "lines": [],
        "quote": {"amount": 800, "currency": "CNY"}, "ship_at": None, "deliver_by": None,
    }  # fmt: skip
    second = {"nodes": ["b"], "worse_by": {"freight": 400, "total_cost": -50, "distance": 655_900,
                                           "parcels": 1}}  # fmt: skip
    one = DECIDED | {"verdict": "routed", "parts": [part], "rest": [], "runner_up": second,
                     "tried": [], "carriers": []}  # fmt: skip
    (line,) = [one for one in told({}, items=[one]) if one.startswith("second")]
    assert line == "second: b, freight +4.00 CNY, total_cost -0.50 CNY, +655.9 km, parcels +1"
    yen = one | {"parts": [part | {"quote": {"amount": 800, "currency": "JPY"}}]}
    assert "freight +400 JPY," in "".join(told({}, items=[yen]))


def told(order, **routing):
    return [line.strip() for line in followed(ORDER | NOTHING | order, routing)]


def test_why_it_could_not_be_sent():
    assert told({}, items=[DECIDED])[3:] == [
        "rule 1 (whole): no_single_node",
        "calendar drops n0, n1, n2, n3, n4, n5, n6, n7 and 2 more",
        "a lacks tea",
        "no carrier from x, y: no_service",
        "left: 11 x tea, UNFILLABLE, nobody_has_it",
    ]


def test_what_it_waits_for_now():
    queue = {"queue": "UNFILLABLE", "reason": "r", "since": "2026-11-11T00:00:00.000Z"}
    block = {"code": "review", "until": None}
    refused = {"node": "a", "units": 2, "reason": "damaged", "excluded_until": None}
    broken = {"units": 2, "sku": "tea", "reason": "no_stock", "until": None}
    kept = broken | {"until": "2026-11-11T00:00:00.000Z"}
    lines = told({"queue": queue, "blocks": [block]}, rejections=[refused],
                 broken_promises=[broken, kept])  # fmt: skip
    assert lines[1:] == [
        "blocked: review",
        "waits in UNFILLABLE since 2026-11-11T00:00:00.000Z: r",
        "not asked again: a, 2 units, damaged",
        "a promise is broken: 2 x tea, no_stock",
    ]


def test_a_decision_that_is_not_kept_any_more_is_told_by_its_event():
    event = {"at": "2026-11-11T00:00:00.000Z", "actor": "router"}
    parked = event | {"kind": "order.parked", "data": {"queue": "MANUAL", "reason": "max_hops"}}
    other = event | {"kind": "order.lines_cancelled", "data": {"whatever": "张三"}}
    lines = told({"timeline": [parked, other]}, items=[])
    assert [line.partition(" s  ")[2] for line in lines[2:]] == [
        "parked in MANUAL: max_hops", "order lines cancelled",
    ]  # fmt: skip


def test_what_a_person_wrote_of_a_block_is_left_out():
    event = {"at": "2026-11-11T00:00:00.000Z", "kind": "order.blocked"}
    data = {"code": "manual", "line_id": "", "reason": "张三 called", "until": None}
    (_, _, line) = told({"timeline": [event | {"actor": "admin", "data": data}]})
    assert line.endswith("blocked: manual")
