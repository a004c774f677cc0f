"""A key is found by all of its parts, whichever index the planner takes."""

import pytest

from engine.physical.store.balances import SQL, key_ids
from engine.physical.types.facts import Key

KEYS = [Key("N", "", "A", "good", f"{n:05}") for n in range(2_000)]
WHOLE = "stock_keys_tenant_node_owner_sku_condition_batch_key"


@pytest.fixture
async def looked_up(place):
    """How keys are looked up by the index of SKUs, which was taken for the better one."""
    await key_ids(place.pg, "main", KEYS)
    await place.pg.execute(f"ALTER TABLE stock_keys DROP CONSTRAINT {WHOLE}")
    for way in ("seqscan", "hashjoin", "mergejoin", "bitmapscan"):
        await place.pg.execute(f"SET enable_{way} = off")

    async def plan():
        columns = [list(column) for column in zip(*KEYS[:50], strict=True)]
        rows = await place.pg.fetch("EXPLAIN ANALYZE " + SQL["find_keys"], "main", *columns)
        return "\n".join(row[0] for row in rows)

    return plan


async def test_a_key_is_not_looked_for_among_all_batches_of_its_sku(looked_up):
    assert "Rows Removed" not in await looked_up()


async def test_control_by_tenant_and_sku_alone_it_would_be(looked_up, place):
    """If nothing is removed here, the test above proves nothing."""
    await place.pg.execute("DROP INDEX stock_keys_sku")
    await place.pg.execute("CREATE INDEX stock_keys_sku ON stock_keys (tenant, sku)")
    assert "Rows Removed" in await looked_up()
