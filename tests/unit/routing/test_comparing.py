"""Two plans on the same order: what is the same, what is larger, and what sums say."""

from itertools import count

import pytest

from engine.routing.rules import comparing
from engine.routing.types.comparing import Compared, Sent
from engine.routing.types.core import Decision, Part, Trace
from tests.unit.routing.world import NOW, line, order

NODES, SERVICES = ("hangzhou", "beijing"), ("sf", "yto")
TRACE = Trace((), (), (), bounded=False, carriers=())


def part(node, *atoms, service=0, quote=500, deliver_at=NOW):
    return Part(node, atoms, service, "card", 1, quote, 100, NOW, deliver_at, ())


def decision(*parts, rest=(), queue="", stage=1, rule=1):
    verdict = "routed" if parts else "parked"
    return Decision("o1", verdict, parts, rest, queue, "", 0, stage, rule, TRACE)


def side(*parts, promised=0, **more):
    asked = order([line(1, "a", 3), line(2, "b")], deliver_by=promised)
    return comparing.side(asked, decision(*parts, **more), NODES, SERVICES)


WHOLE = side(part(0, (0, 3), (1, 1)))
numbers = count(1)


def pair(decided, tried, region="33", currency="CNY"):
    return Compared(f"o{next(numbers)}", NOW, region, currency, decided, tried)


def total(*pairs, plan="near", version=1):
    return comparing.total(groups(*pairs, plan=plan, version=version))


def groups(*pairs, plan="near", version=1):
    return [(comparing.group(one, plan, version), comparing.sums(one)) for one in pairs]


def test_a_side_names_nodes_services_and_lines_by_number():
    found = side(
        part(1, (1, 1), service=1, quote=700, deliver_at=NOW + 5),
        part(0, (0, 2), quote=500), rest=((0, 1),), queue="UNFILLABLE", stage=2, rule=7,
    )  # fmt: skip
    assert found.parcels == (
        Sent("beijing", "yto", ((2, 1),)), Sent("hangzhou", "sf", ((1, 2),)),
    )  # fmt: skip
    assert (found.stage, found.rule, found.queue, found.unplaced) == (2, 7, "UNFILLABLE", 1)
    assert (found.freight, found.deliver_at, found.late) == (1_200, NOW + 5, False)
    assert side(part(0, (0, 3), service=-1)).parcels[0].service == ""


@pytest.mark.parametrize(("deliver_at", "known"), [(NOW, NOW), (1 << 50, 0), (1 << 60, 0)])
def test_what_never_comes_has_no_date_and_is_not_late(deliver_at, known):
    found = side(part(0, (0, 3), deliver_at=deliver_at), promised=NOW - 1)
    assert (found.deliver_at, found.late) == (known, bool(known))
    assert not side(part(0, (0, 3)), promised=NOW).late
    assert not side(part(0, (0, 3))).late, "nothing was promised"


def test_the_same_leaves_whatever_the_order_of_parts_the_rule_or_the_price():
    a = side(part(0, (0, 3)), part(1, (1, 1)), stage=1, rule=1)
    b = side(part(1, (1, 1), quote=1), part(0, (0, 3), deliver_at=NOW + 9), stage=3, rule=2)
    assert comparing.same(a, b)


@pytest.mark.parametrize(
    "other",
    [
        side(part(1, (0, 3), (1, 1))),
        side(part(0, (0, 3), (1, 1), service=1)),
        side(part(0, (0, 3)), part(0, (1, 1))),
        side(part(0, (0, 3)), rest=((1, 1),), queue="UNFILLABLE"),
        side(rest=((0, 3), (1, 1)), queue="MANUAL"),
    ],
    ids=["node", "service", "parcels", "rest", "queue"],
)
def test_what_differs(other):
    assert not comparing.same(WHOLE, other)
    assert not comparing.same(other, WHOLE)


def test_the_queue_of_what_is_left_counts():
    a, b = (side(rest=((0, 3), (1, 1)), queue=queue) for queue in ("MANUAL", "UNFILLABLE"))
    assert not comparing.same(a, b)


def test_a_plan_that_parks_what_is_dear_does_not_look_cheap():
    dear = side(part(0, (0, 3), (1, 1), quote=9_000))
    parked = side(rest=((0, 3), (1, 1)), queue="MANUAL")
    found = total(pair(dear, parked), pair(WHOLE, WHOLE), pair(parked, parked))
    assert (found.orders, found.same, found.comparable) == (3, 2, 1)
    assert (found.placed.decided, found.placed.tried) == (2, 1)
    assert found.freight["CNY"].decided == found.freight["CNY"].tried == 500
    assert (found.parcels.decided, found.parcels.tried) == (1, 1)


def test_freight_is_by_currency_and_dates_are_by_order():
    late = side(part(0, (0, 3), (1, 1), deliver_at=NOW + 7_200_000), promised=NOW)
    far = side(part(1, (0, 3), (1, 1), quote=800, deliver_at=NOW + 3_600_000))
    found = total(pair(WHOLE, late), pair(late, far), pair(WHOLE, far, currency="HKD"))
    money = {name: (one.decided, one.tried) for name, one in found.freight.items()}
    assert money == {"CNY": (1_000, 1_300), "HKD": (500, 800)}
    assert (found.late.decided, found.late.tried) == (1, 1)
    assert (found.earlier, found.later) == (1, 2)
    assert found.mean_shift_seconds == (7_200 - 3_600 + 3_600) // 3


def test_nothing_compared_is_nothing_and_not_an_error():
    found = total()
    assert (found.orders, found.mean_shift_seconds, found.freight) == (0, 0, {})


def test_groups_are_by_active_version_by_rules_and_by_region():
    other = side(part(1, (0, 3), (1, 1)), rule=2)
    found = [
        *groups(pair(WHOLE, other), pair(WHOLE, other, region="44"), version=1),
        *groups(pair(WHOLE, WHOLE), version=2),
    ]
    against = comparing.against(found)
    assert [(one.plan, one.version, one.comparison.orders) for one in against] == [
        ("near", 2, 1), ("near", 1, 2),
    ]  # fmt: skip
    rules = [(one.decided.rule, one.tried.rule, one.comparison.orders)
             for one in comparing.rules(found)]  # fmt: skip
    assert rules == [(1, 2, 2), (1, 1, 1)]
    regions = [(one.region, one.comparison.orders) for one in comparing.regions(found)]
    assert regions == [("33", 2), ("44", 1)]


def test_the_largest_difference_is_of_units_then_money_then_parcels_then_dates():
    sides = [
        WHOLE,
        side(part(0, (0, 3), (1, 1), deliver_at=NOW + 1)),
        side(part(0, (0, 3), quote=250), part(0, (1, 1), quote=250)),
        side(part(0, (0, 3), (1, 1), quote=501)),
        side(part(0, (0, 3)), rest=((1, 1),)),
    ]
    sizes = [comparing.size(pair(WHOLE, one)) for one in sides]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)
    assert sizes[0] == (0, 0, 0, 0)


def test_what_is_told_names_no_one_but_the_order():
    one = pair(WHOLE, side(rest=((0, 3), (1, 1)), queue="MANUAL"))
    found = comparing.told(one)
    assert (found.order_id, found.region) == (one.order_id, "33")
    assert found.decided.parcels[0].lines == {"1": 3, "2": 1}
    assert found.decided.deliver_at is not None
    assert (found.tried.deliver_at, found.tried.unplaced, found.tried.queue) == (None, 4, "MANUAL")
