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
        "SELECT $1::text, $2::text, $3::text[], $4::int, pg_sleep(5)",
    )  # fmt: skip
    await shorts.write(pg, "main", ["tea"], {Place("tea", "e"): 4})
    await shortages.tell(pg)
    (event,) = await told(pg)
    assert (event["orders"], event["complete"]) == ([], False)
