"""An open cell, and many clients of it, each with its own connection."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from engine.infra.cell import client
from tests.lua.builders import World, campaign, channel, world_on

CLIENTS = 24


@pytest.fixture
async def worlds(valkey_url: str) -> AsyncIterator[list[World]]:
    """The same cell as seen by many processes."""
    redises = [client(valkey_url, connections=2) for _ in range(CLIENTS)]
    found = [world_on(redis) for redis in redises]
    try:
        await found[0].open()
        await found[0].call("rule", channel(), channel("shop"), campaign())
        for world in found:
            await world.cell.refresh()
        yield found
        await found[0].check()
    finally:
        for redis in redises:
            await redis.aclose()


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], object]]:
    """Let routers and stops race on the loop that processes run on: it costs a fifth less."""
    many = item.path.name in {"test_routers.py", "test_stop.py"}
    return {"loop": uvloop.new_event_loop if many else asyncio.new_event_loop}
