"""What a report of a consignment says of each shipment in it: SKUs to lines, boxes to shipments."""

from datetime import timedelta
from itertools import permutations

import pytest

from engine.shipments.rules.states import fold
from engine.shipments.types.shipments import Line, Told
from engine.wms.rules.reading import told
from engine.wms.types import Item, Member, Package, Report
from tests.unit.wms.samples import NOW

# Two lines of one SKU, and another order's shipment in the same consignment.
ONE = (Line(1, "A", 2), Line(2, "A", 1), Line(3, "B", 4))
TWO = (Line(1, "A", 1),)
SENT = Told("sent", "call:1", NOW, reply=True)


def member(name="o1-s1", order="o1", lines=ONE, parcels=None):
    return Member(name, order, lines, parcels or {})


def report(kind, *boxes, lines=(), report_id="r1", **more):
    return Report(kind, report_id, "o1-s1", NOW, packages=boxes, lines=lines, **more)


def box(waybill, *items):
    return Package("SF", waybill, items=tuple(Item(*item) for item in items))


def items(said):
    return [(one.waybill, dict(one.items)) for one in said.packages]


def after(one, said):
    """The member once these reports were taken in, in their turn."""
    parcels = dict(one.parcels)
    for each in said:
        for package in each.packages:
            inside = parcels.setdefault((package.carrier, package.waybill), ())
            parcels[package.carrier, package.waybill] = tuple(
                {**dict(inside), **dict(package.items)}.items()
            )
    return one._replace(parcels=parcels)


def test_units_of_a_sku_fill_its_lines_in_turn():
    said = told(report("SHIPPED", box("W", ("A", 3), ("B", 4))), [member()], NOW)["o1-s1"]
    assert items(said) == [("W", {1: 2, 2: 1, 3: 4})]
    assert fold([SENT, said], ONE).state == "shipped"


def test_a_named_line_gets_what_is_said_to_be_of_it():
    said = told(report("PARTLY_SHIPPED", box("W", ("A", 1, "o1-2"))), [member()], NOW)["o1-s1"]
    assert items(said) == [("W", {2: 1})]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_partial_confirms_in_any_order_come_to_the_same(order):
    boxes = [
        report("PARTLY_SHIPPED", box("W1", ("A", 2)), report_id="a"),
        report("PARTLY_SHIPPED", box("W2", ("A", 1), ("B", 1)), report_id="b"),
        report("SHIPPED", box("W3", ("B", 3)), report_id="c"),
    ]
    one, seen = member(), []
    for n in order:
        seen += [told(boxes[n], [one], NOW)["o1-s1"]]
        one = after(member(), seen)
    standing = fold([SENT, *seen], ONE)
    assert (standing.left, standing.over) == (((1, 2), (2, 1), (3, 4)), 0)
    assert standing.state == "shipped"


def test_a_final_confirm_that_tells_all_boxes_again_counts_none_twice():
    first = told(report("PARTLY_SHIPPED", box("W1", ("A", 2))), [member()], NOW)["o1-s1"]
    one = after(member(), [first])
    last = report("SHIPPED", box("W1", ("A", 2)), box("W2", ("A", 1), ("B", 4)), report_id="r2")
    said = told(last, [one], NOW)["o1-s1"]
    assert items(said) == [("W1", {1: 2}), ("W2", {2: 1, 3: 4})]
    standing = fold([SENT, first, said], ONE)
    assert (standing.left, standing.over) == (((1, 2), (2, 1), (3, 4)), 0)


def test_what_is_too_much_or_nobodys_is_seen_to_be():
    said = told(report("SHIPPED", box("W", ("A", 5), ("C", 1))), [member()], NOW)["o1-s1"]
    assert items(said) == [("W", {1: 2, 2: 3, 0: 1})]
    standing = fold([SENT, said], ONE)
    assert (standing.left, standing.over) == (((1, 2), (2, 1)), 3)


def test_lines_speak_where_boxes_do_not():
    lines = (Item("A", 1, "o1-2"), Item("B", 0))
    said = told(report("PARTLY_SHIPPED", box("W"), lines=lines), [member()], NOW)["o1-s1"]
    assert items(said) == [("W", {2: 1})]
    said = told(report("SHIPPED", lines=lines), [member()], NOW)["o1-s1"]
    assert items(said) == [("", {2: 1})]


