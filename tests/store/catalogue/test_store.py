"""SKUs by tenant, with their owners."""

import pytest

from engine.catalogue import store
from engine.catalogue.types import Component, SkuFields
from engine.kernel.codec import Money
from engine.kernel.errors import NotFound


async def test_a_sku_comes_back_as_it_was_put(pg):
    fields = SkuFields("茶", "69", Money(990, "CNY"), "acme", {"a": [1, {"b": None}]}, {"é": 1.5},
                       {"case": 12})  # fmt: skip
    kept = await store.SKUS.insert(pg, "main", "tea", fields, "test")
    assert (kept.version, kept.value) == (1, fields)
    assert (await store.SKUS.get(pg, "main", "tea")).value == fields
    assert await store.SKUS.insert(pg, "main", "tea", fields, "test") is None
    with pytest.raises(NotFound):
        await store.SKUS.get(pg, "other", "tea")


async def test_owners_are_told_of_those_that_exist(pg):
    await store.SKUS.insert(pg, "main", "tea", SkuFields("Tea", owner="acme"), "test")
    await store.SKUS.insert(pg, "main", "cup", SkuFields("Cup"), "test")
    found = await store.owners_of(pg, "main", ["tea", "cup", "none"])
    assert found == {"tea": "acme", "cup": ""}


async def test_owner_and_units_are_told_together(pg):
    await store.SKUS.insert(pg, "main", "tea", SkuFields("Tea", owner="acme"), "test")
    await store.SKUS.insert(pg, "main", "cup", SkuFields("Cup", units={"box": 6}), "test")
    parts = [Component("tea", 1), Component("cup", 2)]
    await store.SKUS.insert(pg, "main", "set", SkuFields("Set", components=parts), "test")
    found = await store.stocked(pg, "main", ["tea", "cup", "set", "none"])
    assert found == {
        "tea": ("acme", {}, False), "cup": ("", {"box": 6}, False), "set": ("", {}, True),
    }  # fmt: skip


async def test_a_sku_has_pools_once_stock_was_given_out(pg):
    assert not await store.has_pools(pg, "main", "acme", "tea")
    await pg.execute(
        "INSERT INTO pools (pool_id, cell, tenant, owner, sku)"
        " VALUES ('p', '1', 'main', 'acme', 'tea')"
    )
    assert await store.has_pools(pg, "main", "acme", "tea")
    assert not await store.has_pools(pg, "main", "other", "tea")
