"""Which orders would go without."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.inventory.service import shortages
from engine.inventory.store import shorts
from engine.inventory.store.shorts import Drawing, Place

T0 = datetime(2026, 11, 11, tzinfo=UTC)
ORDERS = [Drawing(f"o{n}", T0 + timedelta(minutes=n), units) for n, units in enumerate((3, 2, 4))]


@pytest.mark.parametrize(
    ("lacking", "found"),
    [
        (0, []),
        (1, [("o2", 1)]),
        (5, [("o2", 4), ("o1", 1)]),
        (50, [("o2", 4), ("o1", 2), ("o0", 3)]),
    ],
)
def test_the_youngest_go_without(lacking, found):
    assert shortages.without(ORDERS, lacking) == found
    assert shortages.without(reversed(ORDERS), lacking) == found


async def told(pg):
    rows = await pg.fetch("SELECT data FROM events WHERE kind = 'stock_short' ORDER BY id")
    return [msgspec.json.decode(row["data"]) for row in rows]


async def test_an_event_tells_what_is_new_or_grew(pg):
    for units in (4, 4, 3, 6):
        await shorts.write(pg, "main", ["tea"], {Place("tea", "e"): units})
        await shortages.tell(pg)
    found = [(one["node_group"], one["units"], one["orders"]) for one in await told(pg)]
    assert found == [("e", 4, []), ("e", 6, [])]


async def test_orders_that_are_not_found_in_time_are_said_to_be_missing(pg, monkeypatch):
    await pg.execute(
        "INSERT INTO pools (pool_id, cell, tenant, owner, sku, channel, node_group)"
        " VALUES ('p1', '1', 'main', '', 'tea', 'mall', 'e')"
    )
    monkeypatch.setattr(shorts, "_LOOK_SECONDS", 0.05)
    monkeypatch.setitem(
        shorts.SQL, "newest_drawing",
        "SELECT $1::text, $2::text, $3::text[], $4::int, $5::text, pg_sleep(5)",
    )  # fmt: skip
    await shorts.write(pg, "main", ["tea"], {Place("tea", "e"): 4})
    await shortages.tell(pg)
    (event,) = await told(pg)
    assert (event["orders"], event["complete"]) == ([], False)


# What order o drew, (line, pool, units), and what nodes were given of it: (line, node, units, fate,
# parts); then its units of the tea of the east that nobody has set aside yet.
WITHOUT = {
    "nothing is at a node": ([(1, "tea", 3), (2, "cup", 2)], [], 3),
    "another line is": ([(1, "tea", 3), (2, "cup", 2)], [(2, "E", 2)], 3),
    "this line is": ([(1, "tea", 3), (2, "cup", 2)], [(1, "E", 3)], 0),
    "some of this line": ([(1, "tea", 3)], [(1, "E", 2)], 1),
    "two lines of one SKU": ([(1, "tea", 3), (2, "tea", 4)], [(1, "E", 3)], 4),
    "one line of two pools": ([(1, "tea", 3), (1, "mall", 4)], [(1, "E", 5)], 2),
    "of two groups, the other's is": ([(1, "tea", 3), (1, "west", 4)], [(1, "W", 4)], 3),
    "of two groups, ours is": ([(1, "tea", 3), (1, "west", 4)], [(1, "E", 3)], 0),
    "the other one gave more": ([(1, "tea", 3), (1, "west", 4)], [(1, "W", 6)], 1),
    "all is from elsewhere": ([(1, "tea", 3)], [(1, "W", 3)], 0),
    "at two nodes": ([(1, "tea", 3)], [(1, "E", 1), (1, "F", 1)], 1),
    "shipped": ([(1, "tea", 3)], [(1, "E", 3, "shipped")], 0),
    "taken back": ([(1, "tea", 3)], [(1, "E", 3, "cancelled")], 3),
    "a part was taken back": ([(1, "tea", 3)], [(1, "E", 3, "", [("cancel", 1)])], 1),
    "a part left": ([(1, "tea", 3)], [(1, "E", 3, "", [("ship", 1)])], 0),
    "a part left, the rest was taken back": (
        [(1, "tea", 3)], [(1, "E", 3, "cancelled", [("ship", 1)])], 2
    ),
    "it has nothing of it": ([(1, "west", 3), (2, "cup", 1)], [], 0),
}  # fmt: skip


async def drew(pg, draws):
    """Order o took these units from pools."""
    await pg.execute(
        "INSERT INTO orders (order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id,"
        " kind, state, payment_state, stock_state, fulfilment_state, currency, payable, attempt,"
        " fingerprint, placed_at, accepted_at, log_id, actor, draws, counters, document)"
        " VALUES ('o', '1', 'main', 'mall', 'o', '', '', 'sale', 'open', 'paid', 'committed',"
        " 'unrouted', 'CNY', 0, 1, '', $1, $1, '1-1', '', $2, '[]', '{}')",
        T0, msgspec.json.encode(draws).decode(),
    )  # fmt: skip
    for pool, sku, channel, group in (
        ("tea", "tea", "", "east"), ("mall", "tea", "mall", "east"),
        ("west", "tea", "", "west"), ("cup", "cup", "mall", "east"),
    ):  # fmt: skip
        held = sum(units for _, of, units in draws if of == pool)
        await pg.execute(
            "INSERT INTO pools (pool_id, cell, tenant, owner, sku, channel, node_group, held,"
            " granted) VALUES ($1, '1', 'main', '', $2, $3, $4, $5, $5)",
            pool, sku, channel, group, held,
        )  # fmt: skip


async def gave(pg, line, node, units, fate="", parts=()):
    """A node was given units of a line of order o."""
    group = "west" if node == "W" else "east"
    await pg.execute(
        "INSERT INTO nodes (tenant, node, version, document, actor)"
        " VALUES ('main', $1, 1, jsonb_build_object('group', $2::text), '')",
        node, group,
    )  # fmt: skip
    key = await pg.fetchval(
        "INSERT INTO stock_keys (tenant, node, owner, sku, condition, batch)"
        " VALUES ('main', $1, '', 'tea', 'good', '') RETURNING key_id",
        node,
    )
    await pg.execute(
        "INSERT INTO stock_assignments (tenant, order_id, line_no, node, attempt, key_id, units,"
        " assigned_at, apart, shipped_at, cancelled_at) VALUES ('main', 'o', $1, $2, 1, $3, $4, $5,"
        " $6, $7, $8)",
        line, node, key, units, T0, sum(n for _, n in parts),
        T0 if fate == "shipped" else None, T0 if fate == "cancelled" else None,
    )  # fmt: skip
    for verb, n in parts:
        await pg.execute(
            "INSERT INTO stock_parts (tenant, order_id, line_no, node, attempt, verb, part, told,"
            " at, key_id, units) VALUES ('main', 'o', $1, $2, 1, $3, '', $4, $5, $6, $4)",
            line, node, verb, n, T0, key,
        )  # fmt: skip


@pytest.mark.parametrize(("draws", "given", "units"), WITHOUT.values(), ids=WITHOUT)
async def test_a_line_that_no_node_has_goes_without(pg, draws, given, units):
    await drew(pg, draws)
    for one in given:
        await gave(pg, *one)
    await shorts.write(pg, "main", ["tea"], {Place("tea", "east"): 9})
    await shortages.tell(pg)
    (event,) = await told(pg)
    assert event["orders"] == ([["o", units]] if units else [])
