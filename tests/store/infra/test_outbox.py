"""Committed events are read once each and none is skipped, whatever order transactions end in."""

import asyncio
import random

import asyncpg
import pytest

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


async def test_what_is_written_is_read_with_what_it_tells(pg):
    async with pg.transaction():
        await outbox.write(pg, "moved", "k1", [{"sku": "S1", "units": 3}, {"sku": "S2"}])
        await outbox.write(pg, "nothing", "k1", [])
    async with pg.transaction():
        seen = await outbox.read(pg, "test", 9)
    assert [(one.kind, one.order_id, one.actor, one.data) for one in seen] == [
        ("moved", "", "k1", {"sku": "S1", "units": 3}),
        ("moved", "", "k1", {"sku": "S2"}),
    ]


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


# while an order is blocked ---------------------------------------------------------------


OF = "INSERT INTO events (at, kind, order_id, data) VALUES (now(), $1, $2, '{}')"
BLOCK = "INSERT INTO blocks (order_id, code, until) VALUES ($1, 'manual', $2::timestamptz)"
LIFT = "DELETE FROM blocks WHERE order_id = $1"
NEVER = None


async def tell(connection, *names):
    """Write one event each: `a1` is the first of order a."""
    for name in names:
        await connection.execute(OF, name, name[0])


async def taken(connection, limit=100, reader="test"):
    async with connection.transaction():
        found = await outbox.take(connection, reader, limit)
    return [event.kind for event in found]


