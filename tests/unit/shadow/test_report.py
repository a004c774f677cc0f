"""The report against worlds whose truth is known, and row by row against small ones."""

import pytest

from engine.shadow.page import page
from engine.shadow.rules.telling import report
from engine.shadow.types import Terms
from tests.unit.shadow.worlds import SHOPS, World, at, count, line, links, shown, syncing, told_by

END = at(3_600)


def of(world, **terms):
    found, _ = report(world.facts, Terms(**terms), END)
    return found


def causes(finding):
    return {one.cause for one in finding.why}


@pytest.mark.parametrize("seed", range(8))
def test_what_a_slow_sync_oversold_is_found_to_the_unit_and_the_order(seed):
    world = syncing(seed, every_s=240)
    found = of(world)
    assert world.oversold, "the generator must oversell, or this shows nothing"
    assert {(one.sku, one.channel): one.units for one in found.oversold} == world.oversold
    assert {(one.sku, one.channel): one.first_order for one in found.oversold} == world.first
    for one in found.oversold:
        assert causes(one) == {"no_buffer", "same_units"}
    assert found.lost_units == 0
    assert found.drift
    assert found.exposed


@pytest.mark.parametrize("seed", range(8))
def test_control_without_faults_the_report_is_empty(seed):
    world = syncing(seed, every_s=0)
    assert world.lines
    found = of(world)
    assert found.empty
    assert (found.oversold_units, found.lost_units, found.undersold_unit_minutes) == (0, 0, 0)


def test_shops_that_show_what_would_have_been_published_do_not_drift():
    world = syncing(1, every_s=120)
    terms = Terms(lag_seconds=5.0, buffer=2)
    found, curves = report(world.facts, terms, END)
    assert {one.channel for one in found.drift} == set(SHOPS)
    again, _ = report(told_by(world, curves), terms, END)
    assert again.drift == []
    assert again.undersold == []
    assert again.oversold_units == found.oversold_units  # of the orders that there were


def test_shops_with_nodes_of_their_own_are_told_that_all_are_taken_as_one_stock():
    """tmall sells from `dc` only and shows 0, rightly; what lies in `west` is held against it."""
    world = World(mapped=links("TEA"))
    world.counts = [count(0, 0), count(0, 9, node="west")]
    world.shown = [shown(0, 0), shown(0, 9, channel="mall")]
    found = of(world)
    assert [one.channel for one in found.undersold] == ["tmall"]
    assert "one stock" in found.note
    assert "one stock" in page(*report(world.facts, Terms(), END))
    world.counts = [count(0, 9)]
    assert of(world).note == ""


def test_a_single_unit_sold_twice_word_by_word():
    world = World(mapped=links("TEA"))
    world.counts = [count(0, 5)]
    world.shown = [shown(0, 5), shown(0, 5, channel="mall")]
    world.lines = [line("m-1", 60, 3, channel="mall"), line("t-1", 90, 4)]
    (one,) = of(world).oversold
    assert (one.sku, one.channel, one.units, one.orders) == ("TEA", "tmall", 2, 1)
    assert (one.first_order, one.first_at) == ("t-1", "2025-11-11T00:01:30.000Z")
    assert [why.told for why in one.why] == [
        "tmall/i-TEA showed 5 units and mall/i-TEA 2, of 2 there were",
        (
            "tmall/i-TEA was told 5 units at 2025-11-11T00:00:00.000Z; others sold 3 before the"
            " next, nothing was held back"
        ),
    ]


def test_a_count_that_came_late():
    """30 were counted at minute 1, which was 20 fewer; the shop heard of it at minute 11."""
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 50), count(60, 30, late=600)]
    world.shown = [shown(0, 50), shown(660, 0)]
    world.lines = [line("t-1", 120, 30), line("t-2", 180, 2)]
    found = of(world)
    (one,) = found.oversold
    assert (one.units, one.first_order, causes(one)) == (2, "t-2", {"count_late"})
    assert one.why[0].told == "a count had found 20 units fewer, and was not received yet"


