"""`release`: whole or by line, once per cancel id, with its money, limits and caps."""

import pytest

from engine.kernel import limits
from tests.lua.builders import (
    CANCELS,
    COUNTERS,
    DRAWS,
    LINES,
    STATE,
    TOTAL,
    World,
    campaign,
    cancel,
    claim,
    line,
    offer,
    payment,
)
from tests.lua.marketplace import snap, tmall


async def test_all_of_it(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", limit=9, version=2))
    await stocked.reserve(claim("o1", line("A", 2), line("B", 3), buyer="b1"))
    assert await stocked.call("release", cancel("o1")) == [["RELEASED", "R", 0]]
    assert [(await stocked.pool(pool))[2:4] for pool in ("p", "q", "shared")] == [
        [10, 0], [2, 0], [100, 0],
    ]  # fmt: skip
    assert await stocked.counters() == {}
    assert await stocked.scores("due") == {}
    assert list(await stocked.scores("done")) == ["o/o1"]
    hold = await stocked.hold("o1")
    assert (hold[STATE], hold[TOTAL], hold[DRAWS], hold[COUNTERS]) == ("R", 0, [], [])
    (event,) = await stocked.events("L")
    assert event[4:8] == ["cancel-1", "cancel", "changed mind", "key-1"]
    assert event[8:] == [[[1, 2, 200], [2, 3, 300]], "R", 0, [], 0]


async def test_a_part_leaves_with_its_share_of_the_money(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 3, payable=100), line("B", 1, payable=50)))
    words = await stocked.call(
        "release",
        cancel("o1", "c1", [1, 1]),
        cancel("o1", "c2", [1, 1]),
        cancel("o1", "c1", [1, 1]),
        cancel("o1", "c3", [2, 1]),
        cancel("o1", "c4", [1, 1]),
        cancel("o1", "c5"),
    )
    assert words == [
        ["RELEASED", "P", 117],
        ["RELEASED", "P", 84],
        ["REPEATED", "P", 84],
        ["RELEASED", "P", 34],
        ["RELEASED", "R", 0],
        ["ALREADY_RELEASED"],
    ]
    assert [event[8] for event in await stocked.events("L")] == [
        [[1, 1, 33]], [[1, 1, 33]], [[2, 1, 50]], [[1, 1, 34]],
    ]  # fmt: skip
    assert (await stocked.hold("o1"))[CANCELS] == ["c1", "c2", "c3", "c4"]


async def test_what_is_left_can_still_be_paid(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 3)))
    await stocked.call("release", cancel("o1", "c1", [1, 2]))
    assert await stocked.call("confirm", payment("o1", amount=300)) == [["CONFLICT", 100, "CNY"]]
    assert await stocked.call("confirm", payment("o1", amount=100)) == [["CONFIRMED"]]
    assert await stocked.pool("p") == [10, 0, 9, 0, 1]


async def test_each_event_tells_the_draws_that_it_left(stocked: World) -> None:
    """Also where one batch cancels twice: a reader may stop between the two."""
    await stocked.reserve(claim("o1", line("B", 5)))
    await stocked.call("release", cancel("o1", "c1", [1, 1]), cancel("o1", "c2", [1, 3]))
    assert [event[11] for event in await stocked.events("L")] == [
        [[1, "q", 2], [1, "shared", 2]],
        [[1, "q", 1]],
    ]


async def test_the_last_drawn_goes_back_first_and_its_cap_with_it(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("B", 5)))
    await stocked.call("release", cancel("o1", "c1", [1, 2]))
    assert await stocked.counters() == {"c/shared/mall": "1"}
    await stocked.call("release", cancel("o1", "c2", [1, 2]))
    assert await stocked.counters() == {}
    assert await stocked.pool("q") == [2, 0, 1, 1, 0]