@pytest.fixture
async def other(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_control_the_plain_reader_offers_a_blocked_order(pg):
    await pg.execute(BLOCK, "a", NEVER)
    await tell(pg, "a1", "b1")
    assert await kinds(pg) == ["a1", "b1"]


async def test_events_wait_for_the_block_of_their_order_and_keep_their_order(pg):
    await pg.execute(BLOCK, "a", NEVER)
    await tell(pg, "a1", "b1", "a2")
    await pg.execute(WRITE, "of no order")
    assert await taken(pg) == ["b1", "of no order"]
    await tell(pg, "a3", "b2")
    assert await taken(pg) == ["b2"]
    await pg.execute(LIFT, "a")
    await tell(pg, "b3", "a4")
    assert await taken(pg) == ["a1", "a2", "a3", "b3", "a4"]
    assert await taken(pg) == []
    assert await pg.fetchval("SELECT count(*) FROM parked_events") == 0


async def test_what_was_offered_before_the_block_is_not_offered_again(pg):
    await tell(pg, "a1")
    assert await taken(pg) == ["a1"]
    await pg.execute(BLOCK, "a", NEVER)
    await tell(pg, "a2")
    assert await taken(pg) == []
    await pg.execute(LIFT, "a")
    assert await taken(pg) == ["a2"]


async def test_a_block_ends_by_itself_at_its_until(pg, eventually):
    until = await pg.fetchval("SELECT now() + interval '0.3 s'")
    await pg.execute(BLOCK, "a", until)
    await tell(pg, "a1", "a2")
    assert await taken(pg) == []

    async def offered():
        found = await taken(pg)
        assert found in ([], ["a1", "a2"])
        return found

    await eventually(offered)
    assert await pg.fetchval("SELECT now() >= $1", until)
    assert await taken(pg) == []


async def test_every_block_of_an_order_must_be_lifted(pg):
    await pg.execute(BLOCK, "a", NEVER)
    await pg.execute("INSERT INTO blocks (order_id, code, line_id) VALUES ('a', 'price', 'a-1')")
    await tell(pg, "a1")
    assert await taken(pg) == []
    await pg.execute("DELETE FROM blocks WHERE code = 'manual'")
    assert await taken(pg) == []
    await pg.execute(LIFT, "a")
    assert await taken(pg) == ["a1"]


async def test_a_block_whose_transaction_began_before_the_event_is_never_missed(pg, other):
    transaction = other.transaction()
    await transaction.start()
    await other.execute(BLOCK, "a", NEVER)  # not committed, so nobody sees it
    await tell(pg, "a1", "b1")
    assert await taken(pg) == []
    await transaction.commit()
    assert await taken(pg) == ["b1"]


async def test_a_lift_that_is_rolled_back_lets_nothing_go(pg, other):
    await pg.execute(BLOCK, "a", NEVER)
    await tell(pg, "a1")
    transaction = other.transaction()
    await transaction.start()
    await other.execute(LIFT, "a")
    assert await taken(pg) == []
    await transaction.rollback()
    assert await taken(pg) == []


async def test_what_fails_comes_again_parked_or_not(pg):
    await pg.execute(BLOCK, "a", NEVER)
    await tell(pg, "a1", "b1")
    for offered in (["b1"], ["a1"]):
        transaction = pg.transaction()
        await transaction.start()
        assert [event.kind for event in await outbox.take(pg, "test", 100)] == offered
        await transaction.rollback()
        assert await taken(pg) == offered
        await pg.execute(LIFT, "a")
    assert await taken(pg) == []


async def test_two_processes_of_one_reader_take_turns(pg, other, eventually):
    await pg.execute(BLOCK, "a", NEVER)
    await tell(pg, "a1", "b1")
    transaction = pg.transaction()
    await transaction.start()
    assert [event.kind for event in await outbox.take(pg, "test", 100)] == ["b1"]
    waits = asyncio.get_running_loop().create_task(taken(other))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await eventually(lambda: pg.fetchval(waiting))
    await pg.execute(LIFT, "a")
    await transaction.commit()
    assert await waits == ["a1"]
    assert await taken(pg, reader="another") == ["a1", "b1"]


async def test_a_call_offers_and_looks_at_no_more_than_its_bounds(pg, monkeypatch):
    monkeypatch.setattr(outbox, "PARKED_LOOK_MAX", 3)
    orders = "abcdefgh"
    for one in orders:
        await pg.execute(BLOCK, one, NEVER)
        await tell(pg, f"{one}1", f"{one}2")
    assert [await taken(pg, limit=5) for _ in range(4)] == [[]] * 4
    assert await pg.fetchval("SELECT count(*) FROM parked_events") == 16
    await pg.execute(LIFT, "h")
    found = []
    for _ in range(len(orders)):  # goes round: all are looked at, a few a call
        found += await taken(pg, limit=1)
    assert found == ["h1", "h2"]
    await pg.execute("DELETE FROM blocks")
    pages = [await taken(pg, limit=3) for _ in range(12)]
    assert max(map(len, pages)) == 3
    assert sorted(kind for page in pages for kind in page) == sorted(
        f"{one}{n}" for one in orders[:-1] for n in (1, 2)
    )
    for one in orders[:-1]:
        assert [kind for page in pages for kind in page if kind[0] == one] == [f"{one}1", f"{one}2"]


async def test_what_had_no_room_goes_first_the_next_time(pg, monkeypatch):
    monkeypatch.setattr(outbox, "PARKED_LOOK_MAX", 4)
    names = [f"{one}{n}" for one in "abcd" for n in (1, 2)]
    for one in "abcd":
        await pg.execute(BLOCK, one, NEVER)
    await tell(pg, *names)
    assert await taken(pg) == []
    await pg.execute("DELETE FROM blocks")
    assert [await taken(pg, limit=1) for _ in names] == [[one] for one in names]


async def test_who_is_told_of_again_waits_for_no_round(pg, monkeypatch):
    monkeypatch.setattr(outbox, "PARKED_LOOK_MAX", 1)
    for one in "abcdz":
        await pg.execute(BLOCK, one, NEVER)
        await tell(pg, f"{one}1")
    assert await taken(pg) == []
    await pg.execute(LIFT, "z")
    await tell(pg, "z2")
    assert await taken(pg) == ["z1", "z2"]


async def write(connection, orders, told):
    """Tell of orders that only we tell of, so that their transactions are in their order."""
    draw = random.Random(orders)
    for n in range(80):
        one = draw.choice(orders)
        async with connection.transaction():
            match draw.randrange(4):
                case 0:
                    await connection.execute(BLOCK + " ON CONFLICT DO NOTHING", one, NEVER)
                case 1:
                    await connection.execute(LIFT, one)
            await tell(connection, f"{one}{n:03}")
        told.append(f"{one}{n:03}")


async def take_until(ended, connection, found):
    draw = random.Random(id(connection))
    while not ended.is_set():
        limit = draw.randint(1, 7)
        some = await taken(connection, limit)
        assert len(some) <= limit
        found += some


async def test_any_interleaving_offers_each_once_in_order_and_none_while_blocked(
    pg, database_url, monkeypatch
):
    """Two that tell, block and lift, and two processes of the reader; in the end all is lifted."""
    monkeypatch.setattr(outbox, "PARKED_LOOK_MAX", 4)
    await pg.execute(BLOCK, "z", NEVER)
    await tell(pg, "z001", "z002")
    told, found, ended = ["z001", "z002"], [], asyncio.Event()
    first, second, *readers = [await asyncpg.connect(database_url) for _ in range(4)]
    async with asyncio.TaskGroup() as tasks:
        for one in readers:
            tasks.create_task(take_until(ended, one, found))
        await asyncio.gather(write(first, "abc", told), write(second, "def", told))
        ended.set()
    assert found
    assert not [kind for kind in found if kind[0] == "z"]
    await pg.execute("DELETE FROM blocks")
    while page := await taken(pg, limit=5):
        found += page
    for connection in (first, second, *readers):
        await connection.close()
    assert sorted(found) == sorted(told)
    for one in "abcdefz":
        mine = [kind for kind in found if kind[0] == one]
        assert mine == sorted(mine)