def test_units_of_an_unmapped_link_are_gone_all_the_same():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 10)]
    world.shown = [shown(0, 10)]
    world.lines = [line("d-1", 60, 4, channel="douyin", item_id="new"), line("t-1", 90, 8)]
    found = of(world)
    (one,) = found.oversold
    assert (one.units, one.first_order) == (2, "t-1")
    assert causes(one) == {"unmapped_link", "no_buffer"}
    (link,) = found.unmapped
    assert (link.channel, link.item_id, link.skus, link.orders, link.pieces) == (
        "douyin", "new", [], 1, 4,
    )  # fmt: skip


def test_a_link_that_stands_for_two_skus_is_listed_with_them():
    world = World(mapped={("tmall", "two", ""): [("CUP", 1), ("TEA", 1)]})
    world.counts = [count(0, 10)]
    world.lines = [line("t-1", 60, 3, item_id="two", sku="")]
    (link,) = of(world).unmapped
    assert (link.skus, link.pieces) == (["CUP", "TEA"], 3)


def test_safety_stock_that_the_number_ignored():
    """Ten lay there, four were to be kept; two shops showed ten each and sold fourteen."""
    world = World(mapped=links("TEA"))
    world.counts = [count(0, 10, safety=4)]
    world.shown = [shown(0, 10), shown(0, 10, channel="mall")]
    world.lines = [line("m-1", 60, 6, channel="mall"), line("t-1", 90, 8)]
    found = of(world)
    (one,) = found.oversold
    assert (one.units, causes(one)) == (4, {"same_units", "no_buffer", "safety_ignored"})
    # what would have been published is without those units: 10 shown, 6 wanted
    assert {one.channel: one.worst for one in found.drift} == {"tmall": 10, "mall": 4}


def test_quota_that_stood_still_in_a_slow_shop():
    world = World(mapped=links("TEA"))
    world.counts = [count(0, 40)]
    world.shown = [shown(0, 10), shown(0, 30, channel="mall")]
    world.lines = [line("t-1", 600, 10)]
    found = of(world)
    assert found.oversold == []
    (one,) = found.undersold
    assert (one.channel, one.units_most, one.minutes) == ("tmall", 30, 50)
    assert one.unit_minutes == 30 * 50
    assert causes(one) == {"quota_idle"}
    assert "mall/i-TEA still had 30" in one.why[0].told


def test_units_that_came_free_and_no_shop_was_told():
    """A shop counts up by itself what was cancelled there, but nobody tells the other."""
    world = World(mapped=links("TEA"))
    world.counts = [count(0, 5)]
    world.shown = [shown(120, 0), shown(120, 0, channel="mall")]
    world.lines = [line("m-1", 60, 5, channel="mall", cancelled_at=at(600))]
    (one,) = of(world).undersold
    assert (one.channel, one.first_at, one.minutes) == ("tmall", "2025-11-11T00:10:00.000Z", 50)
    assert causes(one) == {"stale_number"}


def test_a_shop_that_was_told_more_than_there_was():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 5)]
    world.shown = [shown(0, 8)]
    world.lines = [line("t-1", 60, 7)]
    found = of(world)
    (one,) = found.oversold
    assert (one.units, causes(one)) == (2, {"wrong_number"})
    (exposed,) = found.exposed
    assert (exposed.units_most, exposed.minutes) == (3, 60)  # 8 of 5, then 1 of 0


def test_a_shop_that_sold_more_than_it_showed_and_one_of_which_no_number_is_known():
    world = World(mapped=links("TEA"))
    world.counts = [count(0, 5)]
    world.shown = [shown(0, 5)]
    world.lines = [line("t-1", 60, 7), line("m-1", 90, 1, channel="mall")]
    found = of(world)
    assert {one.channel: causes(one) for one in found.oversold} == {
        "tmall": {"beyond_number"}, "mall": {"no_number"},
    }  # fmt: skip


def test_a_loss_is_nobodys_oversale():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 10), count(600, 3)]
    world.shown = [shown(0, 10), shown(600, 0)]
    world.lines = [line("t-1", 60, 5)]
    found = of(world)
    assert (found.oversold, found.lost_units) == ([], 2)


