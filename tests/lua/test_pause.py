"""`pause`: effective with the next claim, until it is lifted."""

from tests.lua.builders import World, claim, key


async def test_pause_and_resume(stocked: World) -> None:
    on, off = (["main", "sku", "A", value, "me", "price"] for value in (1, 0))
    assert await stocked.call("pause", off, on, on) == [["REPEATED"], ["PAUSED"], ["REPEATED"]]
    assert await stocked.reserve(claim("o1")) == [["PAUSED", "sku", 1]]
    rules = await stocked.unpacked("rules")
    assert rules["pause\x1fmain\x1fsku\x1fA"] == [await stocked.now(), "me", "price"]
    assert await stocked.call("pause", off, off) == [["RESUMED"], ["REPEATED"]]
    assert (await stocked.reserve(claim("o1")))[0][0] == "RESERVED"
    assert [event[1:2] + event[4:] for event in await stocked.events("U")] == [
        ["sku", "main", "A", 1, "me", "price"],
        ["sku", "main", "A", 0, "me", "price"],
    ]


async def test_another_tenant_is_not_paused(stocked: World) -> None:
    await stocked.call("pause", ["other", "campaign", "d11", 1, "me", ""])
    assert (await stocked.reserve(claim("o1")))[0][0] == "RESERVED"


async def test_on_and_off_in_one_call_leaves_nothing(stocked: World) -> None:
    await stocked.call("pause", *(["main", "sku", "A", on, "me", ""] for on in (1, 0)))
    assert not await stocked.redis.hexists(key("rules"), "pause\x1fmain\x1fsku\x1fA")
