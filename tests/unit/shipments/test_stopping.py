"""Which answer a stop gets, and how far an order is."""

from datetime import UTC, datetime
from itertools import product

import pytest

from engine.shipments.rules import progress, states, stopping
from engine.shipments.types.shipments import Line, Package, Shipment, Told

T0 = datetime(2026, 11, 11, tzinfo=UTC)
WORDS = ("", "stopped", "not_stopped", "intercept_requested")


def shipment(state="sent", n=1, lines=((1, 2),), **over):
    planned = tuple(Line(line, "A", units) for line, units in lines)
    return Shipment(
        f"o-s{n}", "main", "o", "N", 1, f"o-s{n}", "ship", planned, "", "picked",
        intercepts=False, release_at=None, capacity=(), capacity_back=False, state=state,
        cancelling=False,
        wms_ref="", reason="",
    )._replace(**over)  # fmt: skip


def fold(*kinds):
    sent = Told("sent", "r", T0, reply=True)
    box = (Package("sf", "W1", ((1, 1),)),)
    out = {"partly_shipped", "shipped"}
    told = [Told(kind, kind, T0, packages=box if kind in out else ()) for kind in kinds]
    return states.fold([sent, *told], [Line(1, "A", 2)])


@pytest.mark.parametrize(
    ("no_return", "kinds", "answer"),
    [
        ("picked", (), ""),
        ("picked", ("accepted",), ""),
        ("picked", ("picked",), "not_stopped"),
        ("accepted", ("accepted",), "not_stopped"),
        ("shipped", ("packed", "waybill"), ""),
        ("shipped", ("partly_shipped",), "not_stopped"),
    ],
)
def test_what_is_certain_when_it_is_asked(no_return, kinds, answer):
    assert stopping.at_ask(shipment(no_return=no_return), fold(*kinds)) == answer


def test_what_no_node_was_asked_for_is_stopped_and_what_one_may_get_is_not():
    nothing = states.fold([], [Line(1, "A", 2)])
    assert stopping.at_ask(shipment("planned"), nothing) == "stopped"
    assert stopping.at_ask(shipment("sending"), nothing) == ""
    assert stopping.at_ask(shipment("unknown"), nothing) == ""


def test_a_carrier_may_turn_it_back_while_it_has_it():
    one = shipment(intercepts=True)
    assert stopping.at_ask(one, fold("picked")) == "not_stopped", "it has no number yet"
    assert stopping.at_ask(one, fold("picked", "waybill")) == "intercept_requested"
    assert stopping.at_ask(one, fold("shipped")) == "intercept_requested"
    assert stopping.at_ask(one, fold("shipped", "delivered")) == "not_stopped"


@pytest.mark.parametrize(
    ("kinds", "refused", "answer"),
    [
        (("accepted",), False, ""),
        (("accepted",), True, "not_stopped"),
        (("accepted", "cancelled"), True, "stopped"),
        (("rejected",), False, "stopped"),
        (("picked",), False, "not_stopped"),
        (("cancelled", "shipped"), False, "not_stopped"),
        (("cancelled", "partly_shipped"), False, "not_stopped"),
    ],
)
def test_an_open_part_is_answered_by_what_the_node_says(kinds, refused, answer):
    assert stopping.at_report(shipment("stopping"), fold(*kinds), refused=refused) == answer


@pytest.mark.parametrize("parts", list(product(WORDS, repeat=3)))
def test_a_stop_promises_no_more_than_each_of_its_parts(parts):
    found = stopping.whole(parts)
    assert (found == "") is ("" in parts)
    assert (found == "stopped") is (set(parts) == {"stopped"})
    assert stopping.whole(()) == "stopped"


def test_only_live_shipments_with_these_lines_are_touched():
    shipments = [
        shipment(n=1), shipment(n=2, lines=((2, 1),)), shipment("cancelled", n=3),
        shipment("rejected", n=4), shipment("shipped", n=5),
    ]  # fmt: skip
    assert [one.shipment_id for one in stopping.touched(shipments, ())] == ["o-s1", "o-s2", "o-s5"]
    assert [one.shipment_id for one in stopping.touched(shipments, ((2, 1),))] == ["o-s2"]


@pytest.mark.parametrize(
    ("now", "shipped", "state"),
    [
        ("unrouted", [], "unrouted"),
        ("unrouted", ["planned"], "routed"),
        ("routed", ["planned", "sending"], "released"),
        ("released", ["cancelled", "rejected"], "unrouted"),
        ("released", ["shipped", "picked"], "partly_shipped"),
        ("partly_shipped", ["shipped", "shipped"], "shipped"),
        ("shipped", ["delivered", "shipped"], "shipped"),
        ("shipped", ["delivered", "delivered"], "delivered"),
        ("delivered", ["returned", "returned"], "returned"),
        ("shipped", ["cancelled", "cancelled"], "shipped"),  # a marketplace had said so
        ("partly_shipped", ["shipped", "cancelled"], "partly_shipped"),
    ],
)
def test_how_far_an_order_is(now, shipped, state):
    shipments = [shipment(one, n, lines=((n, 2),)) for n, one in enumerate(shipped, start=1)]
    assert progress.progress(now, shipments, {1: 2, 2: 2} if shipped[1:] else {}) == state
