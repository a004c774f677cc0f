"""`rehold`: a payment after the end holds the same order again, if stock and limits allow."""

import pytest

from tests.lua.builders import (
    ATTEMPT,
    DAY,
    DRAWS,
    PAY_BY,
    STATE,
    UNTIL,
    World,
    campaign,
    cancel,
    claim,
    line,
    offer,
    payment,
)


@pytest.fixture
async def expired(stocked: World) -> World:
    """Order o1 of b1 held ten of A, and let them go; one more order of b1 would be one too many."""
    await stocked.call("rule", offer("A", "p", limit=10, version=2))
    await stocked.reserve(claim("o1", line("A", 10), buyer="b1"))
    await stocked.advance(DAY)
    await stocked.call("expire", 10)
    return stocked


async def test_it_is_held_again_and_sold_in_one_step(expired: World) -> None:
    assert await expired.call("rehold", payment("o1", amount=1000)) == [["CONFIRMED"]]
    assert await expired.pool("p") == [10, 0, 0, 0, 10]
    hold = await expired.hold("o1")
    assert (hold[STATE], hold[ATTEMPT], hold[DRAWS]) == ("C", 2, [[1, "p", 10]])
    assert await expired.counters() == {"b/main/d11/A/b1": "10"}
    (event,) = await expired.events("H")
    assert event[3] == [["p", 0, 0, -10, 0, 10]]
    counted = [["b\x1fmain\x1fd11\x1fA\x1fb1", 10, 1]]
    assert event[5:] == [2, [[1, "p", 10]], counted, "C", hold[PAY_BY], hold[UNTIL], []]
    assert await expired.call("rehold", payment("o1", amount=1000)) == [["REPEATED", "applied"]]


async def test_without_stock_the_money_is_due_back(expired: World) -> None:
    await expired.reserve(claim("o2", line("A", 1), buyer="b2"))
    late = payment("o1", amount=1000)
    assert await expired.call("rehold", late, late) == [
        ["REFUND_DUE", "no_stock"],
        ["REPEATED", "no_stock"],
    ]
    assert [event[5] for event in await expired.events("M")] == ["no_stock"]
    assert await expired.counters() == {"b/main/d11/A/b2": "1", "m/main/d11/b2": "o2"}
    assert (await expired.hold("o1"))[STATE] == "E"


async def test_beyond_the_limit_the_money_is_due_back(expired: World) -> None:
    await expired.reserve(claim("o2", line("A", 1), buyer="b1"))
    await expired.grant("p", 10)
    assert await expired.call("rehold", payment("o1", amount=1000)) == [["REFUND_DUE", "limit"]]
    assert (await expired.counters())["b/main/d11/A/b1"] == "1"


async def test_window_and_pause_are_ignored(expired: World) -> None:
    await expired.call("pause", ["main", "sku", "A", 1, "me", ""])
    await expired.call("rule", [campaign()[0], 2, [2, 0, 1, 0, 0, []]])
    assert await expired.call("rehold", payment("o1", amount=1000)) == [["CONFIRMED"]]


async def test_limits_by_phone_are_those_of_the_order_not_of_the_payer(stocked: World) -> None:
    limit = ["campaign", "phone", 1, "orders"]
    await stocked.call("rule", [campaign()[0], 2, [2, 0, 10**13, 0, 0, [limit]]])
    phone = [["phone", "hash"]]
    await stocked.reserve(claim("o1", buyer_keys=phone))
    await stocked.advance(DAY)
    await stocked.call("expire", 10)
    await stocked.reserve(claim("o2", buyer_keys=phone))
    assert await stocked.call("rehold", payment("o1")) == [["REFUND_DUE", "limit"]]


async def test_states_other_than_expired_are_as_confirm_has_them(expired: World) -> None:
    await expired.reserve(*(claim(f"o{n}", buyer=f"c{n}") for n in (2, 3)))
    await expired.call("release", cancel("o3"))
    words = await expired.call(
        "rehold",
        payment("o2"),
        payment("o2", "pay-2"),
        payment("o3"),
        payment("o4"),
        payment("o1", amount=1),
    )
    assert words == [
        ["CONFIRMED"],
        ["ALREADY_CONFIRMED"],
        ["ALREADY_RELEASED"],
        ["UNKNOWN_ORDER"],
        ["CONFLICT", 1000, "CNY"],
    ]


async def test_two_late_payments_of_one_order_take_its_units_once(expired: World) -> None:
    words = await expired.call(
        "rehold", payment("o1", amount=1000), payment("o1", "pay-2", amount=1000)
    )
    assert words == [["CONFIRMED"], ["ALREADY_CONFIRMED"]]
    assert await expired.pool("p") == [10, 0, 0, 0, 10]


async def test_a_line_with_nothing_left_does_not_stand_in_the_way(stocked: World) -> None:
    """Neither a dropped gift nor a cancelled line, even if its offer is gone."""
    gift = line("G", 3, payable=0, on_short="drop")
    await stocked.call("rule", offer("G", "q"))
    await stocked.reserve(claim("o1", line("A"), gift, line("B")))
    await stocked.call("release", cancel("o1", "c1", [3, 1]))
    await stocked.advance(DAY)
    await stocked.call("expire", 10)
    await stocked.call("rule", *([offer(sku)[0], 9, []] for sku in ("G", "B")))
    assert await stocked.call("rehold", payment("o1", amount=100)) == [["CONFIRMED"]]


async def test_a_line_that_cannot_come_again_takes_all_of_it_along(stocked: World) -> None:
    gift = line("B", 2, payable=0, on_short="drop")
    await stocked.reserve(claim("o1", line("A"), gift))
    await stocked.advance(DAY)
    await stocked.call("expire", 10)
    await stocked.reserve(claim("o2", line("B", 7)))
    assert await stocked.call("rehold", payment("o1")) == [["REFUND_DUE", "no_stock"]]
    assert await stocked.pool("p") == [10, 0, 10, 0, 0]


