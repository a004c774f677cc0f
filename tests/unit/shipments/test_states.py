"""What reports come to: every order of arrival, every repeat, the same."""

import random
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations

import pytest

from engine.shipments.rules import calls, states
from engine.shipments.types.shipments import Line, Package, Standing, Told

T0 = datetime(2026, 11, 11, tzinfo=UTC)
LINES = (Line(1, "A", 3), Line(2, "B", 2))
KINDS = (
    "sent", "accepted", "picked", "packed", "waybill", "cancel_failed", "cancelled", "rejected",
    "partly_shipped", "shipped", "delivered",
)  # fmt: skip


def told(kind, *boxes, n=1, reply=False):
    return Told(kind, f"{kind}{n}", T0 + timedelta(minutes=n), reply, tuple(boxes))


def box(*items, waybill="W1"):
    return Package("sf", waybill, tuple(items))


def one_of_each():
    return {
        kind: told(kind, box((1, 1)), reply=kind == "sent")
        if kind == "partly_shipped"
        else told(kind, reply=kind == "sent")
        for kind in KINDS
    }


def as_they_come(reports):
    """What is kept after each report, as the service keeps it: the fold of all that came so far."""
    seen = {}
    for one in reports:
        seen.setdefault((one.kind, one.report_id), one)
        yield states.fold(seen.values(), LINES)


@pytest.mark.parametrize("size", range(1, 5))
def test_every_order_of_arrival_ends_the_same(size):
    reports = one_of_each()
    for chosen in combinations(KINDS, size):
        wanted = states.fold([reports[kind] for kind in chosen], LINES)
        for order in permutations(chosen):
            *_, last = as_they_come(reports[kind] for kind in order)
            assert last == wanted


def test_all_of_them_with_repeats_in_many_orders():
    reports, dice = list(one_of_each().values()), random.Random(5)
    wanted = states.fold(reports, LINES)
    for _ in range(500):
        order = [*reports, *dice.sample(reports, 5)]
        dice.shuffle(order)
        seen = list(as_they_come(order))
        assert seen[-1] == wanted
        assert [one.rank for one in seen] == sorted(one.rank for one in seen)
        units = [sum(n for _, n in one.left) for one in seen]
        assert units == sorted(units), "what left does not come back"


def fold(*reports):
    return states.fold(reports, LINES)


SENT = told("sent", reply=True)


@pytest.mark.parametrize(
    ("reports", "state"),
    [
        ([], ""),
        ([SENT], "sent"),
        ([SENT, told("picked")], "picked"),
        ([told("picked")], "picked"),  # its acceptance was lost
        ([SENT, told("waybill")], "packed"),
        ([SENT, told("cancelled")], "cancelled"),
        ([SENT, told("accepted"), told("rejected")], "rejected"),
        ([told("rejected", reply=True)], "rejected"),
        ([SENT, told("rejected"), told("cancelled")], "cancelled"),
        ([told("cancelled")], ""),  # our create is not answered: it may yet arrive
        ([told("accepted"), told("cancelled")], "accepted"),
        ([SENT, told("cancelled"), told("shipped")], "shipped"),
        ([SENT, told("cancelled"), told("partly_shipped", box((1, 1)))], "shipped"),
        ([SENT, told("partly_shipped", box((1, 1)))], "partly_shipped"),
        ([SENT, told("partly_shipped", box((1, 3), (2, 2)))], "shipped"),
        ([SENT, told("cancel_failed")], "sent"),
        ([SENT, told("delivered")], "delivered"),
        ([told("delivered"), told("returned"), told("returning")], "returned"),
    ],
)
def test_the_furthest_counts_and_shipped_beats_cancelled(reports, state):
    assert fold(*reports).state == state


def test_parcels_are_counted_once_however_often_they_are_told():
    one, two = box((1, 2), waybill="W1"), box((1, 1), (2, 2), waybill="W2")
    first = told("partly_shipped", one)
    assert fold(first).left == ((1, 2),)
    again = fold(first, told("partly_shipped", one, n=2))
    assert again.left == ((1, 2),)
    both = fold(first, told("shipped", one, two))
    assert (both.left, both.final, both.over) == (((1, 3), (2, 2)), True, 0)


def test_boxes_without_a_number_are_told_apart_by_their_report():
    bare = box((1, 1), waybill="")
    told_twice = fold(told("partly_shipped", bare, bare), told("partly_shipped", bare, n=2))
    assert told_twice.left == ((1, 3),)


def test_a_final_confirm_of_less_leaves_the_rest():
    found = fold(SENT, told("shipped", box((1, 1))))
    assert states.short(found, LINES) == ((1, 2), (2, 2))
    for other in (fold(SENT, told("partly_shipped", box((1, 1)))), fold(told("shipped")),
                  fold(SENT, told("delivered"))):  # fmt: skip
        assert states.short(other, LINES) == ()
    assert (found.state, found.left, found.final) == ("shipped", ((1, 1),), True)


def test_a_final_confirm_without_items_is_of_everything():
    assert fold(told("shipped")).left == ((1, 3), (2, 2))
    assert fold(told("delivered")).left == (), "a parcel's fate is not a confirm"


def test_what_is_beyond_the_plan_is_not_counted_as_left():
    found = fold(told("shipped", box((1, 5), (7, 1)), box((1, 1), waybill="W2")))
    assert (found.left, found.over) == (((1, 3),), 4)


@pytest.mark.parametrize(
    ("no_return", "first"),
    [("accepted", "accepted"), ("picked", "picked"), ("waybill", "waybill"),
     ("shipped", "partly_shipped")],
)  # fmt: skip
def test_the_point_of_no_return(no_return, first):
    order = ["sent", "accepted", "picked", "packed", "waybill", "partly_shipped", "shipped"]
    for kind in order:
        beyond = order.index(kind) >= order.index(first)
        assert states.is_beyond(fold(told(kind, box((1, 1)))), no_return) is beyond


def test_ours_lies_below_what_was_told():
    nothing = Standing("", 0, (), waybill=False, final=False, over=0)
    assert states.shown("unknown", nothing, stopping=True) == "unknown"
    assert states.shown("unknown", fold(SENT), stopping=False) == "sent"
    assert states.shown("stopping", fold(SENT), stopping=True) == "stopping"
    assert states.shown("stopping", fold(told("picked")), stopping=False) == "picked"
    assert states.shown("stopping", fold(told("shipped")), stopping=True) == "shipped"


def test_a_create_is_answered_before_it_is_cancelled():
    assert calls.due("planned", acknowledged=False, stopping=True) is None
    assert calls.due("planned", acknowledged=False, stopping=False) == "create"
    assert calls.due("unknown", acknowledged=False, stopping=True) == "create"
    assert calls.due("accepted", acknowledged=False, stopping=True) == "create"
    assert calls.due("stopping", acknowledged=True, stopping=True) == "cancel"
    assert calls.due("picked", acknowledged=True, stopping=False) is None
    assert calls.due("shipped", acknowledged=True, stopping=True) is None


def test_no_such_order_is_no_answer_to_a_cancel():
    assert calls.said("cancel", "no_such_order") is None
    assert calls.said("cancel", "unknown") is calls.said("create", "unknown") is None
    assert [calls.said("cancel", word) for word in ("done", "refused")] == [
        "cancelled", "cancel_failed"
    ]  # fmt: skip
    assert [calls.said("create", word) for word in ("done", "refused")] == ["sent", "rejected"]
