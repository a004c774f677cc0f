"""Paying in stages when time runs out: how each stage ends, and what a late payment gets."""

import pytest

from tests.lua.builders import (
    DATABASE,
    DAY,
    HOUR,
    PAID,
    PAY_BY,
    STAGES,
    STATE,
    UNTIL,
    WARNED,
    World,
    campaign,
    claim,
    line,
    payment,
    promised,
)
from tests.lua.presale import GRACE, HOLD, deadlines, deposit, two


async def test_each_stage_ends_by_itself_and_tells_what_was_paid(presale: World) -> None:
    await presale.reserve(two(), claim("o2", line("A", 2), line("B")))
    await deposit(presale, "o2")
    await presale.advance(HOLD + GRACE)
    await presale.call("expire", 10)
    assert [event[1:2] + event[4:] for event in await presale.events("E")] == [["o1", 0]]
    await presale.advance(10 * DAY - HOLD - GRACE)
    await presale.call("expire", 10)
    assert [event[1:2] + event[4:] for event in await presale.events("W")] == [
        ["o2", await presale.now() + GRACE]
    ]
    await presale.advance(GRACE)
    await presale.call("expire", 10)
    assert [event[4] for event in await presale.events("E")] == [0, 60]
    assert await presale.call("confirm", payment("o2", "r", 240)) == [["EXPIRED"]]
    assert await presale.pool("p") == [10, 0, 10, 0, 0]


@pytest.fixture
async def over(presale: World) -> World:
    """The deposit of o1 was not paid in time."""
    await presale.reserve(two())
    await presale.advance(HOLD + GRACE)
    await presale.call("expire", 10)
    return presale


async def test_a_late_deposit_holds_again_and_waits_for_the_balance(over: World) -> None:
    _, (last, last_end) = await deadlines(over)
    words = await over.call(
        "rehold", payment("o1", "x", 59), payment("o1", "d", 60), payment("o1", "d", 60)
    )
    assert words == [["CONFLICT", 60, "CNY"], ["DEPOSITED", last, 240], ["REPEATED", "applied"]]
    assert await over.pool("p") == [10, 0, 8, 2, 0]
    hold = await over.hold("o1")
    assert (hold[STATE], hold[2], hold[PAY_BY], hold[UNTIL]) == ("P", 2, last, last_end)
    assert (hold[WARNED], hold[PAID]) == (0, 60)
    assert await over.scores("due") == {"o1": last}
    assert (await over.counters()).get("m/main/d11/b1") is None
    (event,) = await over.events("H")
    assert event[5:7] == [2, [[1, "p", 2], [2, "q", 1]]]
    assert event[8:] == ["P", last, last_end, [["balance", last, last_end, []]]]
    assert await over.call("confirm", payment("o1", "r", 240)) == [["CONFIRMED"]]
    assert await over.pool("p") == [10, 0, 8, 0, 2]


async def test_late_deposit_and_rest_in_one_batch(over: World) -> None:
    words = await over.call("rehold", payment("o1", "d", 60), payment("o1", "r", 240))
    assert [word[0] for word in words] == ["DEPOSITED", "CONFIRMED"]
    (event,) = await over.events("H")
    assert [one[0] for one in event[11]] == ["balance"]


async def test_all_of_it_late_confirms_even_after_the_balance_was_due(over: World) -> None:
    await over.advance(20 * DAY)
    assert await over.call("rehold", payment("o1", "w", 300)) == [["CONFIRMED"]]
    (event,) = await over.events("H")
    assert (event[8], event[11]) == ("C", [])
    assert len(await over.hold("o1")) == STAGES


async def test_a_deposit_whose_balance_could_not_follow_is_too_late(over: World) -> None:
    _, (_, last_end) = await deadlines(over)
    await over.advance(last_end - await over.now() - 1)
    assert (await over.call("rehold", payment("o1", "d", 60)))[0][0] == "DEPOSITED"
    await over.advance(1)
    await over.call("expire", 10)
    assert (await over.hold("o1"))[STATE] == "E"


async def test_too_late_by_an_instant(over: World) -> None:
    _, (_, last_end) = await deadlines(over)
    await over.advance(last_end - await over.now())
    late = payment("o1", "d", 60)
    assert await over.call("rehold", late, late) == [
        ["REFUND_DUE", "too_late"], ["REPEATED", "too_late"],
    ]  # fmt: skip
    (event,) = await over.events("M")
    assert event[4:] == [["d", 60, "CNY", "alipay", 0, "full", "key-1"], "too_late"]
    assert await over.pool("p") == [10, 0, 10, 0, 0]
    assert (await over.hold("o1"))[STATE] == "E"