async def test_a_limit_by_phone_still_knows_the_phone(stocked: World) -> None:
    field, _, body = campaign(limits=[["campaign", "phone", 1, "units"]])
    await stocked.call("rule", [field, 2, [2, *body[1:]]])
    await stocked.reserve(claim("o1", buyer_keys=[["phone", "hash"]]))
    await stocked.advance(DAY)
    await stocked.call("expire", 10)
    assert await stocked.call("rehold", payment("o1")) == [["CONFIRMED"]]
    again = claim("o2", buyer_keys=[["phone", "hash"]])
    assert (await stocked.reserve(again))[0][0] == "LIMIT_REACHED"


async def test_a_limit_is_known_by_what_it_counts_not_by_where_it_stands(stocked: World) -> None:
    by_phone, by_device = ["campaign", "phone", 1, "units"], ["campaign", "device", 9, "units"]
    field, _, body = campaign(limits=[by_phone])
    await stocked.call("rule", [field, 2, [2, *body[1:]]])
    keys = [["phone", "hash"], ["device", "d1"]]
    await stocked.reserve(claim("o1", buyer_keys=keys))
    await stocked.call("rule", [field, 3, [3, *body[1:5], [by_device, by_phone]]])
    assert (await stocked.reserve(claim("o2", buyer_keys=keys)))[0][0] == "LIMIT_REACHED"


async def test_what_the_cell_cannot_remember_it_does_not_decide(expired: World) -> None:
    await expired.call("grant", ["p", 2, -10, "", ""])
    paid = [payment("o1", f"pay-{n}", amount=1000) for n in range(17)]
    words = await expired.call("rehold", *paid)
    assert words == [["REFUND_DUE", "no_stock"]] * 16 + [["UNKNOWN_ORDER"]]
    await expired.call("grant", ["p", 3, 10, "", ""])
    assert await expired.call("rehold", paid[16]) == [["UNKNOWN_ORDER"]]
    assert await expired.call("rehold", paid[3]) == [["REPEATED", "no_stock"]]


async def ended(world: World, *pairs: tuple[str, str]) -> None:
    """Each pool ends and passes what it has to the next one, after all holds have expired."""
    await world.advance(DAY)
    await world.call("expire", 10)
    for n, (old, new) in enumerate(pairs):
        await world.call("move", [f"end-{n}", old, new, -1, 1, "over"])


async def test_a_pool_that_ended_is_followed_to_its_last_successor(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 3)))
    await ended(stocked, ("p", "q"), ("q", "shared"))
    assert await stocked.call("rehold", payment("o1", amount=300)) == [["CONFIRMED"]]
    assert (await stocked.hold("o1"))[DRAWS] == [[1, "shared", 3]]
    assert await stocked.pool("shared") == [112, 0, 109, 0, 3]
    assert await stocked.counters() == {}


async def test_a_pool_that_two_sources_lead_to_gives_its_units_once(stocked: World) -> None:
    """Else two halves of the same stock would be taken for enough."""
    await stocked.call("rule", offer("B", "p", "q", version=2))
    await stocked.reserve(claim("o1", line("B", 12)))
    await ended(stocked, ("p", "shared"), ("q", "shared"))
    await stocked.call("grant", ["shared", 2, -101, "", ""])
    assert (await stocked.pool("shared"))[2] == 11
    late = payment("o1", amount=1200)
    assert await stocked.call("rehold", late) == [["REFUND_DUE", "no_stock"]]
    await stocked.call("grant", ["shared", 3, 1, "", ""])
    late = payment("o1", "pay-2", amount=1200)
    assert await stocked.call("rehold", late) == [["CONFIRMED"]]
    assert (await stocked.hold("o1"))[DRAWS] == [[1, "shared", 12]]


@pytest.mark.parametrize("pools", [["q", ("shared", 5)], [("shared", 5), "q"]])
async def test_units_that_were_under_no_cap_are_under_none_where_they_went(
    stocked: World, pools: list
) -> None:
    await stocked.call("rule", offer("B", *pools, version=2))
    await stocked.reserve(claim("o1", line("B", 6)))
    await ended(stocked, ("q", "shared"))
    assert await stocked.call("rehold", payment("o1", amount=600)) == [["CONFIRMED"]]
    assert await stocked.counters() == {}


async def test_a_cap_goes_on_with_the_pool_that_takes_its_place(stocked: World) -> None:
    await stocked.call("rule", offer("A", ("p", 4), version=2))
    await stocked.reserve(claim("o1", line("A", 3)), claim("o2", line("A", 1)))
    await ended(stocked, ("p", "shared"))
    words = await stocked.call("rehold", payment("o1", amount=300), payment("o2", amount=100))
    assert words == [["CONFIRMED"]] * 2
    assert await stocked.counters() == {"c/shared/mall": "4"}
    await stocked.call("rule", offer("B", ("shared", 4), version=2))
    assert (await stocked.reserve(claim("o3", line("B"))))[0][0] == "SOLD_OUT"


async def test_a_deposit_follows_the_successor_and_is_given_back_from_there(
    presale: World,
) -> None:
    await presale.reserve(claim("o1", line("A", 2)))
    await ended(presale, ("p", "shared"))
    assert (await presale.call("rehold", payment("o1", amount=60)))[0][0] == "DEPOSITED"
    assert await presale.pool("shared") == [110, 0, 108, 2, 0]
    await presale.call("release", cancel("o1"))
    assert await presale.pool("shared") == [110, 0, 110, 0, 0]
