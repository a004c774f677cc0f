"""What a certificate reads, with many pools and nothing analysed, as in a young sale."""

import asyncio

import pytest

from engine.assurance.store import SQL

POOLS, ROWS = 8_000, 200_000

FILL = (
    """INSERT INTO pools (pool_id, cell, tenant, owner, sku, granted, available)
    SELECT 'p' || n, '1', 'main', '', 's' || n, 10, 10 FROM generate_series(1, $1::int) AS n""",
    """INSERT INTO ledger (cell, log_id, n, kind, reference, pool_id, granted, owed, available,
      held, sold)
    SELECT '1', n || '-0', 0, 'granted', '', 'p' || 1 + n % $1::int, 1, 0, 1, 0, 0
    FROM generate_series(1, $2::int) AS n""",
    """INSERT INTO checkpoints (checkpoint_id, cell, log_id, at, accepted, recorded, parts,
      parts_seen)
    SELECT 'c', '1', $1::int + 1 || '-0', now(), 0, 0, 1, 1""",
    """INSERT INTO checkpoint_pools (checkpoint_id, pool_id, cell_totals, recorded_totals)
    SELECT 'c', 'p' || n, '{10, 0, 10, 0, 0}', '{10, 0, 10, 0, 0}'
    FROM generate_series(1, $1::int) AS n""",
)
ARGUMENTS = ((POOLS,), (POOLS, ROWS), (ROWS,), (POOLS,))


@pytest.fixture
async def filled(pg):
    for statement, arguments in zip(FILL, ARGUMENTS, strict=True):
        await pg.execute(statement, *arguments)
    return pg


async def outside(pg):
    """The pools that a certificate misses."""
    async with asyncio.timeout(10):
        rows = await pg.fetch(SQL["pools_outside"], "1", "c")
    return sorted(row["pool_id"] for row in rows)


async def test_no_pool_is_missing_among_many(filled):
    assert await outside(filled) == []


async def test_all_are_missing(filled):
    await filled.execute("DELETE FROM checkpoint_pools")
    assert len(await outside(filled)) == POOLS


async def test_what_moved_after_the_checkpoint_or_is_empty_is_not_missing(filled):
    await filled.execute("DELETE FROM checkpoint_pools WHERE pool_id IN ('p1', 'p2', 'p3', 'p4')")
    await filled.execute("DELETE FROM ledger WHERE pool_id IN ('p2', 'p3')")
    late = "INSERT INTO ledger VALUES ('1', $1, 0, 'granted', '', 'p2', 1, 0, 1, 0, 0)"
    await filled.execute(late, f"{ROWS + 2}-0")
    await filled.execute("UPDATE pools SET granted = 0, available = 0 WHERE pool_id = 'p4'")
    assert await outside(filled) == ["p1", "p3"]  # p3 moved and no ledger row tells of it
