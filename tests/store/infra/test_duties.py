"""A duty has one owner, until it gives it back or has not renewed it for too long."""

import asyncio

import asyncpg

from engine.infra import duties

CELL = "c0"


async def take(pg, process, duty="watch"):
    return await duties.take(pg, CELL, duty, process)


async def test_one_has_it_and_renews_it(pg):
    assert await take(pg, "a")
    assert not await take(pg, "b")
    assert await take(pg, "a")
    assert await take(pg, "b", "other")


async def test_what_is_left_or_lapsed_is_taken_over(pg):
    assert await take(pg, "a")
    await duties.leave(pg, CELL, "watch", "b")
    assert not await take(pg, "b")
    await duties.leave(pg, CELL, "watch", "a")
    assert await take(pg, "b")
    await pg.execute("UPDATE duties SET until = now() - interval '1 ms'")
    assert await take(pg, "a")
    assert not await take(pg, "b")


async def test_of_many_at_once_one_gets_it(database_url):
    async with asyncpg.create_pool(database_url, min_size=8, max_size=8) as pool:
        taken = await asyncio.gather(*(take(pool, f"p{n}") for n in range(40)))
    assert sum(taken) == 1