async def test_a_late_deposit_without_stock_is_due_back(over: World) -> None:
    await over.reserve(claim("o2", line("A", 9)))
    assert await over.call("rehold", payment("o1", "d", 60)) == [["REFUND_DUE", "no_stock"]]
    assert (await over.hold("o1"))[PAID] == 0


async def test_a_balance_that_comes_late_takes_the_goods_again(presale: World) -> None:
    await presale.reserve(two())
    await deposit(presale)
    await presale.advance(11 * DAY)
    await presale.call("expire", 10)
    words = await presale.call("rehold", payment("o1", "w", 300), payment("o1", "r", 240))
    assert words == [["CONFLICT", 240, "CNY"], ["CONFIRMED"]]
    assert await presale.pool("p") == [10, 0, 8, 0, 2]
    (event,) = await presale.events("H")
    assert (event[4][:2], event[5], event[8]) == (["r", 240], 2, "C")


async def test_a_hold_that_was_held_again_is_not_forgotten_while_it_waits(over: World) -> None:
    field, _, body = campaign(
        ends_at=await over.now() + DAY, balance_by=await over.now() + 30 * DAY
    )
    await over.call("rule", [field, 3, [3, *body[1:]]])
    await over.reserve(claim("o2", line("A", 2)))
    await over.advance(HOLD + GRACE)
    await over.call("expire", 10)
    await over.call("rehold", payment("o2", "d", 60))
    await over.advance(20 * DAY)
    await over.call("prune", 10)
    assert (await over.hold("o2"))[STATE] == "P"
    assert await over.call("confirm", payment("o2", "r", 140)) == [["CONFIRMED"]]
    assert await over.scores("done") == {"o/o2": await over.now() + 7 * DAY}


async def close_for(world: World, ms: int) -> None:
    """Close, let time pass, and open: deadlines that fell into it are moved."""
    await world.call("close", "for a while")
    await world.advance(ms)
    epoch = world.cell.epoch + 1
    for step in ("restoring", "open"):
        await world.cell.call("open", [DATABASE, "0-0"], argument=step, epoch=epoch)
    await world.cell.refresh()
    while (await world.call("extend", 256))[1]:
        pass


async def test_a_deadline_that_an_opening_moved_is_told_as_moved(presale: World) -> None:
    (first, _), (last, _) = await deadlines(presale)
    await presale.reserve(two())
    await close_for(presale, HOUR)
    (again,) = await presale.reserve(two())
    assert again[2] == first + HOUR
    assert again[5] == [["deposit", 60, first + HOUR], ["balance", 240, last]]
    await deposit(presale)
    await presale.advance(10 * DAY - HOUR - 1_000)
    await close_for(presale, HOUR)
    (again,) = await presale.reserve(two())
    assert again[5] == [["balance", 240, again[2]]]
    assert again[2] == last + HOUR


async def test_a_deposit_after_a_closing_that_outlasted_the_balance(presale: World) -> None:
    """The balance can still follow: the next sweep must not end what was just paid for."""
    await presale.reserve(two())
    await close_for(presale, 12 * DAY)
    word = await deposit(presale)
    await presale.call("expire", 10)
    assert (word[0], (await presale.hold("o1"))[STATE]) != ("DEPOSITED", "E")


async def test_nor_does_a_closing_in_its_time_of_grace(presale: World) -> None:
    await presale.reserve(two())
    await presale.advance(HOLD)
    await presale.call("expire", 10)
    await close_for(presale, 12 * DAY)
    word = await deposit(presale)
    await presale.call("expire", 10)
    assert (word[0], (await presale.hold("o1"))[STATE]) != ("DEPOSITED", "E")


async def test_a_lost_presale_is_put_back_with_its_stages(presale: World) -> None:
    (first, first_end), (last, last_end) = await deadlines(presale)
    now = await presale.now()
    await presale.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    presale.cell.epoch = 2
    lost = promised(two(), first, now)
    assert (await presale.call("restore", lost, payloads=[b"order"]))[0][:3] == [
        "RESERVED", "P", first,
    ]  # fmt: skip
    hold = await presale.hold("o1")
    assert hold[STAGES] == [
        ["deposit", first, first_end, [[1, 30]]], ["balance", last, last_end, []],
    ]  # fmt: skip
    (event,) = await presale.events("R")
    assert event[26] == hold[STAGES]
