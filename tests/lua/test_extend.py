"""`extend`: a deadline that fell into a closed time moves by its length, once."""

import pytest

from tests.lua.builders import (
    DATABASE,
    PAY_BY,
    STATE,
    UNTIL,
    World,
    channel,
    claim,
    key,
    payment,
)

CLOSED_AFTER, CLOSED_FOR, GRACE = 500, 5_000, 300
# when each hold must be paid, ms after the test's start
PAY_BYS = {
    "overdue": 100,
    "warned": 210,
    "unwarned": 400,
    "at the closing": 500,
    "inside": 2_000,
    "at the opening": 5_500,
    "after": 10_000,
}


@pytest.fixture
async def reopened(stocked: World) -> World:
    """Holds with all kinds of deadlines, a closed time, an opening, nothing extended yet."""
    rule = channel(grace_ms=GRACE, by_method=PAY_BYS)
    await stocked.call("rule", [rule[0], 2, [2, *rule[2][1:]]])
    start = await stocked.now()
    await stocked.reserve(claim("warned", method="warned"))
    await stocked.advance(210)
    await stocked.call("expire", 10)
    await stocked.redis.hset(key("cell"), "now", str(start))
    await stocked.reserve(*(claim(name, method=name) for name in PAY_BYS if name != "warned"))
    await stocked.advance(CLOSED_AFTER)
    await stocked.call("close", "for the test")
    await stocked.advance(CLOSED_FOR)
    for step in ("restoring", "open"):
        await stocked.cell.call("open", [DATABASE, "0-0"], argument=step, epoch=2)
    await stocked.cell.refresh()
    return stocked


async def deadlines(world: World, since: int) -> dict[str, tuple[int, int]]:
    holds = await world.unpacked("holds")
    return {name: (hold[PAY_BY] - since, hold[UNTIL] - since) for name, hold in holds.items()}


@pytest.mark.parametrize("limit", [1, 2, 256])
async def test_each_deadline_in_the_closed_time_moves_once(reopened: World, limit: int) -> None:
    start = await reopened.now() - CLOSED_AFTER - CLOSED_FOR
    calls = 0
    while (await reopened.call("extend", limit))[1]:
        calls += 1
        assert calls < 20, "it comes to an end"
    assert await deadlines(reopened, start) == {
        "overdue": (100, 400),
        "warned": (210, 510 + CLOSED_FOR),
        "unwarned": (400, 700 + CLOSED_FOR),
        "at the closing": (500 + CLOSED_FOR, 800 + CLOSED_FOR),
        "inside": (2_000 + CLOSED_FOR, 2_300 + CLOSED_FOR),
        "at the opening": (5_500, 5_800),
        "after": (10_000, 10_300),
    }
    assert await reopened.call("extend", limit) == [0, 0]
    assert {event[1] for event in await reopened.events("D")} == {
        "warned", "unwarned", "at the closing", "inside",
    }  # fmt: skip
    for name, order_id, _, _, *told in await reopened.events("D"):
        hold = await reopened.hold(order_id)
        assert (name, told) == ("D", [hold[PAY_BY], hold[UNTIL]])


async def test_everybody_is_warned_once_and_ends_at_his_time(reopened: World) -> None:
    while (await reopened.call("extend", 2))[1]:
        pass
    await reopened.call("expire", 10)
    holds = await reopened.unpacked("holds")
    assert [name for name, hold in holds.items() if hold[STATE] == "E"] == ["overdue"]
    await reopened.advance(301 + CLOSED_AFTER)
    await reopened.call("expire", 10)
    holds = await reopened.unpacked("holds")
    assert {name for name, hold in holds.items() if hold[STATE] == "E"} == {
        "overdue", "warned", "unwarned", "at the closing", "at the opening",
    }  # fmt: skip
    await reopened.advance(100_000)
    await reopened.call("expire", 10)
    await reopened.call("expire", 10)
    warned = [event[1] for event in await reopened.events("W")]
    assert len(set(warned)) == len(warned)
    assert {"warned", "unwarned"} <= set(warned)


async def test_what_was_paid_meanwhile_is_left_alone(reopened: World) -> None:
    await reopened.call("confirm", payment("inside"))
    while (await reopened.call("extend", 256))[1]:
        pass
    assert "inside" not in {event[1] for event in await reopened.events("D")}
    assert "inside" not in await reopened.scores("due")


async def test_it_also_runs_while_restoring(reopened: World) -> None:
    """A cell that fell again while deadlines moved finishes them before it opens."""
    await reopened.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=3)
    assert (await reopened.cell.call("extend", [256], argument="0", epoch=3)).results[1] == 0
    start = await reopened.now() - CLOSED_AFTER - CLOSED_FOR
    assert (await deadlines(reopened, start))["inside"][0] == 2_000 + CLOSED_FOR


async def test_nothing_to_do(stocked: World) -> None:
    await stocked.reserve(claim("o1"))
    assert await stocked.call("extend", 10) == [0, 0]
