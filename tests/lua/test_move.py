"""`move`: free units change the pool while orders run; a pool may end into another."""

from tests.lua.builders import DAY, ENDED, SUCCESSOR, World, claim, line, offer
from tests.lua.marketplace import snap, tmall


async def test_free_units_move_once(stocked: World) -> None:
    now = await stocked.now()
    move = ["m1", "p", "q", 4, 0, "more there"]
    assert await stocked.call("move", move, move) == [["MOVED", 4], ["REPEATED"]]
    assert await stocked.call("move", move) == [["REPEATED"]]
    assert await stocked.pool("p") == [6, 0, 6, 0, 0]
    assert await stocked.pool("q") == [6, 0, 6, 0, 0]
    assert (await stocked.scores("done"))["v/m1"] == now + 7 * DAY
    (event,) = await stocked.events("V")
    assert event[3:] == [
        [["p", -4, 0, -4, 0, 0], ["q", 4, 0, 4, 0, 0]], "p", "q", 4, "more there", 0,
    ]  # fmt: skip


async def test_held_units_stay(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 7)))
    assert await stocked.call("move", ["m1", "p", "q", 4, 0, ""]) == [["SHORT", 3]]
    assert await stocked.call("move", ["m1", "p", "q", -1, 0, ""]) == [["MOVED", 3]]
    assert await stocked.pool("p") == [7, 0, 0, 7, 0]


async def test_so_many_as_are_to_be_kept_stay(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 3)))
    short = await stocked.call("move", ["m1", "p", "q", 4, 0, "", 4], ["m2", "p", "q", 1, 0, "", 9])
    assert short == [["SHORT", 3], ["SHORT", 0]]
    assert await stocked.call("move", ["m1", "p", "q", 3, 0, "", 4]) == [["MOVED", 3]]
    assert await stocked.call("move", ["m3", "p", "q", -1, 0, "", 3]) == [["MOVED", 1]]
    assert (await stocked.pool("p"))[2] == 3


async def test_it_repays_what_the_other_pool_owes(stocked: World) -> None:
    await stocked.call("rule", tmall(), offer("A", "p", channel="tmall"))
    await stocked.sync(snap("o1", 1, 0, line("A", 12)))
    await stocked.call("move", ["m1", "shared", "p", 5, 0, ""])
    assert await stocked.pool("p") == [15, 0, 3, 12, 0]


async def test_an_ended_pool_has_a_successor_and_sells_nothing(stocked: World) -> None:
    assert await stocked.call("move", ["m1", "p", "q", -1, 1, "over"]) == [["MOVED", 10]]
    ended = (await stocked.unpacked("pools"))["p"]
    assert (ended[ENDED], ended[SUCCESSOR]) == (1, "q")
    before = await stocked.pool("q")
    await stocked.grant("p", 3)
    assert (await stocked.reserve(claim("o1")))[0][0] == "SOLD_OUT"
    assert await stocked.call("move", ["m2", "p", "q", -1, 0, "late grant"]) == [["MOVED", 0]]
    assert (await stocked.pool("q"))[0] == before[0] + 3


async def test_ends_make_no_circle(stocked: World) -> None:
    words = await stocked.call(
        "move",
        ["m1", "p", "q", 0, 1, ""],
        ["m2", "q", "p", 0, 1, ""],
        ["m3", "shared", "p", 1, 0, ""],
        ["m4", "q", "q", 0, 1, ""],
        ["m5", "q", "shared", 0, 1, ""],
    )
    assert [word[0] for word in words] == ["MOVED", "CONFLICT", "CONFLICT", "CONFLICT", "MOVED"]


async def test_an_unknown_pool(stocked: World) -> None:
    words = await stocked.call("move", ["m1", "x", "p", 1, 0, ""], ["m2", "p", "x", 1, 0, ""])
    assert words == [["UNKNOWN_POOL"]] * 2
    assert await stocked.redis.hlen("tg:{c1}:once") == 0
