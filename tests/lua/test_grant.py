"""`grant`: numbered deltas; a shrink takes what is free and says what is missing."""

from engine.kernel import limits
from tests.lua.builders import World, claim, line


async def test_the_first_grant_makes_the_pool(world: World) -> None:
    assert await world.grant("p", 5) == ["GRANTED", 5]
    assert (await world.unpacked("pools"))["p"] == [5, 0, 5, 0, 0, 1, "", 0]
    (event,) = await world.events("G")
    assert event == ["G", "p", await world.now(), [["p", 5, 0, 5, 0, 0]], 1, 5, 5, "load", "ref"]


async def test_numbers_follow_each_other(world: World) -> None:
    def numbered(*seqs: int) -> list[list[object]]:
        return [["p", seq, 1, "load", "ref"] for seq in seqs]

    assert await world.call("grant", *numbered(2, 1, 1, 3, 2)) == [
        ["OUT_OF_ORDER", 1], ["GRANTED", 1], ["REPEATED"], ["OUT_OF_ORDER", 2], ["GRANTED", 1],
    ]  # fmt: skip
    assert await world.call("grant", *numbered(2, 4, 3)) == [
        ["REPEATED"], ["OUT_OF_ORDER", 3], ["GRANTED", 1],
    ]  # fmt: skip
    assert await world.pool("p") == [3, 0, 3, 0, 0]


async def test_a_shrink_takes_what_is_free(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 6)))
    assert await stocked.grant("p", -1) == ["GRANTED", -1]
    assert await stocked.grant("p", -9) == ["SHORT", 6]
    assert await stocked.pool("p") == [6, 0, 0, 6, 0]
    assert await stocked.grant("p", -1) == ["SHORT", 1]
    assert [event[5:7] for event in await stocked.events("G")][-3:] == [[-1, -1], [-9, -3], [-1, 0]]
    assert await stocked.grant("p", 2) == ["GRANTED", 2], "what was short counts as done"


async def test_what_comes_after_the_end_goes_to_the_successor(stocked: World) -> None:
    assert await stocked.call("move", ["end:p", "p", "q", -1, 1, "end"]) == [["MOVED", 10]]
    before = (await stocked.pool("q"))[0]
    assert await stocked.grant("p", 4) == ["GRANTED", 4]
    assert await stocked.pool("p") == [0, 0, 0, 0, 0]
    assert (await stocked.pool("q"))[0] == before + 4
    assert (await stocked.events("G"))[-1][3] == [["p", 0, 0, 0, 0, 0], ["q", 4, 0, 4, 0, 0]]
    assert await stocked.grant("p", -4) == ["SHORT", 4], "it is not taken back from there"


async def test_nothing_granted_is_a_grant(world: World) -> None:
    assert await world.grant("p", 0) == ["GRANTED", 0]
    assert await world.pool("p") == [0, 0, 0, 0, 0]


async def test_the_largest_call(world: World) -> None:
    many = [[f"p{n}", 1, n, "load", "ref"] for n in range(limits.CLAIMS_PER_CALL_MAX)]
    assert await world.call("grant", *many) == [["GRANTED", n] for n in range(len(many))]
