"""`open`: into a new epoch in two steps, never beside another database or against a newer epoch."""

import pytest

from engine.kernel.errors import Closed
from tests.lua.builders import DATABASE, HOUR, World, channel, claim, grants, key


async def step(world: World, name: str, epoch: int, *claims: object) -> object:
    reply = await world.cell.call("open", claims or (DATABASE, "0-0"), argument=name, epoch=epoch)
    return [reply.word, *reply.results]


async def field(world: World, name: str) -> str:
    return (await world.redis.hget(key("cell"), name) or b"").decode()


async def test_a_new_cell_is_restored_then_open(bare: World) -> None:
    word, closed_at = await step(bare, "restoring", 1)
    assert (word, await bare.phase()) == ("OK", "restoring")
    assert await step(bare, "open", 1) == ["OK", closed_at]
    assert await bare.phase() == "open"
    run_id = (await bare.redis.info("server"))["run_id"]
    assert [await field(bare, name) for name in ("identity", "epoch", "run_id", "reason")] == [
        DATABASE, "1", run_id, "",
    ]  # fmt: skip
    (event,) = await bare.events("O")
    assert event[:2] == ["O", "opened"]
    assert event[3:7] == [[], 1, "", closed_at]


async def test_steps_have_an_order(bare: World) -> None:
    for name, epoch in (("open", 1), ("restoring", 0)):
        with pytest.raises(Closed):
            await step(bare, name, epoch)
    await step(bare, "restoring", 2)
    for name, epoch in (("restoring", 2), ("restoring", 1), ("open", 1), ("open", 3)):
        with pytest.raises(Closed):
            await step(bare, name, epoch)
    await step(bare, "open", 2)
    with pytest.raises(Closed):
        await step(bare, "open", 2)


async def test_while_restoring_nothing_else_runs(world: World) -> None:
    await step(world, "restoring", 2)
    with pytest.raises(Closed):
        await world.call("grant", *grants(p=1), epoch=2)
    with pytest.raises(Closed):
        await world.call("expire", 10, epoch=2)
    assert await world.call("restore", epoch=2) == []
    assert await world.call("extend", 10, epoch=2) == [0, 0]


async def test_another_database_is_refused(world: World) -> None:
    before = await world.dump()
    for name in ("restoring", "open"):
        assert await step(world, name, 2, "database-2", "0-0") == ["OTHER_DATABASE", DATABASE]
    assert await world.dump() == before


async def test_units_without_an_identity_are_another_databases(bare: World) -> None:
    await bare.redis.hset(key("pools"), "p", b"\x98\x00")
    assert await step(bare, "restoring", 1) == ["OTHER_DATABASE", ""]


async def test_after_a_restart_the_closed_time_begins_with_the_last_act(world: World) -> None:
    last = await world.now()
    await world.redis.hset(key("cell"), "run_id", "another server")
    with pytest.raises(Closed):
        await world.call("rule", channel())
    assert await step(world, "restoring", 2) == ["OK", last]
    await world.advance(HOUR)
    await step(world, "open", 2)
    assert [await field(world, name) for name in ("shift_from", "shift_to")] == [
        str(last), str(last + HOUR),
    ]  # fmt: skip


async def test_falling_while_restoring_makes_the_closed_time_longer(world: World) -> None:
    last = await world.now()
    await step(world, "restoring", 2)
    await world.advance(HOUR)
    assert await step(world, "restoring", 3) == ["OK", last]


async def test_after_close_it_begins_with_the_closing(world: World) -> None:
    closed_at = await world.advance(5)
    await world.call("close", "why")
    await world.advance(HOUR)
    await world.call("close", "again")
    assert await step(world, "restoring", 2) == ["OK", closed_at]


async def test_the_log_goes_on_after_what_postgres_has(world: World) -> None:
    """A rebuilt cell whose clock is behind would be read by nobody otherwise."""
    ahead = 10**13
    await step(world, "restoring", 2)
    await step(world, "open", 2, DATABASE, f"{ahead}-9")
    await world.cell.refresh()
    assert (await world.entries())[-1][0] == f"{ahead}-10"
    await world.grant("p", 1)
    assert (await world.entries())[-1][0] == f"{ahead}-11"
    assert await field(world, "last") == f"{ahead}-11"


async def test_a_log_that_is_further_than_the_cells_own_mark_is_no_obstacle(world: World) -> None:
    """As after a write that failed half-way: the entry is there, the mark is not."""
    ahead = 10**13
    await world.redis.xadd(key("log"), {"v": "1", "e": b"\x90"}, id=f"{ahead}-5")
    await world.redis.xadd(key("log"), {"v": "1", "e": b"\x90"}, id=f"{ahead}-6")
    await step(world, "restoring", 2)
    await step(world, "open", 2, DATABASE, f"{ahead}-5")
    assert await world.phase() == "open"
    assert (await world.entries())[-1][0] == f"{ahead}-7"


async def test_orders_go_on_under_the_new_epoch(stocked: World) -> None:
    await stocked.reserve(claim("o1"))
    await stocked.open(epoch=2)
    words = await stocked.reserve(claim("o1"), claim("o2"))
    assert [word[0] for word in words] == ["REPEATED", "RESERVED"]
