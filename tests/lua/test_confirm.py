"""`confirm`: held becomes sold once; money without goods is logged, never refused."""

import pytest

from tests.lua.builders import (
    COUNTERS,
    DAY,
    PAYMENTS,
    STATE,
    World,
    cancel,
    claim,
    line,
    offer,
    payment,
)


@pytest.fixture
async def held(stocked: World) -> World:
    """Orders o1 and o2 hold two of A each, for 200."""
    await stocked.call("rule", offer("A", "p", limit=9, version=2))
    await stocked.reserve(*(claim(f"o{n}", line("A", 2), buyer=f"b{n}") for n in (1, 2)))
    return stocked


async def test_held_units_are_sold(held: World) -> None:
    now = await held.now()
    assert await held.call("confirm", payment("o1", amount=200)) == [["CONFIRMED"]]
    assert await held.pool("p") == [10, 0, 6, 2, 2]
    hold = await held.hold("o1")
    assert hold[STATE] == "C"
    assert hold[PAYMENTS] == [["pay-1", "applied", 200]]
    assert hold[COUNTERS] == [["b\x1fmain\x1fd11\x1fA\x1fb1", 2, 1]], "a sale still counts"
    assert "o1" not in await held.scores("due")
    assert await held.scores("done") == {"o/o1": now + 7 * DAY}
    assert "m/main/d11/b1" not in await held.counters()
    (event,) = await held.events("C")
    facts = ["pay-1", 200, "CNY", "alipay", 0, "full", "key-1"]
    assert event == ["C", "o1", now, [["p", 0, 0, 0, -2, 2]], facts, 1]


async def test_the_same_payment_again_is_answered_and_not_logged(held: World) -> None:
    first, twin = await held.call("confirm", payment("o1", amount=200), payment("o1", amount=200))
    assert (first, twin) == (["CONFIRMED"], ["REPEATED", "applied"])
    assert await held.call("confirm", payment("o1", amount=200)) == [["REPEATED", "applied"]]
    assert len(await held.events("C", "M")) == 1


async def test_a_second_payment_is_due_back(held: World) -> None:
    await held.call("confirm", payment("o1", amount=200))
    second = payment("o1", "pay-2", 200)
    assert await held.call("confirm", second, second) == [
        ["ALREADY_CONFIRMED"],
        ["REPEATED", "second_payment"],
    ]
    (event,) = await held.events("M")
    assert event[3] == []
    assert (event[4][0], event[5]) == ("pay-2", "second_payment")
    assert await held.pool("p") == [10, 0, 6, 2, 2]


async def test_payment_of_a_cancelled_order_is_due_back(held: World) -> None:
    await held.call("release", cancel("o1"))
    late = payment("o1", amount=200)
    assert await held.call("confirm", late, late) == [
        ["ALREADY_RELEASED"],
        ["REPEATED", "cancelled"],
    ]
    assert [event[5] for event in await held.events("M")] == ["cancelled"]


async def test_another_amount_or_currency_is_not_booked(held: World) -> None:
    wrong = [payment("o1", amount=199), payment("o1", amount=200, currency="USD")]
    assert await held.call("confirm", *wrong) == [["CONFLICT", 200, "CNY"]] * 2
    assert (await held.hold("o1"))[STATE] == "P"
    assert (await held.hold("o1"))[PAYMENTS] == []


async def test_after_the_deadline_it_is_confirmed_until_expire_has_run(held: World) -> None:
    await held.advance(DAY)
    assert await held.call("confirm", payment("o1", amount=200)) == [["CONFIRMED"]]
    await held.call("expire", 10)
    assert await held.call("confirm", payment("o2", amount=200)) == [["EXPIRED"]]
    assert await held.events("M") == []
    assert await held.pool("p") == [10, 0, 8, 0, 2]


async def test_an_order_the_cell_does_not_know(held: World) -> None:
    assert await held.call("confirm", payment("nobody")) == [["UNKNOWN_ORDER"]]


async def test_one_payment_of_a_batch_does_not_stop_the_others(held: World) -> None:
    words = await held.call(
        "confirm", payment("nobody"), payment("o1", amount=1), payment("o2", amount=200)
    )
    assert [word[0] for word in words] == ["UNKNOWN_ORDER", "CONFLICT", "CONFIRMED"]


async def test_units_drawn_from_two_pools_are_sold_in_both(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("B", 4)))
    await stocked.call("confirm", payment("o1", amount=400))
    assert await stocked.pool("q") == [2, 0, 0, 0, 2]
    assert await stocked.pool("shared") == [100, 0, 98, 0, 2]
    assert await stocked.counters() == {"c/shared/mall": "2"}


@pytest.mark.parametrize("script", ["confirm", "rehold"])
async def test_a_payment_that_comes_again_with_another_amount_is_told_the_first(
    stocked: World, script: str
) -> None:
    await stocked.reserve(claim("o1", line("A", 2)))
    words = await stocked.call(
        script, payment("o1", amount=200), payment("o1", amount=199), payment("o1", amount=200)
    )
    assert words == [["CONFIRMED"], ["CHANGED", 200], ["REPEATED", "applied"]]
