"""`rule`: the newest version stands, whatever comes in which order."""

from tests.lua.builders import World, claim, key, offer


async def test_only_a_newer_version_replaces(stocked: World) -> None:
    words = await stocked.call(
        "rule",
        offer("A", "q", version=3),
        offer("A", "p", version=2),
        offer("A", "shared", version=3),
    )
    assert words == [["SET"], ["REPEATED"], ["REPEATED"]]
    await stocked.reserve(claim("o1"))
    assert await stocked.pool("q") == [2, 0, 1, 1, 0]
    assert [event[1:5:3] for event in await stocked.events("S")][-1] == [offer("A")[0], 3]


async def test_an_empty_body_ends_the_rule(stocked: World) -> None:
    gone = [offer("A")[0], 1, []]
    assert await stocked.call("rule", gone, gone) == [["SET"], ["REPEATED"]]
    assert await stocked.reserve(claim("o1")) == [["UNKNOWN_SKU", 1]]
    assert not await stocked.redis.hexists(key("rules"), offer("A")[0])


async def test_an_offer_of_a_pool_that_is_not_there_is_unknown(stocked: World) -> None:
    await stocked.call("rule", offer("A", "nowhere", version=2), offer("B", version=2))
    assert await stocked.reserve(claim("o1")) == [["UNKNOWN_SKU", 1]]
