"""Listings in Postgres: what is written, counted and found to be amiss."""

import pytest

from engine.listings import store
from engine.listings.store import Wanted
from engine.listings.types import Kept, Listing

FIRST = ("", "", "", "")


def listing(item="1", sku="A", units=1, channel="shop", sku_id=""):
    return Listing(channel, item, sku, units, sku_id)


async def keep(pg, *rows, tenant="main"):
    return await store.upsert(pg, tenant, rows, "test")


async def kept(pg, item="", sku="", **wanted):
    chosen = {"tenant": "main", "channel": "", "after": FIRST, "limit": 100} | wanted
    rows = await store.page(pg, Wanted(**chosen), item, sku)
    return [(one.channel, one.item_id, one.sku_id, one.sku, one.units_per) for one in rows]


async def standing(pg, channel="", reason="", after=FIRST, limit=100):
    rows = await store.alarms(pg, Wanted("main", channel, after, limit), reason)
    return [(one.item_id, one.sku, one.reason, one.skus, one.orders) for one in rows]


async def met(pg, item, reason="unmapped", sku="", orders=1, channel="shop"):
    """What a recorder writes for orders that named such a line."""
    await pg.execute(
        "INSERT INTO unmapped_listings (tenant, channel, item_id, sku_id, sku, reason, orders)"
        " VALUES ('main', $1, $2, '', $3, $4, $5)",
        channel, item, sku, reason, orders,
    )  # fmt: skip


async def test_what_is_told_again_is_unchanged(pg):
    rows = [listing("1"), listing("1", sku_id="red"), listing("2", "B", 3)]
    assert await keep(pg, *rows) == Kept(created=3)
    assert await keep(pg, *rows) == Kept(unchanged=3)
    assert await keep(pg, rows[0], rows[0]) == Kept(unchanged=2)
    assert await keep(pg, listing("1", units=2), listing("9"), listing("9")) == Kept(1, 1, 1)
    assert await kept(pg) == [
        ("shop", "1", "", "A", 2),
        ("shop", "1", "red", "A", 1),
        ("shop", "2", "", "B", 3),
        ("shop", "9", "", "A", 1),
    ]


async def test_a_row_that_is_unchanged_is_not_written(pg):
    await keep(pg, listing())
    before = await pg.fetchrow("SELECT xid::text, actor, updated_at FROM listings")
    await store.upsert(pg, "main", [listing()], "somebody else")
    assert await pg.fetchrow("SELECT xid::text, actor, updated_at FROM listings") == before


async def test_one_that_was_removed_is_made_anew(pg):
    await keep(pg, listing(units=2))
    assert await store.remove(pg, "main", ("shop", "1", ""), "", "test") == 1
    assert await store.remove(pg, "main", ("shop", "1", ""), "", "test") == 0
    assert await kept(pg) == []
    assert await keep(pg, listing(units=2)) == Kept(created=1)
    assert await kept(pg) == [("shop", "1", "", "A", 2)]


async def test_only_the_link_and_the_sku_that_are_meant_are_removed(pg):
    rows = [listing(), listing(sku="B"), listing(sku_id="red"), listing(channel="mall")]
    await keep(pg, *rows)
    await keep(pg, *rows, tenant="other")
    assert await store.remove(pg, "main", ("shop", "1", ""), "B", "test") == 1
    assert await store.remove(pg, "main", ("shop", "1", ""), "", "test") == 1
    assert await kept(pg) == [("mall", "1", "", "A", 1), ("shop", "1", "red", "A", 1)]
    assert len(await kept(pg, tenant="other")) == 4


async def test_a_replaced_link_has_what_is_told_and_no_more(pg):
    await keep(pg, listing(), listing(sku="B"), listing("2"), listing(sku_id="red"))
    told = [listing(sku="C"), listing(sku="B"), listing("3")]
    await keep(pg, *told)
    assert await store.doubled(pg, "main", told) == 1
    assert await store.remove_others(pg, "main", told, "test") == 1
    assert await kept(pg, item="1") == [
        ("shop", "1", "", "B", 1), ("shop", "1", "", "C", 1), ("shop", "1", "red", "A", 1),
    ]  # fmt: skip
    assert await kept(pg, item="2") == [("shop", "2", "", "A", 1)]


