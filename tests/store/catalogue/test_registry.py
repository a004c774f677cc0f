"""What a process remembers of bundles, and that it misses none."""

import asyncio

import asyncpg
import pytest

from engine.catalogue import store
from engine.catalogue.registry import Bundles
from engine.catalogue.store import Bundle
from engine.catalogue.types import Component
from engine.infra import postgres
from engine.kernel.clock import SystemClock

AB = [Component("A", 2), Component("B", 1)]


@pytest.fixture
async def bundles(database_url):
    async with await postgres.open_pool(database_url) as pool:
        yield Bundles(pool, SystemClock())


async def keep(db, sku, components, tenant="main"):
    await store.write_bundle(db, Bundle(tenant, sku, components))


async def test_changes_are_learnt_and_what_is_none_any_more_stays_known(bundles, pg):
    assert bundles.of("main") == {}
    await keep(pg, "SET", AB)
    await keep(pg, "SET", AB[:1], tenant="other")
    await bundles.refresh()
    assert bundles.of("main") == {"SET": (("A", 2), ("B", 1))}
    assert bundles.of("other") == {"SET": (("A", 2),)}
    await keep(pg, "SET", [])
    await keep(pg, "DUO", AB)
    await bundles.refresh()
    assert bundles.of("main") == {"SET": (), "DUO": (("A", 2), ("B", 1))}


async def test_a_transaction_that_commits_late_is_not_missed(bundles, pg, database_url):
    late = await asyncpg.connect(database_url)
    slow = late.transaction()
    await slow.start()
    await keep(late, "LATE", AB)
    await keep(pg, "EARLY", AB)
    await bundles.refresh()
    assert set(bundles.of("main")) == {"EARLY"}
    await slow.commit()
    await late.close()
    await bundles.refresh()
    assert set(bundles.of("main")) == {"EARLY", "LATE"}


async def test_many_who_ask_at_once_share_a_look(bundles, pg):
    await keep(pg, "SET", AB)
    looks = 0
    look = bundles._look  # noqa: SLF001 - how often it looks is what is asked

    async def counted():
        nonlocal looks
        looks += 1
        await look()

    bundles._look = counted  # noqa: SLF001 - as above
    assert all(await asyncio.gather(*(bundles.fresh() for _ in range(50))))
    assert looks <= 2
    assert set(bundles.of("main")) == {"SET"}


async def test_while_postgres_is_away_what_was_known_stays_known(bundles, pg):
    await keep(pg, "SET", AB)
    await bundles.refresh()
    bundles._pool.terminate()  # noqa: SLF001 - nobody else may end it
    assert not await bundles.fresh()
    assert set(bundles.of("main")) == {"SET"}


async def test_a_bundle_is_found_by_its_components_and_planned_once(pg):
    await keep(pg, "SET", AB)
    await keep(pg, "DUO", AB[1:])
    assert await store.bundle_with(pg, "main", "A") == "SET"
    assert await store.bundle_with(pg, "main", "B") == "DUO"
    assert await store.bundle_with(pg, "other", "A") is None
    assert await store.components_of(pg, "main", ["SET", "NONE"]) == {"SET": AB}
    assert sorted(await store.take_changed(pg, 9)) == [("main", "DUO"), ("main", "SET")]
    assert await store.take_changed(pg, 9) == []
    await keep(pg, "SET", [])
    assert await store.bundle_with(pg, "main", "A") is None
    assert await store.components_of(pg, "main", ["SET"]) == {}
    assert await store.take_changed(pg, 9) == [("main", "SET")]
