"""`prune`: what ended is remembered 7 days after its end and its campaign's, and then no longer."""

from tests.lua.builders import (
    DAY,
    HOUR,
    World,
    campaign,
    cancel,
    claim,
    line,
    offer,
    payment,
)


async def test_seven_days_after_the_end(stocked: World) -> None:
    now = await stocked.now()
    ends_soon = [campaign()[0], 2, [2, 0, now + 1, 0, 0, []]]
    await stocked.call("rule", offer("A", "p", limit=9, version=2), ends_soon)
    await stocked.reserve(*(claim(f"o{n}", buyer="b1") for n in range(3)))
    await stocked.advance(HOUR)
    await stocked.call("confirm", payment("o0"))
    await stocked.call("release", cancel("o1"))
    await stocked.call("return", ["r1", "o0", [["p", 1]]])
    await stocked.call("move", ["m1", "p", "q", 1, 0, ""])
    await stocked.advance(7 * DAY - 1)
    assert await stocked.call("prune", 10) == [0]
    await stocked.advance(1)
    assert await stocked.call("prune", 3) == [3]
    assert await stocked.call("prune", 3) == [1]
    assert await stocked.call("prune", 3) == [0]
    assert list(await stocked.unpacked("holds")) == ["o2"], "what is still pending stays"
    assert await stocked.counters() == {"b/main/d11/A/b1": "1", "m/main/d11/b1": "o2"}
    assert await stocked.redis.hlen("tg:{c1}:once") == 0
    assert await stocked.scores("done") == {}


async def test_not_before_the_campaigns_end(stocked: World) -> None:
    now = await stocked.now()
    await stocked.call("rule", [campaign()[0], 2, [2, 0, now + 30 * DAY, 0, 0, []]])
    await stocked.reserve(claim("o1", settle="paid"))
    await stocked.advance(8 * DAY)
    assert await stocked.call("prune", 10) == [1]
    assert await stocked.scores("done") == {"o/o1": now + 37 * DAY}
    assert (await stocked.reserve(claim("o1", settle="paid")))[0][0] == "REPEATED"
    await stocked.advance(29 * DAY)
    assert await stocked.call("prune", 10) == [1]
    assert await stocked.unpacked("holds") == {}


async def test_a_cap_is_given_back_with_what_counted(stocked: World) -> None:
    await stocked.call("rule", offer("B", "q", ("shared", 5), of=""))
    await stocked.reserve(claim("o1", line("B", 6), campaign="", settle="paid"))
    assert await stocked.counters() == {"c/shared/mall": "4"}
    await stocked.advance(7 * DAY)
    await stocked.call("prune", 10)
    assert await stocked.counters() == {}
    assert await stocked.pool("shared") == [100, 0, 96, 0, 4]


async def test_a_rehold_is_remembered_from_its_own_end(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", of=""))
    await stocked.reserve(claim("o1", campaign=""))
    await stocked.advance(DAY)
    await stocked.call("expire", 10)
    await stocked.advance(6 * DAY)
    await stocked.call("rehold", payment("o1"))
    await stocked.advance(DAY)
    assert await stocked.call("prune", 10) == [0]
