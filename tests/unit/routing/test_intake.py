"""What is decided of an order: made of what was posted, without anybody's name."""

import pytest

from engine.catalogue.types import Carried
from engine.kernel import clock
from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.places.service import places
from engine.review.types.judging import NEVER, Demand, Subject, Verdict
from engine.review.types.recorded import Judged, Recorded, RecordedLine
from engine.routing.rules import facts, intake
from engine.routing.rules.intake import World

NOW = 1_794_000_000_000
TO = {"name": "张三", "phone": "13800001111", "address": "文一西路 969 号", "province": "浙江省",
      "city": "杭州市", "country": "CN"}  # fmt: skip
KNOWN = {"a": Carried("acme", "drinks", "leaf", 300, 900, frozenset({"fragile"})),
         "b": Carried("acme", "cups", "clay", 100, 50)}  # fmt: skip
WORLD = World(KNOWN, places.regions(), {"o1": ((1, "N", 7),)}, {"o1": 2})


ONE = (Demand(1, "a", "main", 2),)
READY = Verdict("ready", "NEW")


def judged(
    demand=ONE, verdict=READY, to=TO, lines=None,
    payment="paid", lines_=(), **document,
):  # fmt: skip
    lines = lines or (RecordedLine(1, "a", 4, 1_001, 0), RecordedLine(2, "b", 1, 500, 0))
    subject = Subject(
        "o1", "open", payment, "gate", "merchant", NOW, NOW + 1, 0, (), "", tuple(demand)
    )
    document = {"lines": list(lines_)} | document
    return Judged(
        Recorded("77", "mall", "CNY", 1_501, document, to, tuple(lines), subject), verdict
    )


def order(**more):
    return intake.order_of(judged(**more).order, WORLD, "main")


def facts_of(one):
    return dict(zip((field.name for field in ORDER_SCHEMA.fields), one.facts, strict=True))


def test_what_is_open_is_weighed_and_valued():
    one = order(
        demand=(Demand(1, "a", "main", 3), Demand(1, "a", "west", 1), Demand(2, "b", "", 1))
    )
    assert [(line.group, line.units, line.grams, line.cm3, line.value) for line in one.lines] == [
        ("main", 3, 900, 2_700, 750), ("west", 1, 300, 900, 250), ("", 1, 100, 50, 500)
    ]  # fmt: skip
    told = facts_of(one)
    assert (told["grams"], told["units"], told["lines"]) == (1_300, 5, 2)
    assert (told["owner"], told["brands"]) == ("acme", ("clay", "leaf"))
    assert (one.excluded, one.hops, told["hops"]) == (((1, "N", 7),), 2, 2)


@pytest.mark.parametrize(
    ("to", "region"),
    [
        (TO, "330100"),
        (TO | {"region_code": "330106"}, "330106"),
        (TO | {"province": "浙江", "city": "杭州"}, "330100"),
        (TO | {"province": "内蒙古", "city": "呼伦贝尔"}, "150700"),
        (TO | {"province": "吉林", "city": "吉林市"}, "220200"),
        (TO | {"city": "somewhere"}, "330000"),
        (TO | {"province": "Atlantis"}, ""),
        ({"consignee_id": "x", "region_code": "440300"}, "440300"),
        ({}, ""),
    ],
)
def test_the_region_is_its_code_or_found_by_names(to, region):
    one = order(to=to)
    assert one.region == region
    assert facts_of(one)["province"] == region[:2]


def test_nobody_is_in_it():
    kept = facts.pack(order(to=TO | {"consignee_id": "oaid-1"}, buyer_note="call 13800001111"))
    for word in ("张三", "13800001111", "文一西路", "oaid-1"):
        assert word.encode() not in kept
    assert facts_of(order(buyer_note="x"))["has_note"]


def test_orders_to_one_door_may_be_merged_and_others_not():
    same = order(buyer_id="b1").merge_hash
    assert same
    assert order(buyer_id="b1").merge_hash == same
    assert order(buyer_id="b2").merge_hash != same
    assert order(buyer_id="b1", to=TO | {"address": "other"}).merge_hash != same
    assert order(to=TO | {"merge_key": "k"}).merge_hash == order(
        buyer_id="b9", to=TO | {"merge_key": "k", "address": ""}
    ).merge_hash  # fmt: skip
    assert order(buyer_id="b1", payment="on_delivery").merge_hash == ""


