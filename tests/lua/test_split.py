"""A cart split into orders before payment: units change hands, and no pool moves."""

import pytest

from tests.lua.builders import (
    COUNTERS,
    DAY,
    DRAWS,
    LINES,
    PAY_BY,
    STAGES,
    STATE,
    TOTAL,
    UNTIL,
    WARNED,
    World,
    campaign,
    cancel,
    channel,
    claim,
    line,
    offer,
    payment,
)
from tests.lua.marketplace import snap, tmall
from tests.lua.presale import GRACE, HOLD


def part(order_id: str, *lines: list, of: str = "cart", **over: object) -> list:
    return claim(order_id, *lines, **{"buyer": "b1", "split_from": of} | over)


@pytest.fixture
async def cart(stocked: World) -> World:
    """Four of A, and five of B: two from q, three from the shared pool under its cap."""
    limits = [["campaign", "buyer_id", 20, "units"], ["campaign", "buyer_id", 3, "orders"]]
    await stocked.call("rule", [campaign()[0], 2, [2, *campaign(limits=limits)[2][1:]]])
    await stocked.call("rule", offer("A", "p", limit=9, version=2))
    await stocked.reserve(claim("cart", line("A", 4), line("B", 5), buyer="b1"))
    return stocked


async def test_units_change_hands_and_no_pool_moves(cart: World) -> None:
    pools = await cart.unpacked("pools")
    pay_by = await cart.now() + HOLD
    await cart.advance(1_000)
    answer = await cart.reserve(part("new", line("B", 4, payable=390), line("A", 1)))
    assert answer == [["RESERVED", "P", pay_by, 490, []]]
    assert await cart.unpacked("pools") == pools
    new, old = await cart.hold("new"), await cart.hold("cart")
    assert (new[STATE], new[PAY_BY], new[UNTIL]) == ("P", pay_by, pay_by + GRACE)
    assert new[DRAWS] == [[1, "shared", 3], [1, "q", 1], [2, "p", 1]]
    assert [one[1:3] for one in new[LINES]] == [[4, 390], [1, 100]]
    assert old[DRAWS] == [[1, "p", 3], [2, "q", 1]]
    assert [one[1:3] for one in old[LINES]] == [[3, 300], [1, 100]]
    assert (old[STATE], old[TOTAL]) == ("P", 400)
    assert await cart.scores("due") == {"cart": pay_by, "new": pay_by}
    assert await cart.counters() == {
        "b/main/d11/A/b1": "4",
        "c/shared/mall": "3",
        "l/main/d11/campaign/buyer_id/units/b1": "9",
        "l/main/d11/campaign/buyer_id/orders/b1": "2",
        "m/main/d11/b1": "new",
    }
    assert await cart.redis.hget("tg:{c1}:cell", "accepted") == b"2"


async def test_the_log_tells_both_orders(cart: World) -> None:
    await cart.reserve(part("new", line("B", 4, payable=390), line("A", 1)))
    taken, cut = (await cart.events())[-2:]
    assert [*taken[:2], taken[3], *taken[8:10]] == [
        "R", "new", [],
        [[1, "shared", 3], [1, "q", 1], [2, "p", 1]],
        (await cart.hold("new"))[COUNTERS],
    ]  # fmt: skip
    assert [*cut[:2], *cut[3:]] == [
        "L", "cart", [], "new", "split", "", "key-1", [[2, 4, 400], [1, 1, 100]], "P", 400,
        [[1, "p", 3], [2, "q", 1]], 0,
    ]  # fmt: skip
    (_, _, payloads) = (await cart.entries())[-1]
    assert payloads == [b"{}"]


async def test_with_nothing_left_the_source_ends(cart: World) -> None:
    parts = [part("n1", line("A", 4)), part("n2", line("B", 5))]
    words = await cart.reserve(*parts)
    assert [word[:2] for word in words] == [["RESERVED", "P"]] * 2
    old = await cart.hold("cart")
    assert (old[STATE], old[TOTAL], old[DRAWS], old[COUNTERS]) == ("R", 0, [], [])
    assert [event[9:11] for event in await cart.events("L")] == [["P", 500], ["R", 0]]
    assert set(await cart.scores("due")) == {"n1", "n2"}
    assert list(await cart.scores("done")) == ["o/cart"]
    counted = await cart.counters()
    assert counted["l/main/d11/campaign/buyer_id/orders/b1"] == "2", "the cart is none any more"
    assert counted["m/main/d11/b1"] == "n2"
    assert await cart.reserve(*parts) == [["REPEATED", *word[1:5]] for word in words]


