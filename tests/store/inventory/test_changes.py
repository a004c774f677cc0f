"""Which SKUs are planned, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.inventory.store import changes, shorts
from engine.inventory.store.shorts import Place

NOW = datetime.now(UTC)
POOL = (
    "INSERT INTO pools (pool_id, cell, tenant, owner, sku, available)"
    " VALUES ($1, '1', 'main', '', $2, $3)"
)


async def found(pg, limit=10):
    return [sku for _, sku in await changes.find(pg, limit)]


async def test_those_first_that_changed_first_each_once(pg):
    for sku in ("tea", "cup", "tea", "pot"):
        await changes.add(pg, "main", {sku})
    assert await found(pg) == ["tea", "cup", "pot"]
    assert await found(pg, 2) == ["tea", "cup"]
    await changes.take(pg, "main", ["tea", "pot"])
    assert await found(pg) == ["cup"]
    await changes.take(pg, "other", ["cup"])
    assert await found(pg) == ["cup"]


async def test_one_waits_while_nobody_knows_what_a_shrink_took(pg):
    await pg.execute(POOL, "p1", "tea", 0)
    last = await changes.add(pg, "main", {"tea", "cup"})
    assert last == await pg.fetchval("SELECT max(id) FROM stock_changes")
    await pg.execute("INSERT INTO grants (pool_id, seq, delta, reason) VALUES ('p1', 1, -5, '')")
    assert await found(pg) == ["cup"]
    assert await changes.waiting(pg, "main", ["tea", "cup"]) == {"tea"}
    await pg.execute("UPDATE grants SET applied = -3")
    assert await found(pg) == ["cup", "tea"]
    assert await changes.waiting(pg, "main", ["tea", "cup"]) == set()


async def test_time_changes_a_sku_once(pg):
    skus = ["tea", "cup", "pot"]
    await changes.write_instants(
        pg, "main", skus, {"tea": NOW - timedelta(1), "cup": NOW + timedelta(1)}
    )
    await changes.ripen(pg)
    assert await found(pg) == ["tea"]
    await changes.take(pg, "main", ["tea"])
    await changes.ripen(pg)
    assert await found(pg) == []
    await changes.write_instants(pg, "main", skus, {})
    assert await pg.fetchval("SELECT count(*) FROM stock_instants") == 0


@pytest.mark.parametrize(("free", "again"), [(3, ["tea"]), (0, [])])
async def test_what_comes_free_while_some_are_lacking_is_looked_at(pg, free, again):
    await pg.execute(POOL, "p1", "tea", free)
    await pg.execute(POOL, "p2", "cup", 9)
    await shorts.write(pg, "main", ["tea"], {Place("tea", ""): 4})
    await changes.ripen(pg)
    await changes.ripen(pg)
    assert [row["sku"] for row in await pg.fetch("SELECT sku FROM stock_changes")] == again
    await changes.take(pg, "main", ["tea"])
    await shorts.write(pg, "main", ["tea"], {})
    await changes.ripen(pg)
    assert await found(pg) == [], "the shortage is over"


async def test_a_shortage_is_one_row_from_its_beginning_to_its_end(pg):
    for units in (4, 7, 7, 2):
        await shorts.write(pg, "main", ["tea"], {Place("tea", ""): units})
    await shorts.write(pg, "main", ["cup"], {})
    ((_, one),) = await shorts.listed(pg, "main", "", 0, 10)
    assert (one.sku, one.units, one.lacking, one.until) == ("tea", 7, 2, None)
    for _ in range(2):
        await shorts.write(pg, "main", ["tea"], {})
    assert await pg.fetchval("SELECT count(*) FROM events WHERE kind = 'stock_short_ended'") == 1
    await shorts.write(pg, "main", ["tea"], {Place("tea", ""): 1})
    rows = await shorts.listed(pg, "main", "tea", 0, 10)
    assert [(one.lacking, one.until is None) for _, one in rows] == [(0, False), (1, True)]
    assert await shorts.listed(pg, "main", "cup", 0, 10) == []
    assert len(await shorts.listed(pg, "main", "", rows[0][0], 10)) == 1


async def test_an_excess_is_kept_as_long_as_it_is(pg):
    await changes.write_excess(pg, ["p1", "p2"], {"p1": 4, "p2": 1})
    since = await pg.fetchval("SELECT since FROM pool_excess WHERE pool_id = 'p1'")
    await changes.write_excess(pg, ["p1", "p2"], {"p1": 3})
    rows = await pg.fetch("SELECT pool_id, units, since FROM pool_excess")
    assert [tuple(row) for row in rows] == [("p1", 3, since)]
