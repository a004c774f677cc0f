"""An open cell for each test, and the first promise checked after it."""

from collections.abc import AsyncIterator

import pytest

from engine.infra.cell import client
from tests.lua.builders import DAY, World, campaign, channel, offer, world_on
from tests.lua.marketplace import tmall


@pytest.fixture
async def bare(valkey_url: str) -> AsyncIterator[World]:
    """A cell that nobody opened yet."""
    redis = client(valkey_url)
    try:
        yield world_on(redis)
    finally:
        await redis.aclose()


@pytest.fixture
async def world(bare: World) -> AsyncIterator[World]:
    """A cell open at epoch 1 whose clock stands still, with one channel and one campaign."""
    await bare.open()
    await bare.advance(10_000_000)
    await bare.call("rule", channel(), campaign())
    yield bare
    if bare.checked:
        await bare.check()


@pytest.fixture
async def stocked(world: World) -> World:
    """Ten of A in pool `p`, two of B in `q` and then five at most from `shared`."""
    for pool, units in (("p", 10), ("q", 2), ("shared", 100)):
        await world.grant(pool, units)
    await world.call("rule", offer("A", "p"), offer("B", "q", ("shared", 5)))
    return world


@pytest.fixture
async def shop(stocked: World) -> World:
    """The same stock, for sale in a marketplace as well."""
    b = ("q", ("shared", 5))
    await stocked.call(
        "rule", tmall(), offer("A", "p", channel="tmall"), offer("B", *b, channel="tmall")
    )
    return stocked


@pytest.fixture
async def presale(stocked: World) -> World:
    """Two units of A ask for 30 each before the balance, B for nothing; the balance in ten days."""
    body = campaign(balance_by=await stocked.now() + 10 * DAY)[2]
    await stocked.call("rule", [campaign()[0], 2, [2, *body[1:]]])
    await stocked.call("rule", offer("A", "p", deposit=30, version=2))
    return stocked
