"""What a process remembers of listings, and that it misses none."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest

from engine.infra import postgres
from engine.kernel.clock import SystemClock
from engine.listings import store
from engine.listings.registry import Listings
from engine.listings.types import Listing


def listing(item="1", sku="A", units=1, channel="shop", sku_id=""):
    return Listing(channel, item, sku, units, sku_id)


class Counting:
    """A pool that tells how often it was asked, and may be away."""

    def __init__(self, pool):
        self.pool, self.asked, self.away = pool, 0, False

    @asynccontextmanager
    async def acquire(self, **options):
        self.asked += 1
        if self.away:
            raise OSError("away")
        async with self.pool.acquire(**options) as connection:
            yield connection


@pytest.fixture
async def pool(database_url):
    async with await postgres.open_pool(database_url) as made:
        yield Counting(made)


@pytest.fixture
async def other(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def listings(pool):
    return Listings(pool, SystemClock())


async def keep(pg, *rows, tenant="main"):
    await store.upsert(pg, tenant, rows, "test")


async def test_a_link_is_known_by_tenant_channel_item_and_variant(listings, pg):
    await keep(pg, listing("1", "A"), listing("1", "B", 2, sku_id="red"))
    await keep(pg, listing("1", "C", 3, channel="mall"))
    await keep(pg, listing("1", "D", 4), tenant="other")
    assert listings.resolve("main", "shop", "1", "") == []
    await listings.refresh()
    assert listings.resolve("main", "shop", "1", "") == [("A", 1)]
    assert listings.resolve("main", "shop", "1", "red") == [("B", 2)]
    assert listings.resolve("main", "mall", "1", "") == [("C", 3)]
    assert listings.resolve("other", "shop", "1", "") == [("D", 4)]
    for unknown in (
        ("main", "shop", "2", ""),
        ("main", "gone", "1", ""),
        ("main", "mall", "1", "x"),
    ):
        assert listings.resolve(*unknown) == []


async def test_changes_and_removals_are_learnt(listings, pg):
    await keep(pg, listing(), listing("2"))
    await listings.refresh()
    await keep(pg, listing(units=5), listing("2", "B"))
    await listings.refresh()
    assert listings.resolve("main", "shop", "1", "") == [("A", 5)]
    assert listings.resolve("main", "shop", "2", "") == [("A", 1), ("B", 1)]
    await store.remove(pg, "main", ("shop", "2", ""), "A", "test")
    await store.remove(pg, "main", ("shop", "1", ""), "", "test")
    await listings.refresh()
    assert listings.resolve("main", "shop", "2", "") == [("B", 1)]
    assert listings.resolve("main", "shop", "1", "") == []


async def test_what_is_answered_is_the_callers_own(listings, pg):
    await keep(pg, listing())
    await listings.refresh()
    listings.resolve("main", "shop", "1", "").clear()
    assert listings.resolve("main", "shop", "1", "") == [("A", 1)]


async def test_a_transaction_that_commits_late_is_not_missed(listings, pg, other):
    """It began first, so it has the lower number; the reader has seen a higher one already."""
    slow = pg.transaction()
    await slow.start()
    await keep(pg, listing("slow"))
    await keep(other, listing("quick"))
    await listings.refresh()
    assert listings.resolve("main", "shop", "quick", "") == [("A", 1)], "and none waits for it"
    seen = await other.fetchval("SELECT xid::text FROM listings WHERE item_id = 'quick'")
    await slow.commit()
    # the control: one who asks for what is above the last number seen never learns of it
    above = "SELECT count(*) FROM listings WHERE xid > $1::text::xid8"
    assert await other.fetchval(above, seen) == 0
    await listings.refresh()
    assert listings.resolve("main", "shop", "slow", "") == [("A", 1)]


async def test_a_late_commit_over_what_was_seen_is_not_missed(listings, pg, other):
    await keep(other, listing())
    await listings.refresh()
    slow = pg.transaction()
    await slow.start()
    await keep(pg, listing(units=7))
    await keep(other, listing("quick"))
    await listings.refresh()
    assert listings.resolve("main", "shop", "1", "") == [("A", 1)]
    await slow.commit()
    await listings.refresh()
    assert listings.resolve("main", "shop", "1", "") == [("A", 7)]


async def test_what_was_seen_is_not_read_again_while_somebody_takes_long(listings, pg, other):
    await other.execute("BEGIN; SELECT pg_current_xact_id()")
    await keep(pg, *(listing(str(n)) for n in range(50)))
    await listings.refresh()
    seen = await pg.fetchval("SELECT pg_current_snapshot()::text")
    assert await pg.fetch(store.SQL["changed_listings"], seen) == []
    await keep(pg, listing("new"))
    async with pg.transaction():
        changes = [change async for change in store.changed(pg, seen)]
    assert [one.item_id for one in changes] == ["new"]


async def test_every_row_arrives_however_many_chunks_they_are(listings, pg, monkeypatch):
    monkeypatch.setattr(store, "_CHUNK", 3)
    rows = [listing(str(n), f"S{m}") for n in range(10) for m in range(n % 8)]
    await keep(pg, *rows)
    await listings.refresh()
    for n in range(10):
        assert listings.resolve("main", "shop", str(n), "") == [(f"S{m}", 1) for m in range(n % 8)]


async def test_a_link_is_replaced_in_one_step(listings, pg, monkeypatch):
    """Between two chunks others have their turn: none of them finds it unmapped or doubled."""
    monkeypatch.setattr(store, "_CHUNK", 1)
    await keep(pg, *(listing(str(n), "A") for n in range(20)))
    await listings.refresh()
    await keep(pg, *(listing(str(n), "B") for n in range(20)))
    await store.remove_others(pg, "main", [listing(str(n), "B") for n in range(20)], "test")
    found = []

    async def watch():
        while True:
            found.extend(listings.resolve("main", "shop", str(n), "") for n in range(20))
            await asyncio.sleep(0)

    watcher = asyncio.get_running_loop().create_task(watch())
    await listings.refresh()
    watcher.cancel()
    assert [("A", 1)] in found
    assert [("B", 1)] in found, "it looked while rows came in"
    assert all(len(one) == 1 for one in found)


async def test_a_database_that_went_back_is_read_from_the_start(listings, pg):
    await keep(pg, listing("lost"), listing("kept"))
    await listings.refresh()
    await pg.execute("DELETE FROM listings WHERE item_id = 'lost'")  # as a restored backup has it
    await listings.refresh()
    assert listings.resolve("main", "shop", "lost", ""), "the control: nothing says that it is gone"
    listings._snapshot = f"{10**15}:{10**15}:"  # noqa: SLF001 - as if it had come from a later state
    await listings.refresh()
    assert listings.resolve("main", "shop", "lost", "") == []
    assert listings.resolve("main", "shop", "kept", "") == [("A", 1)]


async def test_an_unknown_link_is_looked_for_at_once(listings, pg):
    await listings.refresh()
    await keep(pg, listing())
    assert await listings.fresh()
    assert listings.resolve("main", "shop", "1", "") == [("A", 1)]


async def test_many_that_ask_share_one_look_and_looks_are_ten_a_second(listings, pool):
    clock = asyncio.get_running_loop().time
    begun = clock()  # before the first look: the others keep their distance from its beginning
    await listings.refresh()
    for _ in range(3):
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(listings.fresh()) for _ in range(200)]
        assert all(one.result() for one in asked)
    assert pool.asked == 4
    assert clock() - begun > 0.27


async def test_while_postgres_is_away_what_was_known_stays_and_the_rest_is_not_certain(
    listings, pg, pool
):
    await keep(pg, listing())
    await listings.refresh()
    pool.away, pool.asked = True, 0
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(listings.fresh()) for _ in range(50)]
    assert not any(one.result() for one in asked)
    assert pool.asked == 1, "who waited does not ask in vain once more"
    assert listings.resolve("main", "shop", "1", "") == [("A", 1)]
    pool.away = False
    await keep(pg, listing("2"))
    assert await listings.fresh()
    assert listings.resolve("main", "shop", "2", "") == [("A", 1)]


async def test_the_loop_learns_by_itself(listings, pg, eventually):
    loop = asyncio.get_running_loop().create_task(listings.run())
    await keep(pg, listing())
    await eventually(lambda: listings.resolve("main", "shop", "1", ""))
    while not loop.done():
        loop.cancel()
        await asyncio.wait([loop], timeout=0.5)
