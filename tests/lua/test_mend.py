"""`mend`: what is certainly wrong is put right, if it still is as it was seen; no unit moves."""

from tests.lua.builders import SEQ, World, claim, key, line, offer, pack

FIELD = "b\x1fmain\x1fd11\x1fA\x1fb1"


async def with_a_hold(world: World) -> None:
    await world.call("rule", offer("A", "p", limit=9, version=2))
    await world.reserve(claim("o1", line("A", 2), buyer="b1"))
    assert await world.counters() == {"b/main/d11/A/b1": "2", "m/main/d11/b1": "o1"}


async def test_a_counter_becomes_what_is_said_if_it_is_as_seen(stocked: World) -> None:
    await with_a_hold(stocked)
    await stocked.redis.hset(key("counters"), FIELD, 5)
    assert await stocked.call("mend", ["counter", FIELD, 4, 2]) == [["CHANGED"]]
    assert (await stocked.counters())["b/main/d11/A/b1"] == "5"
    assert await stocked.call("mend", ["counter", FIELD, 5, 2]) == [["MENDED"]]
    assert (await stocked.counters())["b/main/d11/A/b1"] == "2"
    assert await stocked.call("mend", ["counter", "b/nobody", 0, 1]) == [["MENDED"]]
    assert await stocked.call("mend", ["counter", "b/nobody", 1, 0]) == [["MENDED"]]
    assert await stocked.redis.hexists(key("counters"), "b/nobody") == 0, "0 is no field"


async def test_a_number_of_grants_goes_back_and_the_units_stay(stocked: World) -> None:
    before = (await stocked.unpacked("pools"))["p"]
    await stocked.redis.hset(
        key("pools"), "p", pack([*before[:SEQ], before[SEQ] + 2, *before[SEQ + 1 :]])
    )
    right, wrong = before[SEQ], before[SEQ] + 2
    assert await stocked.call("mend", ["seq", "p", wrong + 1, right]) == [["CHANGED"]]
    assert await stocked.call("mend", ["seq", "no pool", 1, 0]) == [["CHANGED"]]
    assert await stocked.call("mend", ["seq", "p", wrong, right]) == [["MENDED"]]
    assert (await stocked.unpacked("pools"))["p"] == before
    assert await stocked.grant("p", 5) == ["GRANTED", 5], "the next number is taken again"


async def test_the_sweepers_list_becomes_what_the_holds_say(stocked: World) -> None:
    await with_a_hold(stocked)
    await stocked.reserve(claim("gone", settle="paid"))
    right = await stocked.scores("due")
    assert list(right) == ["o1"]
    await stocked.redis.zrem(key("due"), "o1")
    await stocked.redis.zadd(key("due"), {"gone": 1, "nobody": 1})
    asked = [["due", one] for one in ("o1", "gone", "nobody")]
    assert await stocked.call("mend", *asked) == [["MENDED"]] * 3
    assert await stocked.scores("due") == right
    assert await stocked.call("mend", *asked) == [["CHANGED"]] * 3


async def test_one_that_was_warned_gets_its_end(stocked: World) -> None:
    await with_a_hold(stocked)
    await stocked.advance(900_000)
    await stocked.call("expire", 10)
    right = await stocked.scores("due")
    await stocked.redis.zadd(key("due"), {"o1": 9e15})
    assert await stocked.call("mend", ["due", "o1"]) == [["MENDED"]]
    assert await stocked.scores("due") == right


async def test_it_says_nothing_to_the_log(stocked: World) -> None:
    await with_a_hold(stocked)
    before = await stocked.events()
    await stocked.redis.zrem(key("due"), "o1")
    await stocked.call("mend", ["due", "o1"])
    assert await stocked.events() == before
