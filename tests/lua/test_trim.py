"""`trim`: exact, and the cell remembers where it was cut."""

from tests.lua.builders import World, claim, key


async def trimmed_to(world: World) -> str:
    return (await world.redis.hget(key("cell"), "trimmed_to") or b"").decode()


async def test_what_lies_before_is_cut_exactly(stocked: World) -> None:
    stocked.checked = False  # the log no longer tells all of it
    for n in range(5):
        await stocked.reserve(claim(f"o{n}"))
    ids = [entry_id for entry_id, _, _ in await stocked.entries()]
    await stocked.call("trim", ids[-3])
    assert [entry_id for entry_id, _, _ in await stocked.entries()] == ids[-3:]
    assert await trimmed_to(stocked) == ids[-3]
    assert (await stocked.cell.refresh()).trimmed_to == ids[-3]


async def test_the_mark_never_goes_back(stocked: World) -> None:
    """A recorder that was overtaken must not hide the gap that the other one left."""
    stocked.checked = False
    for n in range(5):
        await stocked.reserve(claim(f"o{n}"))
    ids = [entry_id for entry_id, _, _ in await stocked.entries()]
    await stocked.call("trim", ids[-2])
    await stocked.call("trim", ids[1])
    assert await trimmed_to(stocked) == ids[-2]
    ms = ids[-2].split("-")[0]
    await stocked.call("trim", f"{ms}-10")
    await stocked.call("trim", f"{ms}-9")
    assert await trimmed_to(stocked) == f"{ms}-10", "numbers, not text, are compared"
