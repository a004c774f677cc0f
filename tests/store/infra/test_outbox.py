"""Committed events are read once each and none is skipped, whatever order transactions end in."""

import asyncpg

from engine.infra import outbox

WRITE = "INSERT INTO events (at, kind, data) VALUES (now(), $1, '{}')"


async def kinds(connection, reader="test", limit=100):
    async with connection.transaction():
        seen = await outbox.read(connection, reader, limit)
        await outbox.advance(connection, reader, seen)
    return [event.kind for event in seen]


async def test_control_a_reader_by_growing_id_skips_what_commits_late(pg, database_url):
    late = await asyncpg.connect(database_url)
    transaction = late.transaction()
    await transaction.start()
    await late.execute(WRITE, "late")
    await pg.execute(WRITE, "early")
    last = await pg.fetchval("SELECT max(id) FROM events")
    await transaction.commit()
    missed = await pg.fetch("SELECT kind FROM events WHERE id > $1", last)
    await late.close()
    assert not missed


async def test_what_commits_late_is_read_and_nothing_twice(pg, database_url):
    late = await asyncpg.connect(database_url)
    await pg.execute(WRITE, "first")
    transaction = late.transaction()
    await transaction.start()
    await late.execute(WRITE, "late")
    await pg.execute(WRITE, "early")
    assert await kinds(pg) == ["first"]
    await transaction.commit()
    await late.close()
    assert await kinds(pg) == ["late", "early"]
    assert await kinds(pg) == []


async def test_pages_go_on_where_the_last_one_ended(pg):
    for n in range(5):
        await pg.execute(WRITE, str(n))
    assert [await kinds(pg, limit=2) for _ in range(3)] == [["0", "1"], ["2", "3"], ["4"]]


async def test_a_reader_that_fails_sees_the_same_events_again(pg):
    await pg.execute(WRITE, "one")
    transaction = pg.transaction()
    await transaction.start()
    assert [event.kind for event in await outbox.read(pg, "test", 10)] == ["one"]
    await transaction.rollback()
    assert await kinds(pg) == ["one"]


async def test_readers_do_not_disturb_each_other(pg):
    await pg.execute(WRITE, "one")
    assert await kinds(pg, "a") == ["one"]
    assert await kinds(pg, "b") == ["one"]