def test_a_final_confirm_without_contents_is_of_everything_and_a_partial_one_of_nothing():
    said = told(report("SHIPPED", box("W")), [member()], NOW)["o1-s1"]
    assert fold([SENT, said], ONE).left == ((1, 2), (2, 1), (3, 4))
    assert told(report("PARTLY_SHIPPED", box("W")), [member()], NOW) == {}
    said = told(report("SHIPPED"), [member()], NOW)["o1-s1"]
    assert fold([SENT, said], ONE).state == "shipped"


def test_a_final_confirm_of_no_units_is_that_nothing_leaves():
    said = told(report("SHIPPED", lines=(Item("A", 0), Item("B", 0))), [member()], NOW)["o1-s1"]
    assert said.kind == "rejected"
    assert fold([SENT, said], ONE).left == ()


def test_a_box_with_goods_of_two_orders_is_divided():
    both = [member(), member("o2-s1", "o2", TWO)]
    said = told(report("SHIPPED", box("W", ("A", 4), ("B", 4))), both, NOW)
    assert items(said["o1-s1"]) == [("W", {1: 2, 2: 1, 3: 4})]
    assert items(said["o2-s1"]) == [("W", {1: 1})]


def test_of_a_final_confirm_an_order_without_units_ships_nothing():
    both = [member(), member("o2-s1", "o2", TWO)]
    final = told(report("SHIPPED", box("W", ("A", 3), ("B", 4))), both, NOW)
    assert (final["o1-s1"].kind, final["o2-s1"].kind) == ("shipped", "rejected")
    partial = told(report("PARTLY_SHIPPED", box("W", ("B", 4))), both, NOW)
    assert set(partial) == {"o1-s1"}


def test_lacking_everything_is_a_rejection_and_some_is_not():
    every = (Item("A", 3), Item("B", 4))
    assert told(report("LACK", lines=every), [member()], NOW)["o1-s1"].kind == "rejected"
    assert told(report("LACK", lines=every[:1]), [member()], NOW)["o1-s1"].kind == "lacking"
    partly = member(parcels={("SF", "W"): ((1, 1),)})
    assert told(report("LACK", lines=every), [partly], NOW)["o1-s1"].kind == "lacking"


@pytest.mark.parametrize(
    ("kind", "step", "said"),
    [
        ("ACCEPTED", "", "accepted"), ("PROGRESS", "picked", "picked"),
        ("PROGRESS", "packed", "packed"), ("PROGRESS", "signed", "delivered"),
        ("PROGRESS", "refused", "refused"), ("PROGRESS", "intercepted", "returning"),
        ("PROGRESS", "left", None), ("PROGRESS", "trouble", None),
        ("PROGRESS", "intercept_failed", None), ("PROGRESS", "other", None),
        ("CANCELLED", "", "cancelled"), ("CANCEL_FAILED", "", "cancel_failed"),
        ("REJECTED", "", "rejected"),
    ],
)  # fmt: skip
def test_what_each_report_says(kind, step, said):
    found = told(report(kind, step=step), [member()], NOW)
    assert (found["o1-s1"].kind if found else None) == said


def test_a_clock_far_ahead_is_not_believed():
    near, far = NOW + timedelta(minutes=5), NOW + timedelta(days=1)
    assert told(report("ACCEPTED")._replace(at=far), [member()], NOW)["o1-s1"].at == NOW
    assert told(report("ACCEPTED")._replace(at=near), [member()], NOW)["o1-s1"].at == NOW


@pytest.mark.parametrize(
    ("kind", "text", "reason", "expected"),
    [
        ("REJECTED", "货损", "", "damaged"),
        ("REJECTED", "the roof leaks", "", "lost"),
        ("REJECTED", "张三 has moved", "", ""),
        ("REJECTED", "货损", "busy", "busy"),
        ("LACK", "缺货, 货损", "", "out_of_stock"),
        ("LACK", "破损", "", "damaged"),
    ],
)
def test_words_of_a_house_count_whole(kind, text, reason, expected):
    one = report(kind, lines=(Item("A", 3), Item("B", 4)), text=text, reason=reason)
    said = told(one, [member()], NOW, {"the roof leaks": "lost"})["o1-s1"]
    assert (said.kind, said.reason) == ("rejected", expected)


def test_lines_that_are_named_are_those_that_it_is_about():
    one = report("REJECTED", lines=(Item("A", 3), Item("Z", 1)))
    said = told(one, [member(), member("o2-s1", "o2", TWO)], NOW)
    assert said["o1-s1"].lacks == ((1, 2), (2, 1))
    assert said["o2-s1"].lacks == ((1, 1),)
    assert told(report("REJECTED"), [member()], NOW)["o1-s1"].lacks == ()
