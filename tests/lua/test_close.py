"""`close`: everything is fenced from then on, and the log says since when and why."""

import pytest

from engine.kernel.errors import Closed
from tests.lua.builders import World, claim, key


async def test_nothing_is_accepted_any_more(stocked: World) -> None:
    now = await stocked.advance(7)
    assert await stocked.call("close", "the pools disagree") == []
    before = await stocked.dump()
    with pytest.raises(Closed):
        await stocked.reserve(claim("o1"))
    assert await stocked.dump() == before
    state = await stocked.cell.refresh()
    assert (state.phase, state.reason) == ("closed", "the pools disagree")
    assert not stocked.cell.is_open
    assert await stocked.redis.hget(key("cell"), "closed_at") == str(now).encode()
    (event,) = (await stocked.events("O"))[-1:]
    assert event == ["O", "closed", now, [], 1, "the pools disagree", 0, 0]


async def test_only_the_epoch_at_work_can_close(stocked: World) -> None:
    for epoch in (0, 2):
        with pytest.raises(Closed):
            await stocked.call("close", "late", epoch=epoch)
    assert await stocked.phase() == "open"


async def test_closing_twice_keeps_the_first_instant_and_the_last_reason(stocked: World) -> None:
    first = await stocked.now()
    await stocked.call("close", "one")
    await stocked.advance(100)
    await stocked.call("close", "two")
    assert await stocked.redis.hmget(key("cell"), "closed_at", "reason") == [
        str(first).encode(), b"two",
    ]  # fmt: skip


async def test_a_cell_that_restarted_can_be_closed_too(stocked: World) -> None:
    await stocked.redis.hset(key("cell"), "run_id", "another server")
    await stocked.call("close", "looks wrong")
    assert await stocked.phase() == "closed"
