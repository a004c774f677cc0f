"""A process that was fenced goes on under the next epoch, whichever answer comes first."""

import asyncio

import pytest

from engine.infra.cell import Cell, client
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Closed
from tests.lua.builders import CELL, cancel
from tests.unit.reservation.instances import house


class Slow(Cell):
    """A cell whose answers lie about until they are asked for."""

    def __init__(self, *bound):
        super().__init__(*bound)
        self.answered, self.go = asyncio.Event(), asyncio.Event()

    async def _send(self, script, arguments):
        raw = await super()._send(script, arguments)
        self.answered.set()
        await self.go.wait()
        return raw


@pytest.fixture
async def here(valkey_url):
    async with house(valkey_url) as one:
        yield one


async def test_a_process_that_was_fenced_is_closed_until_the_next_epoch(here):
    cell = await here.cell()
    await here.world.redis.hset("tg:{c1}:cell", "run_id", "another")
    with pytest.raises(Closed):
        await cell.call("release", [cancel("o")])
    await cell.refresh()
    assert not cell.is_open
    await here.world.open(epoch=2)
    await cell.refresh()
    assert (cell.is_open, cell.epoch) == (True, 2)


async def test_an_answer_to_the_last_epoch_does_not_shut_the_process_out_of_this_one(here):
    async with client(here.url) as redis:
        cell = Slow(redis, CELL, SystemClock())
        await cell.refresh()
        await here.world.open(epoch=2)
        late = asyncio.get_running_loop().create_task(cell.call("release", [cancel("o")]))
        await cell.answered.wait()
        await cell.refresh()
        assert (cell.is_open, cell.epoch) == (True, 2)
        cell.go.set()
        with pytest.raises(Closed):
            await late
        await cell.refresh()
        assert cell.is_open