def test_pieces_of_a_link_are_units_of_its_sku():
    """A box of six: 20 units are 3 boxes, and the shop showed 4."""
    world = World(mapped=links("TEA", shops=["tmall"], units_per=6))
    world.counts = [count(0, 20)]
    world.shown = [shown(0, 4)]
    world.lines = [line("t-1", 60, 4)]
    found = of(world)
    assert found.oversold_units == 4
    (drift,) = found.drift
    assert (drift.worst, drift.worst_at, drift.minutes) == (1, "2025-11-11T00:00:00.000Z", 1)


def test_what_was_never_counted_is_named_and_nothing_else_said():
    world = World(mapped=links("TEA"))
    world.shown = [shown(0, 4)]
    world.lines = [line("t-1", 60, 4)]
    found = of(world)
    assert found.uncounted == ["TEA"]
    assert not found.empty
    assert found.oversold == found.drift == found.undersold == []


def test_findings_lie_between_since_and_until():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 2)]
    world.shown = [shown(0, 5), shown(300, 5), shown(900, 0)]
    world.lines = [line("t-1", 60, 3), line("t-2", 600, 1), line("t-3", 1_200, 1)]
    found = of(world, since=at(300), until=at(900))
    (one,) = found.oversold
    assert (one.first_order, one.units) == ("t-2", 1)
    (drift,) = found.drift
    assert drift.minutes == 10
    assert found.until == "2025-11-11T00:15:00.000Z"


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({"basis": "on_hand"}, 3),  # the five of t-1 lie there still, sold
        ({"basis": "available"}, 8),  # they were off before it was told
    ],
)
def test_a_count_is_read_by_its_basis(what, left):
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 13), count(600, 8, **what)]
    world.shown = [shown(0, 13), shown(600, left)]
    world.lines = [line("t-1", 60, 5)]
    assert of(world).drift == []


def test_an_order_that_the_other_system_did_not_know_is_not_in_its_number():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 13), count(600, 13, basis="available")]
    world.shown = [shown(0, 13), shown(600, 13)]
    world.lines = [line("t-1", 60, 5, known_at=at(900))]
    (drift,) = of(world).drift
    assert drift.worst == 5


def test_a_shipped_order_is_off_the_shelf_when_it_is_counted():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 13), count(600, 8)]
    world.shown = [shown(0, 13), shown(600, 8)]
    world.lines = [line("t-1", 60, 5, shipped_at=at(500))]
    assert of(world).drift == []


def test_orders_before_the_first_count_are_taken_off_it():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(600, 8)]
    world.shown = [shown(600, 3)]
    world.lines = [line("t-1", 60, 5)]
    assert of(world).empty


def test_a_sku_without_links_is_shown_and_bought_by_its_name():
    world = World()
    world.counts = [count(0, 5)]
    world.shown = [shown(0, 5, item="", channel="mall")]
    world.lines = [line("m-1", 60, 6, item_id="", channel="mall")]
    (one,) = of(world).oversold
    assert (one.units, causes(one)) == (1, {"beyond_number"})


def test_a_buffer_for_lag_makes_the_number_smaller():
    """Three a second sell, for five seconds nobody hears: fifteen would be held back."""
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 100)]
    world.shown = [shown(0, 100)]
    world.lines = [line(f"t-{n}", 60 + n, 3) for n in range(10)]
    assert of(world).drift == []
    (drift,) = of(world, lag_seconds=5.0).drift
    assert (drift.worst, drift.at_end) == (15, 0)


def test_a_bundle_takes_units_of_its_components():
    """Two sets of two teas and a cup: four teas of three, two cups of five."""
    world = World(mapped=links("SET", shops=["tmall"]))
    world.bundles = {"SET": [("CUP", 1), ("TEA", 2)]}
    world.counts = [count(0, 3, sku="TEA"), count(0, 5, sku="CUP")]
    world.shown = [shown(0, 9, sku="SET")]
    world.lines = [line("t-1", 60, 2, sku="SET")]
    found = of(world)
    (one,) = found.oversold
    assert (one.sku, one.units, causes(one)) == ("TEA", 1, {"no_number"})
    assert "sold in SET" in one.why[0].told
    assert found.drift == found.uncounted == []