async def test_limits_by_unit_fall_with_the_line_and_by_order_with_the_order(
    stocked: World,
) -> None:
    rules = [["campaign", "buyer_id", 9, "units"], ["campaign", "buyer_id", 9, "orders"]]
    await stocked.call("rule", [campaign()[0], 2, [2, 0, 10**13, 0, 0, rules]])
    await stocked.reserve(claim("o1", line("A", 3), line("B", 1), buyer="b1"))
    await stocked.call("release", cancel("o1", "c1", [1, 2]))
    counted = await stocked.counters()
    assert counted["l/main/d11/campaign/buyer_id/units/b1"] == "2"
    assert counted["l/main/d11/campaign/buyer_id/orders/b1"] == "1"
    await stocked.call("release", cancel("o1", "c2", [1, 1], [2, 1]))
    assert await stocked.counters() == {}


@pytest.mark.parametrize("lines", [[[1, 4]], [[1, 2], [1, 2]], [[3, 1]]])
async def test_more_than_the_line_has_changes_nothing(stocked: World, lines: list) -> None:
    await stocked.reserve(claim("o1", line("A", 3), line("B", 1)))
    before = await stocked.dump()
    assert await stocked.call("release", cancel("o1", "c1", *lines)) == [["CONFLICT", lines[0][0]]]
    assert await stocked.dump() == before


async def test_terminal_states_have_their_words(stocked: World) -> None:
    await stocked.reserve(*(claim(f"o{n}") for n in (1, 2, 3)))
    await stocked.call("confirm", payment("o1"))
    await stocked.call("release", cancel("o2"))
    await stocked.advance(10**7)
    await stocked.call("expire", 10)
    words = await stocked.call("release", *(cancel(f"o{n}", "c9") for n in (1, 2, 3, 4)))
    assert words == [["ALREADY_CONFIRMED"], ["ALREADY_RELEASED"], ["EXPIRED"], ["UNKNOWN_ORDER"]]


async def test_a_duplicate_gives_back_what_was_sold(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 2), settle="paid"))
    words = await stocked.call("release", cancel("o1", kind="duplicate"))
    assert words == [["RELEASED", "R", 0]]
    assert await stocked.pool("p") == [10, 0, 10, 0, 0]


async def test_units_of_an_ended_pool_go_to_its_successors_successor(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 4)))
    await stocked.call("move", ["m1", "p", "q", -1, 1, ""], ["m2", "q", "shared", 0, 1, ""])
    assert await stocked.pool("p") == [4, 0, 0, 4, 0]
    await stocked.call("release", cancel("o1"))
    assert await stocked.pool("p") == [0, 0, 0, 0, 0]
    assert await stocked.pool("q") == [8, 0, 8, 0, 0]
    assert await stocked.pool("shared") == [104, 0, 104, 0, 0]


async def test_an_ended_pool_repays_its_own_debt_first(stocked: World) -> None:
    await stocked.call("rule", tmall(), offer("A", "p", channel="tmall"))
    await stocked.reserve(claim("o1", line("A", 10)))
    await stocked.sync(snap("o2", 1, 0, line("A", 3)))
    await stocked.call("move", ["m1", "p", "shared", -1, 1, ""])
    await stocked.call("release", cancel("o1"))
    assert await stocked.pool("p") == [3, 0, 0, 3, 0]
    assert await stocked.pool("shared") == [107, 0, 107, 0, 0]