def test_designations_are_the_lines_own_or_their_bundles():
    lines = (RecordedLine(1, "set", 1, 900, 1), RecordedLine(2, "a", 2, 0, 1))
    one = order(
        demand=(Demand(2, "a", "main", 2),), lines=lines,
        extensions={"carriers": {"allow": ["sf"], "deny": ["yto"], "service": "sf"}},
    )  # fmt: skip
    assert (one.allow, one.deny) == ({"sf"}, {"yto"})
    assert (one.lines[0].parts_of, one.lines[0].service) == (1, "sf")


def test_what_ships_with_each_other_does_so_by_the_word_of_its_line():
    lines = [{"ship_with": "box"}, {"node": "N1"}]
    one = order(demand=(Demand(1, "a", "m", 1), Demand(2, "b", "m", 1)), lines_=lines)
    assert [(line.together, line.node) for line in one.lines] == [("box", ""), ("", "N1")]


def test_to_be_fetched_it_is_the_store_that_sold_it():
    one = order(promise={"tier": "pickup"}, attribution={"store": "S1"})
    assert (one.mode, one.tier, one.lines[0].node) == ("pickup", "", "S1")
    assert order(promise={"tier": "instant"}).mode == "instant"
    plain = order(promise={"tier": "next_day", "ship_by": "2026-11-11T00:00:00Z"})
    assert (plain.mode, plain.tier) == ("ship", "next_day")
    assert plain.ship_by == 1_794_355_200_000


def test_on_delivery_collects_what_is_payable():
    assert order(payment="on_delivery").cod == 1_501
    assert order().cod == 0


@pytest.mark.parametrize(
    ("verdict", "queue", "due"),
    [
        (Verdict("ready", "NEW"), "NEW", NOW),
        (Verdict("waits", "HELD_RISK", NOW + 9_000, "cool_off"), "HELD_RISK", NOW + 9_000),
        (Verdict("blocked", "HELD_RISK", NEVER, "review"), "HELD_RISK", None),
        (Verdict("waits", "HELD_PRESALE", NOW + 9, "presale"), "HELD_PRESALE", NOW + 9),
    ],
)
def test_it_is_due_when_what_holds_it_ends(verdict, queue, due):
    row = intake.row(judged(verdict=verdict), WORLD, "main", NOW, 900)
    assert (row.queue, row.reason, row.row_version) == (queue, verdict.code, "77")
    assert row.due_at == (None if due is None else clock.instant(due))
    assert clock.to_ms(row.alarm_at) == (due or NOW) + 900_000


def test_coordinates_are_kept_to_a_hundred_metres_and_both_or_not_at_all():
    here = order(to=TO | {"latitude": 30.24621, "longitude": 120.14978})
    assert (here.lat, here.lon) == (30.246, 120.15)
    for half in ({"latitude": 30.2}, {"longitude": 120.1}, {"latitude": "x", "longitude": 1}):
        one = order(to=TO | half)
        assert (one.lat, one.lon) == (None, None)


def test_the_same_door_is_merged_by_the_channels_key_or_by_buyer_and_address():
    def door(buyer="b", **more):
        return order(to=TO | more, buyer_id=buyer).merge_hash

    assert door() == door(name=" 张三 ")
    assert len({door(), door(buyer="c"), door(address="别处"), door(merge_key="k")}) == 4
    assert door(merge_key="k") == door(buyer="c", merge_key="k", address="别处")
    assert door(buyer="") == ""
    assert order(to=TO, buyer_id="b", promise={"tier": "instant"}).merge_hash == ""
    assert order(to=TO, buyer_id="b", payment="on_delivery").merge_hash == ""


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("2026-12-11T00:00:00z", 1_796_947_200_000),  # which the decoder of orders takes
        ("2026-12-11t08:00:00.000+0800", 1_796_947_200_000),
        ("0001-01-01T00:00:00+14:00", 0),
        ("9999-12-31T23:59:59-12:00", 0),
    ],
)
def test_an_instant_is_read_as_whoever_took_it_in_read_it(told, kept):
    assert order(promise={"ship_by": told, "deliver_by": told}).ship_by == kept


def test_more_than_conditions_can_count_is_as_much_as_they_can():
    demand = tuple(Demand(n, "big", "main", 1_000_000_000) for n in (1, 2))
    lines = tuple(RecordedLine(n, "big", 1_000_000_000, 1, 0) for n in (1, 2))
    heavy = WORLD._replace(carried={"big": Carried("", "", "", 10**7, 10**8)})
    one = intake.order_of(judged(demand=demand, lines=lines).order, heavy, "main")
    assert facts_of(one)["grams"] == facts_of(one)["cm3"] == 2**53
