"""`checkpoint`: every pool's totals at one instant, in parts with nothing between them."""

from engine.kernel import limits
from tests.lua.builders import World, claim


async def test_it_tells_every_pool_and_how_many_were_accepted(stocked: World) -> None:
    await stocked.reserve(claim("o1"), claim("o2"))
    assert await stocked.call("checkpoint", "cp1") == [1]
    (event,) = await stocked.events("T")
    assert event[:7] == ["T", "cp1", await stocked.now(), [], 1, 1, 2]
    assert dict(event[7]) == await stocked.unpacked("pools")


async def test_many_pools_come_in_parts(world: World) -> None:
    count = 2 * limits.POOLS_PER_CHECKPOINT_PART + 1
    for first in range(0, count, 250):
        some = range(first, min(first + 250, count))
        await world.call("grant", *([f"p{n}", 1, n, "load", "ref"] for n in some))
    reply = await world.cell.call("checkpoint", ["cp1"], argument="0")
    parts = (await world.entries())[-3:]
    assert reply.results == [3]
    assert reply.log_id == parts[-1][0]
    told: dict[str, list[int]] = {}
    for n, (_, ((kind, name, _, _, part, of, _, pools),), _) in enumerate(parts, 1):
        assert (kind, name, part, of) == ("T", "cp1", n, 3)
        assert len(pools) <= limits.POOLS_PER_CHECKPOINT_PART
        told |= dict(pools)
    assert told == await world.unpacked("pools")


async def test_an_empty_cell_has_one_part(world: World) -> None:
    assert await world.call("checkpoint", "cp1") == [1]
    assert (await world.events("T"))[0][7] == []