async def test_money_is_exact_where_a_product_would_not_be(stocked: World) -> None:
    payable, quantity, units = 36_290_900_309_995, 321_688, 21_524
    assert int(float(payable) * units / quantity) != payable * units // quantity
    await stocked.grant("p", quantity)
    await stocked.reserve(claim("o1", line("A", quantity, payable=payable)))
    await stocked.call("release", cancel("o1", "c1", [1, units]))
    (event,) = await stocked.events("L")
    assert event[8] == [[1, units, payable * units // quantity]]


async def test_the_number_of_cancels_is_bounded(stocked: World) -> None:
    await stocked.grant("p", 100)
    await stocked.reserve(claim("o1", line("A", 100)))
    some = [cancel("o1", f"c{n}", [1, 1]) for n in range(limits.CANCELS_PER_ORDER_MAX + 1)]
    words = await stocked.call("release", *some)
    assert [word[0] for word in words] == ["RELEASED"] * limits.CANCELS_PER_ORDER_MAX + ["CONFLICT"]
    assert (await stocked.hold("o1"))[LINES][0][1] == 100 - limits.CANCELS_PER_ORDER_MAX
    (whole,) = await stocked.call("release", cancel("o1", "all"))
    assert whole == ["RELEASED", "R", 0]


async def test_a_refund_ends_a_pending_hold_whole_and_once(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 2), line("B", 3), buyer="b1"))
    refunded = cancel("o1", "refund:r1", kind="refunded")
    words = await stocked.call("release", refunded, refunded)
    assert words == [["RELEASED", "R", 0], ["REPEATED", "R", 0]]
    assert [(await stocked.pool(pool))[2:4] for pool in ("p", "q")] == [[10, 0], [2, 0]]
    (event,) = await stocked.events("L")
    assert event[4:6] == ["refund:r1", "refunded"]
    assert event[8:10] == [[[1, 2, 200], [2, 3, 300]], "R"]


async def test_an_expired_hold_is_released_by_its_refund_and_never_held_again(
    stocked: World,
) -> None:
    await stocked.reserve(claim("o1", line("A", 2), buyer="b1"))
    await stocked.advance(10**7)
    await stocked.call("expire", 10)
    pools, refunded = await stocked.pool("p"), cancel("o1", "refund:r1", kind="refunded")
    await stocked.advance(1_000)
    assert await stocked.call("release", refunded) == [["RELEASED", "R", 200]]
    assert await stocked.call("release", refunded) == [["REPEATED", "R", 200]]
    assert await stocked.pool("p") == pools
    (event,) = await stocked.events("L")
    assert event[3] == []
    assert event[4:] == ["refund:r1", "refunded", "changed mind", "key-1", [], "R", 200, [], 0]
    expired, released = (await stocked.events("E"))[0][2], event[2]
    assert await stocked.scores("done") == {"o/o1": released + limits.IDEMPOTENCY_KEEP_MS}
    assert released > expired
    for script in ("confirm", "rehold"):
        late = payment("o1", f"late-{script}", amount=200)
        assert await stocked.call(script, late) == [["ALREADY_RELEASED"]]
    assert [event[5] for event in await stocked.events("M")] == ["cancelled"] * 2
    assert await stocked.pool("p") == pools


@pytest.mark.parametrize("kind", ["cancel", "split", "duplicate"])
async def test_control_no_other_kind_ends_an_expired_hold(stocked: World, kind: str) -> None:
    """Else it would be held again for what is given back, see the test before."""
    await stocked.reserve(claim("o1", line("A", 2)))
    await stocked.advance(10**7)
    await stocked.call("expire", 10)
    before = await stocked.dump()
    assert await stocked.call("release", cancel("o1", kind=kind)) == [["EXPIRED"]]
    assert await stocked.dump() == before
    assert await stocked.call("rehold", payment("o1", amount=200)) == [["CONFIRMED"]]


async def test_a_refund_of_what_has_ended_otherwise_changes_nothing(stocked: World) -> None:
    await stocked.reserve(*(claim(f"o{n}") for n in (1, 2)))
    await stocked.call("confirm", payment("o1"))
    await stocked.call("release", cancel("o2"))
    before = await stocked.dump()
    refunds = (cancel(f"o{n}", "refund:r1", kind="refunded") for n in (1, 2, 3))
    words = await stocked.call("release", *refunds)
    assert words == [["ALREADY_CONFIRMED"], ["ALREADY_RELEASED"], ["UNKNOWN_ORDER"]]
    assert await stocked.dump() == before