async def test_each_part_is_paid_or_ends_by_itself(cart: World) -> None:
    await cart.reserve(part("n1", line("B", 4)), part("n2", line("A", 3), of="cart"))
    words = await cart.call(
        "confirm", payment("n1", amount=400), payment("cart", amount=900),
        payment("cart", "rest", amount=200),
    )  # fmt: skip
    assert words == [["CONFIRMED"], ["CONFLICT", 200, "CNY"], ["CONFIRMED"]]
    await cart.advance(DAY)
    await cart.call("expire", 10)
    assert (await cart.hold("n2"))[STATE] == "E"
    assert await cart.pool("p") == [10, 0, 9, 0, 1]
    assert await cart.pool("shared") == [100, 0, 97, 0, 3]
    assert await cart.counters() == {
        "b/main/d11/A/b1": "1",
        "c/shared/mall": "3",
        "l/main/d11/campaign/buyer_id/units/b1": "6",
        "l/main/d11/campaign/buyer_id/orders/b1": "2",
    }


async def test_a_split_of_a_split_in_one_batch_with_its_source(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", limit=9, version=2))
    words = await stocked.reserve(
        claim("cart", line("A", 3), line("B", 5), buyer="b1"),
        part("n1", line("A", 2), line("B", 4)),
        part("n2", line("A", 1), line("B", 3), of="n1"),
        part("n3", line("A", 1), line("B", 1), of="n1"),
    )
    assert [word[:2] for word in words] == [["RESERVED", "P"]] * 4
    assert {i: h[STATE] for i, h in (await stocked.unpacked("holds")).items()} == {
        "cart": "P", "n1": "R", "n2": "P", "n3": "P",
    }  # fmt: skip
    assert [event[8] for event in await stocked.events("R")] == [
        [[1, "p", 3], [2, "q", 2], [2, "shared", 3]],
        [[1, "p", 2], [2, "shared", 3], [2, "q", 1]],
        [[1, "p", 1], [2, "q", 1], [2, "shared", 2]],
        [[1, "p", 1], [2, "shared", 1]],
    ], "each as it was when it was taken"
    assert [event[11] for event in await stocked.events("L")] == [
        [[1, "p", 1], [2, "q", 1]],
        [[1, "p", 1], [2, "shared", 1]],
        [],
    ]
    counted = await stocked.counters()
    assert (counted["b/main/d11/A/b1"], counted["c/shared/mall"]) == ("3", "3")


async def test_one_line_from_two_of_the_cart_counts_once(stocked: World) -> None:
    """Of the same SKU twice in the cart: what is given back later is what was counted."""
    await stocked.call("rule", offer("A", "p", limit=9, version=2))
    await stocked.reserve(claim("cart", line("A", 1), line("A", 3), buyer="b1"))
    await stocked.reserve(part("new", line("A", 3)))
    assert (await stocked.hold("new"))[DRAWS] == [[1, "p", 1], [1, "p", 2]]
    await stocked.call("release", cancel("new", "c1", [1, 2]))
    assert (await stocked.counters())["b/main/d11/A/b1"] == "2"
    assert await stocked.pool("p") == [10, 0, 8, 2, 0]


async def test_one_line_of_the_cart_for_two_of_the_order(cart: World) -> None:
    await cart.reserve(part("new", line("A", 1), line("A", 2, payable=7)))
    assert (await cart.hold("new"))[DRAWS] == [[1, "p", 1], [2, "p", 2]]
    await cart.call("release", cancel("new", "c1", [2, 2]))
    assert (await cart.counters())["b/main/d11/A/b1"] == "2"
    (*_, last) = await cart.events("L")
    assert last[8] == [[2, 2, 7]]


async def test_neither_stock_nor_limit_nor_pause_nor_window_is_asked(cart: World) -> None:
    await cart.call("grant", ["p", 2, -6, "", ""], ["shared", 2, -97, "", ""])
    await cart.call("pause", ["main", "sku", "A", 1, "me", ""])
    await cart.call("pause", ["main", "campaign", "d11", 1, "me", ""])
    limits = [["campaign", "buyer_id", 1, "orders"]]
    await cart.call("rule", [campaign()[0], 3, [3, *campaign(ends_at=1, limits=limits)[2][1:]]])
    words = await cart.reserve(*(part(f"n{n}", line("A"), line("B")) for n in range(4)))
    assert [word[0] for word in words] == ["RESERVED"] * 4
    assert (await cart.counters())["l/main/d11/campaign/buyer_id/orders/b1"] == "5"


async def test_what_is_given_back_is_asked_again(cart: World) -> None:
    """A limit that was passed by splitting holds for the next order."""
    await cart.reserve(part("n1", line("A")), part("n2", line("A")))
    assert await cart.reserve(claim("other", buyer="b1")) == [["LIMIT_REACHED", 0, 3, 3]]
    await cart.call("release", cancel("n1"))
    assert (await cart.reserve(claim("other", buyer="b1")))[0][0] == "RESERVED"


async def test_a_warned_deadline_is_inherited_with_its_warning(cart: World) -> None:
    until = await cart.now() + HOLD + GRACE
    await cart.advance(HOLD)
    await cart.call("expire", 10)
    await cart.reserve(part("new", line("A")))
    assert (await cart.hold("new"))[WARNED] == 1
    assert await cart.scores("due") == {"cart": until, "new": until}
    await cart.advance(GRACE)
    await cart.call("expire", 10)
    assert [event[1] for event in await cart.events("W")] == ["cart"]
    assert sorted(event[1] for event in await cart.events("E")) == ["cart", "new"]


async def test_the_new_order_is_the_one_that_is_replaced(cart: World) -> None:
    words = await cart.reserve(
        part("new", line("A", 3)), claim("next", line("A", 8), buyer="b1", replace=1)
    )
    assert [word[0] for word in words] == ["RESERVED", "RESERVED"]
    assert (await cart.hold("new"))[STATE] == "R"
    assert (await cart.hold("cart"))[STATE] == "P"
    assert await cart.pool("p") == [10, 0, 1, 9, 0]


async def test_units_of_a_pool_that_ended_keep_their_way_home(cart: World) -> None:
    await cart.call("move", ["m1", "p", "q", -1, 1, ""])
    await cart.reserve(part("new", line("A", 3)))
    await cart.call("release", cancel("new"))
    assert await cart.pool("p") == [1, 0, 0, 1, 0]
    assert await cart.pool("q") == [11, 0, 9, 2, 0]


async def test_money_leaves_by_the_units_share(stocked: World) -> None:
    await stocked.reserve(claim("cart", line("A", 3, payable=100), buyer="b1"))
    await stocked.reserve(part("n1", line("A", payable=1)), part("n2", line("A", payable=2)))
    assert [event[8] for event in await stocked.events("L")] == [[[1, 1, 33]], [[1, 1, 33]]]
    assert (await stocked.hold("cart"))[TOTAL] == 34
    assert await stocked.call("confirm", payment("n2", amount=2)) == [["CONFIRMED"]]


REFUSED = {
    "no such order": (part("new", line("A"), of="gone"), ["UNKNOWN_ORDER"]),
    "itself": (part("new", line("A"), of="new"), ["UNKNOWN_ORDER"]),
    "a paid order": (part("new", line("A"), of="paid"), ["ALREADY_CONFIRMED"]),
    "a cancelled order": (part("new", line("A"), of="cancelled"), ["ALREADY_RELEASED"]),
    "an expired order": (part("new", line("A"), of="expired"), ["EXPIRED"]),
    "more than the line has": (part("new", line("B", 5), line("A", 5)), ["SHORT", 2]),
    "more in two lines": (part("new", line("A", 4), line("A", 1)), ["SHORT", 2]),
    "what it never had": (part("new", line("C")), ["SHORT", 1]),
    "another buyer": (part("new", line("A"), buyer="b2"), ["SHORT", 0]),
    "no buyer": (part("new", line("A"), buyer=""), ["SHORT", 0]),
    "another channel": (part("new", line("A"), channel="shop"), ["SHORT", 0]),
    "another campaign": (part("new", line("A"), campaign=""), ["SHORT", 0]),
    "another currency": (part("new", line("A"), currency="USD"), ["SHORT", 0]),
    "another tenant": (part("new", line("A"), tenant="other"), ["UNKNOWN_SKU", 1]),
    "it says something else": (part("cart", line("A"), fingerprint="x"), ["CONFLICT"]),
}


@pytest.mark.parametrize(("asked", "word"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_changes_nothing(cart: World, asked: list, word: list) -> None:
    fast = [2, "gate", HOLD, GRACE, {"fast": 1}]
    await cart.call("rule", channel("shop"), [channel()[0], 2, fast])
    await cart.reserve(claim("expired", buyer="b5", method="fast"))
    await cart.advance(GRACE + 1)
    await cart.call("expire", 10)
    await cart.reserve(claim("paid", buyer="b3", settle="paid"), claim("cancelled", buyer="b4"))
    await cart.call("release", cancel("cancelled"))
    before = await cart.dump()
    assert await cart.reserve(asked, asked) == [word, word]
    assert await cart.dump() == before


async def test_a_refusal_in_a_batch_leaves_what_came_before_it(cart: World) -> None:
    words = await cart.reserve(
        part("n1", line("A", 3)), part("n2", line("A", 2)), part("n3", line("A", 1))
    )
    assert [word[:2] for word in words] == [["RESERVED", "P"], ["SHORT", 1], ["RESERVED", "P"]]
    assert (await cart.hold("cart"))[DRAWS] == [[2, "q", 2], [2, "shared", 3]]


async def test_a_marketplaces_order_is_not_split(cart: World) -> None:
    await cart.call("rule", tmall(), offer("A", "p", channel="tmall"))
    await cart.sync(snap("theirs", 1, 0, line("A", 2), buyer="b1"))
    before = await cart.counters(), await cart.hold("theirs")
    taking = part("new", line("A"), channel="tmall", of="theirs")
    assert await cart.reserve(taking) == [["WRONG_CALL"]]
    assert await cart.reserve(part("new", line("A"), of="theirs")) == [["SHORT", 0]]
    assert (await cart.counters(), await cart.hold("theirs")) == before


async def test_both_parts_of_a_presale_are_paid_in_stages(presale: World) -> None:
    await presale.reserve(claim("cart", line("A", 3), line("B", 2), buyer="b1"))
    (first,) = await presale.reserve(part("new", line("A", 1), line("B", 1)))
    assert [one[:2] for one in first[5]] == [["deposit", 30], ["balance", 170]]
    (again,) = await presale.reserve(claim("cart"))
    assert [one[:2] for one in again[5]] == [["deposit", 60], ["balance", 240]]
    await presale.call("confirm", payment("cart", "d", 60))
    assert await presale.reserve(part("n2", line("A"))) == [["SHORT", 0]]
    assert (await presale.reserve(part("n3", line("A"), of="new")))[0][0] == "RESERVED"


async def test_without_what_asked_for_a_deposit_all_is_due(presale: World) -> None:
    await presale.reserve(claim("cart", line("A", 1), line("B", 2), buyer="b1"))
    (first,) = await presale.reserve(part("new", line("A")))
    assert first[5][0][:2] == ["deposit", 30]
    assert await presale.call("confirm", payment("cart", "d", 0)) == [["CONFLICT", 200, "CNY"]]
    (second,) = await presale.reserve(part("n2", line("B")))
    assert len(second) == 5


async def test_what_was_agreed_stays_agreed(presale: World) -> None:
    """Deposits and deadlines are those of the first reservation, for both of its parts."""
    await presale.reserve(claim("cart", line("A", 2), buyer="b1"))
    stages = (await presale.hold("cart"))[STAGES]
    await presale.call("rule", offer("A", "p", deposit=77, version=9))
    await presale.call("rule", [campaign()[0], 9, [9, *campaign()[2][1:]]])
    await presale.reserve(part("new", line("A")))
    assert (await presale.hold("new"))[STAGES:][:1] == [stages]
