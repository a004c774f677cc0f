"""`expire`: a warning at pay_by, the end at held_until, oldest first, a bounded number a call."""

from tests.lua.builders import (
    DAY,
    STATE,
    WARNED,
    World,
    claim,
    key,
    line,
    offer,
    payment,
)
from tests.lua.marketplace import snap, tmall


async def test_a_warning_then_the_end(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", limit=9, version=2))
    start = await stocked.now()
    await stocked.reserve(claim("o1", line("A", 2), buyer="b1"))
    assert await stocked.call("expire", 10) == [0, start + 900_000]
    await stocked.advance(900_000)
    assert await stocked.call("expire", 10) == [1, 0]
    assert (await stocked.hold("o1"))[WARNED] == 1
    assert await stocked.scores("due") == {"o1": start + 960_000}
    assert await stocked.events("W") == [["W", "o1", start + 900_000, [], start + 960_000]]
    await stocked.advance(59_999)
    assert await stocked.call("expire", 10) == [0, start + 960_000]
    await stocked.advance(1)
    assert await stocked.call("expire", 10) == [1, 0]
    assert (await stocked.hold("o1"))[STATE] == "E"
    assert await stocked.pool("p") == [10, 0, 10, 0, 0]
    assert await stocked.counters() == {}
    assert await stocked.scores("due") == {}
    assert await stocked.scores("done") == {"o/o1": start + 960_000 + 7 * DAY}
    assert await stocked.events("E") == [["E", "o1", start + 960_000, [["p", 0, 0, 2, -2, 0]], 0]]


async def test_oldest_first_and_no_more_than_asked(stocked: World) -> None:
    for n in range(5):
        await stocked.reserve(claim(f"o{n}"))
        await stocked.advance(10)
    await stocked.advance(DAY)
    assert (await stocked.call("expire", 3))[0] == 3
    assert [(await stocked.hold(f"o{n}"))[STATE] for n in range(5)] == ["E", "E", "E", "P", "P"]
    assert (await stocked.call("expire", 3))[0] == 2


async def test_what_was_paid_does_not_expire(stocked: World) -> None:
    await stocked.reserve(claim("o1"), claim("o2"))
    await stocked.call("confirm", payment("o1"))
    await stocked.advance(DAY)
    assert await stocked.call("expire", 10) == [1, 0]
    assert await stocked.pool("p") == [10, 0, 9, 0, 1]


async def test_a_stray_deadline_is_forgotten(stocked: World) -> None:
    await stocked.redis.zadd(key("due"), {"nobody": 1})
    assert await stocked.call("expire", 10) == [1, 0]
    assert await stocked.scores("due") == {}


async def test_units_of_an_ended_pool_go_to_its_successor(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 4)))
    await stocked.call("move", ["m1", "p", "shared", -1, 1, ""])
    await stocked.advance(DAY)
    await stocked.call("expire", 10)
    assert await stocked.pool("p") == [0, 0, 0, 0, 0]
    assert await stocked.pool("shared") == [110, 0, 110, 0, 0]


async def test_it_keeps_the_cells_time_even_with_nothing_due(bare: World) -> None:
    await bare.open()
    before = await bare.now()
    while await bare.now() == before:
        assert await bare.call("expire", 10) == [0, 0]
    assert await bare.redis.xlen(key("log")) == 1, "and writes nothing into the log"


async def test_nothing_expires_while_deadlines_still_move(stocked: World) -> None:
    await stocked.reserve(claim("o1"))
    now = await stocked.now()
    await stocked.redis.hset(key("cell"), mapping={"shift_from": now, "shift_to": now + DAY})
    await stocked.advance(DAY)
    assert await stocked.call("expire", 10) == [-1, 0]
    assert await stocked.call("extend", 10) == [1, 0]
    assert await stocked.call("expire", 10) == [0, now + DAY + 900_000]


async def test_a_marketplace_order_never_expires(stocked: World) -> None:
    await stocked.call("rule", tmall(), offer("A", "p", channel="tmall"))
    await stocked.sync(snap("o1", 1, 0))
    await stocked.advance(100 * DAY)
    assert await stocked.call("expire", 10) == [0, 0]