async def test_doubled_counts_links(pg):
    rows = [listing(sku=sku) for sku in "ABC"] + [listing("2"), listing("2", "B"), listing("3")]
    await keep(pg, *rows)
    await keep(pg, listing("3", "B"), tenant="other")
    assert await store.doubled(pg, "main", rows) == 2
    await store.remove(pg, "main", ("shop", "2", ""), "B", "test")
    assert await store.doubled(pg, "main", rows) == 1


async def test_pages_hold_every_mapping_once(pg):
    rows = [listing(i, s, channel=c) for c in ("shop", "mall") for i in "12" for s in "AB"]
    await keep(pg, *rows)
    await store.remove(pg, "main", ("mall", "1", ""), "B", "test")
    seen, after = [], FIRST
    while page := await kept(pg, after=after, limit=3):
        seen += page
        after = page[-1][:4]
    assert len(seen) == 7
    assert seen == sorted(seen) == await kept(pg)
    assert await kept(pg, channel="mall", sku="A") == [
        ("mall", "1", "", "A", 1), ("mall", "2", "", "A", 1),
    ]  # fmt: skip


async def test_an_alarm_stands_until_there_is_exactly_one_mapping(pg):
    await met(pg, "1", orders=3)
    assert await standing(pg) == [("1", "", "unmapped", [], 3)]
    await keep(pg, listing("1", "A"))
    assert await standing(pg) == []
    await keep(pg, listing("1", "B"))
    assert await standing(pg) == [("1", "", "doubled", ["A", "B"], 3)]
    await store.remove(pg, "main", ("shop", "1", ""), "", "test")
    assert await standing(pg) == [("1", "", "unmapped", [], 3)]


async def test_an_unknown_sku_stands_until_it_has_stock_to_give(pg):
    await met(pg, "", "unknown_sku", "X")
    await met(pg, "1", "unknown_sku", "Y")
    await keep(pg, listing("1"))
    expected = [("", "X", "unknown_sku", [], 1), ("1", "Y", "unknown_sku", ["A"], 1)]
    assert await standing(pg) == expected
    await pg.execute(
        "INSERT INTO pools (cell, pool_id, tenant, owner, sku, channel)"
        " VALUES ('1', 'p1', 'main', '', 'Y', '')"
    )
    assert await standing(pg) == expected[:1]


async def test_a_link_mapped_twice_is_an_alarm_before_any_order_came(pg):
    await keep(pg, listing("1", "A"), listing("1", "B"), listing("2"))
    await keep(pg, listing("2", "B"), tenant="other")
    assert await standing(pg) == [("1", "", "doubled", ["A", "B"], 0)]
    await met(pg, "1", "unknown_sku", "X")
    assert await standing(pg) == [
        ("1", "", "doubled", ["A", "B"], 0), ("1", "X", "unknown_sku", ["A", "B"], 1),
    ]  # fmt: skip
    await met(pg, "1", "doubled", orders=2)
    assert [one[4] for one in await standing(pg)] == [2, 1], "told once, with its orders"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["0", "1", "2", "3"]),
        ({"channel": "shop"}, ["1", "2", "3"]),
        ({"channel": "nobody"}, []),
        ({"reason": "unmapped"}, ["0", "2"]),
        ({"reason": "doubled"}, ["1"]),
        ({"reason": "unknown_sku"}, ["3"]),
        ({"limit": 2}, ["0", "1"]),
        ({"after": ("shop", "1", "", "")}, ["2", "3"]),
    ],
)
async def test_alarms_are_chosen_and_paged(pg, wanted, found):
    await met(pg, "0", channel="mall")
    await keep(pg, listing("1", "A"), listing("1", "B"))
    await met(pg, "2")
    await met(pg, "3", "unknown_sku", "X")
    assert [one[0] for one in await standing(pg, **wanted)] == found
