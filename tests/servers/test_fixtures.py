"""The fixtures themselves: a migrated world of one's own for each test."""

import asyncio

import pytest


@pytest.mark.parametrize("_round", [1, 2])
async def test_a_test_finds_no_trace_of_the_one_before(pg, valkey, _round):
    assert await pg.fetchval("SELECT to_regclass('left_behind')") is None
    assert await valkey.dbsize() == 0
    await pg.execute("CREATE TABLE left_behind (at int)")
    await valkey.set("left_behind", "1")


async def test_a_test_has_the_migrated_schema(pg):
    assert await pg.fetchval("SELECT count(*) FROM schema_migrations") > 0


async def test_eventually_waits_and_gives_up(eventually):
    async def later():
        await asyncio.sleep(0)
        return next(answers)

    answers = iter([None, 0, "so"])
    assert await eventually(later) == "so"
    with pytest.raises(AssertionError, match="not within"):
        await eventually(lambda: False, within_s=0.0)
