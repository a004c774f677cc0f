"""`return`: sold units come back once per id."""

from tests.lua.builders import DAY, World, claim, line, offer


async def sold(world: World, units: int = 4) -> None:
    await world.reserve(claim("o1", line("A", units), settle="paid"))


async def test_sold_units_are_for_sale_again(stocked: World) -> None:
    await sold(stocked)
    now = await stocked.now()
    words = await stocked.call("return", ["r1", "o1", [["p", 3]]], ["r1", "o1", [["p", 3]]])
    assert words == [["RETURNED"], ["REPEATED"]]
    assert await stocked.call("return", ["r1", "o1", [["p", 3]]]) == [["REPEATED"]]
    assert await stocked.pool("p") == [10, 0, 9, 0, 1]
    assert (await stocked.scores("done"))["r/r1"] == now + 7 * DAY
    assert await stocked.events("B") == [["B", "o1", now, [["p", 0, 0, 3, 0, -3]], "r1"]]


async def test_more_than_was_sold_changes_nothing(stocked: World) -> None:
    await sold(stocked)
    before = await stocked.dump()
    words = await stocked.call(
        "return", ["r1", "o1", [["p", 3], ["p", 2]]], ["r2", "o1", [["p", 1], ["nowhere", 1]]]
    )
    assert words == [["CONFLICT", "p"], ["UNKNOWN_POOL", "nowhere"]]
    assert await stocked.dump() == before


async def test_a_batch_cannot_return_more_than_was_sold(stocked: World) -> None:
    await sold(stocked)
    words = await stocked.call("return", *([f"r{n}", "o1", [["p", 3]]] for n in range(2)))
    assert words == [["RETURNED"], ["CONFLICT", "p"]]


async def test_after_the_pools_end_it_goes_to_the_successor(stocked: World) -> None:
    await sold(stocked)
    await stocked.call("move", ["m1", "p", "shared", -1, 1, ""])
    await stocked.call("return", ["r1", "o1", [["p", 4]]])
    assert await stocked.pool("p") == [0, 0, 0, 0, 0]
    assert await stocked.pool("shared") == [110, 0, 110, 0, 0]


async def test_the_buyer_may_take_again_what_he_gave_back(stocked: World) -> None:
    await stocked.call("rule", offer("A", ("p", 5), limit=4, version=2))
    paid = claim("o1", line("A", 4), settle="paid", buyer="b1")
    more = claim("o2", line("A", 2), buyer="b1")
    await stocked.reserve(paid)
    assert (await stocked.reserve(more))[0][:2] == ["LIMIT_REACHED", 1]
    await stocked.call("return", ["r1", "o1", [["p", 1, 1]]], ["r1", "o1", [["p", 1, 1]]])
    assert await stocked.counters() == {"b/main/d11/A/b1": "3", "c/p/mall": "3"}
    await stocked.call("return", ["r2", "o1", [["p", 3, 1]]])
    assert await stocked.counters() == {}
    assert (await stocked.reserve(more))[0][0] == "RESERVED"
