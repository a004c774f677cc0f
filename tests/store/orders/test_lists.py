"""A list of what few orders have does not look through all of them."""

from datetime import timedelta

import pytest

from engine.orders.store import SQL
from engine.shipments.store import SQL as SHIPMENTS

HOUR = timedelta(hours=1)
FILL = """
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, draws, counters, document
)
SELECT
  'o' || i, '1', 'main', 'mall', i, '', '', 'sale', 'open', 'paid', 'committed', 'unrouted', 'CNY',
  300, 1, '', now() - i * interval '1 s', now(), '1-0', 'k', '[]', '[]',
  CASE WHEN i = 7 THEN '{"promise": {"ship_by": "2020-01-01T00:00:00z"}}' ELSE '{}' END::json
FROM generate_series(1, 20000) AS i;
INSERT INTO events (at, kind, order_id, data)
SELECT now() - (20000 - i) * interval '1 h', 'order.paid', 'o' || i, '{}'
FROM generate_series(1, 20000) AS i;
INSERT INTO shipments (
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, state, state_at,
  promised_ship_by
)
SELECT
  'o' || i || '-s1', 'main', 'o' || i, 'n' || (1 + i % 20), 1, 'o' || i || '-s1', 'ship', '[]',
  CASE WHEN i % 500 = 0 THEN 'accepted' ELSE 'shipped' END, now(), now() - i * interval '1 h'
FROM generate_series(1, 20000) AS i;
INSERT INTO parcels (
  parcel_id, tenant, shipment_id, order_id, carrier, waybill, items, shipped_at
)
SELECT 'o' || i || '-s1-p1', 'main', 'o' || i || '-s1', 'o' || i, 'sf', 'W' || i, '[]', now()
FROM generate_series(1, 20000) AS i;
INSERT INTO routing_queue (order_id, tenant, queue, facts, row_version)
SELECT 'o' || i, 'main', CASE WHEN i % 100 = 0 THEN 'MANUAL' ELSE 'NEW' END, '', ''
FROM generate_series(1, 2000) AS i;
INSERT INTO blocks (order_id, code)
SELECT 'o' || i, CASE WHEN i % 100 = 0 THEN 'review' ELSE 'cool_off' END
FROM generate_series(1, 5000) AS i;
"""


@pytest.fixture
async def full(pg):
    await pg.execute(FILL)
    await pg.execute("ANALYZE")
    await pg.execute(f"PREPARE orders AS {SQL['list_orders']}")
    await pg.execute(f"PREPARE shipments AS {SHIPMENTS['shown']}")
    await pg.execute(SQL["plan_each"].replace("LOCAL", ""))
    return pg


def orders(**wanted):
    asked = {"block": "", "queue": "", "waybill": "", "before": None, "since": None} | wanted
    return [
        "main", "", None, asked["block"], None, None, "", None, None, 50,
        asked["queue"], asked["waybill"], asked["before"], asked["since"],
    ]  # fmt: skip


async def scanned(pg, name, values):
    """Return how many rows came, what was looked through from end to end, and the plan."""
    now = await pg.fetchval("SELECT now()")
    literals = ", ".join(
        "NULL" if one is None else f"'{now - one}'" if isinstance(one, timedelta) else f"'{one}'"
        for one in values
    )
    rows = await pg.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE {name} ({literals})")
    plan = [row[0] for row in rows]
    found = {line.partition(" on ")[2].split()[0] for line in plan if "Seq Scan on" in line}
    return int(float(plan[0].partition("rows=")[2].split()[0])), found, "\n".join(plan)


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"block": "review"}, 50),
        ({"queue": "MANUAL"}, 20),
        ({"waybill": "W77"}, 1),
        ({"before": 19_100 * HOUR}, 3),
        ({"since": 30.5 * HOUR}, 31),
        ({"queue": "MANUAL", "block": "review", "waybill": "W100"}, 1),
        ({"queue": "MANUAL", "waybill": "W77"}, 0),
    ],
)
async def test_orders_are_found_by_an_index(full, wanted, count):
    found, whole, plan = await scanned(full, "orders", orders(**wanted))
    assert found == count, plan
    assert whole <= {"routing_queue"}, plan
    assert "orders_placed" not in plan


async def test_control_a_plan_for_any_values_looks_through_all_orders(full):
    await full.execute("SET plan_cache_mode = force_generic_plan")
    _, whole, plan = await scanned(full, "orders", orders(waybill="W77"))
    assert "orders" in whole or "orders_placed" in plan, plan


@pytest.mark.parametrize(
    "wanted",
    [
        {"node": "n1", "state": "accepted"},
        {"before": 19_000 * HOUR},
        {"node": "n1", "before": 19_000 * HOUR},
    ],
)
async def test_what_has_to_leave_is_found_by_an_index(full, wanted):
    asked = {"node": "", "state": "", "before": None} | wanted
    values = ["main", "", "", "", asked["node"], asked["state"], "", asked["before"], "", 51]
    _, whole, plan = await scanned(full, "shipments", values)
    assert not whole, plan
    assert "shipments_open" in plan, plan
