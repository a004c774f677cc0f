"""`wipe`: a cell that lost something is emptied under a new epoch; another database's never is."""

from typing import Any

import pytest

from engine.kernel.errors import Closed
from tests.lua.builders import DATABASE, World, claim, key, pack


async def wipe(world: World, epoch: int, last_id: str = "0-0", seen: int = 0) -> Any:
    return await world.cell.call("wipe", [DATABASE, last_id, seen], argument="0", epoch=epoch)


async def test_nothing_is_left_but_an_epoch(stocked: World) -> None:
    await stocked.reserve(claim("o1"))
    await wipe(stocked, 2)
    assert set(await stocked.redis.keys("*")) == {key("cell").encode(), key("log").encode()}
    assert [event[:2] for event in await stocked.events()] == [["O", "rebuilding"]]
    state = await stocked.cell.refresh()
    assert state is not None
    assert (state.epoch, state.phase, state.accepted) == (2, "rebuilding", 0)
    with pytest.raises(Closed):
        await wipe(stocked, 2)
    with pytest.raises(Closed):
        await stocked.call("expire", 10)
    stocked.checked = False


async def test_the_log_goes_on_behind_what_postgres_has(stocked: World) -> None:
    """Also where this server's clock is behind the one that is lost; and time does not go back."""
    ahead = 9_999_999_999_999
    assert (await wipe(stocked, 2, f"{ahead}-7", ahead + 5)).log_id == f"{ahead}-8"
    assert await stocked.now() == ahead + 5
    assert await stocked.redis.hget(key("cell"), "trimmed_to") == f"{ahead}-7".encode()
    stocked.checked = False


@pytest.mark.parametrize(("phase", "kept"), [("open", True), ("closed", False)])
async def test_a_foreign_cell_is_taken_only_if_it_is_empty_and_closed(
    bare: World,
    phase: str,
    kept: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await bare.open()
    await bare.redis.hset(key("cell"), mapping={"identity": "another", "phase": phase})
    assert ((await wipe(bare, 1)).word == "OTHER_DATABASE") is kept
    await bare.redis.hset(key("cell"), mapping={"identity": "another", "phase": "closed"})
    await bare.redis.hset(key("pools"), "p", pack([0, 0, 0, 0, 0, 1, "", 0]))
    assert (await wipe(bare, 2)).word == "OTHER_DATABASE"
