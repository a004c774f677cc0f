"""A little sale as its metrics tell it: each number is what happened, and names nobody."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.assurance.certifying import certify
from engine.infra.meters import measured
from engine.kernel import limits
from tests.conftest import eventually
from tests.fault.engines import an_order, id_of, open_sale
from tests.fault.marketplace import TMALL, line, open_shops, recorded, snapshot, synced
from tests.fault.scraped import read, require_clean

MARK = "zebra"  # in every SKU, buyer, order and payment: never in a metric
TEA, CUP, RARE = (f"{MARK}-{one}" for one in ("tea", "cup", "rare"))


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Facts are read each time, and the first certificate does not wait."""
    monkeypatch.setattr(measured, "_FRESH_S", 0.0)
    monkeypatch.setattr("engine.app._PROMISES_EVERY_S", 0.0)
    monkeypatch.setattr("engine.app._BLOCKS_EVERY_S", 0.0)
    monkeypatch.setattr(limits, "CERTIFY_FIRST_S", 0.3)
    monkeypatch.setattr(limits, "CERTIFY_EVERY_S", 0.3)


async def text_of(api):
    answer = await api.client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return await answer.text()


async def scraped(api):
    return read(await text_of(api))


def within(hours):
    return {"ship_by": (datetime.now(UTC) + timedelta(hours=hours)).isoformat()}


async def sell(api):
    """Reserve, repeat, refuse, pay, block, batch, and sync beyond the stock."""

    async def buy(number, units=1, sku=TEA, **more):
        number = f"{MARK}-{number}"
        answer = await api.buy(number, (sku, units), buyer_id=f"{MARK}-b", **more)
        return answer.code or answer.status

    assert [await buy("1", promise=within(1)), await buy("1", promise=within(1))] == [202, 200]
    assert [await buy("2", promise=within(-1)), await buy("3", promise=within(3))] == [202, 202]
    assert [await buy("4", 9), await buy("4", 0)] == ["sold_out", "validation_failed"]
    assert await buy("5", sku=f"{MARK}-none") == "unknown_sku"
    batch = [an_order(f"{MARK}-{n}", (CUP, 1), buyer_id=f"{MARK}-c") for n in (6, 7, 7)]
    assert (await api.call("POST", "/v1/orders:batch", {"orders": batch})).status == 200
    for n in (1, 2, 3):
        paid = await api.pay(id_of(f"{MARK}-{n}"), f"{MARK}-p", 100)
        assert paid.status == 200, paid.document
    body = {"code": "manual", "reason": "look"}
    held = await api.call("POST", f"/v1/orders/{id_of(f'{MARK}-6')}/blocks", body)
    assert held.status in {200, 201}, held.document
    sold = snapshot(f"{MARK}-s", 1, "paid", line(RARE, 7))
    assert [await synced(api, sold), await synced(api, sold)] == [["created"], ["unchanged"]]


# By how much what is counted has risen; labels stand in the order of their names.
RISEN = {
    ("orders_total", "gate", "reserved"): 5,
    ("orders_total", "gate", "repeated"): 2,
    ("orders_total", "gate", "sold_out"): 1,
    ("orders_total", "gate", "validation_failed"): 1,
    ("orders_total", "gate", "unknown_sku"): 1,
    ("orders_total", "sync", "created"): 1,
    ("orders_total", "sync", "unchanged"): 1,
    ("http_requests_total", "/v1/orders", "202"): 3,
    ("http_requests_total", "/v1/orders", "409"): 1,
    ("http_request_seconds_count", "/v1/orders/{order_id}/payments"): 3,
    ("batch_claims_sum", "sync"): 2,
    ("queue_wait_seconds_count", "reserve"): 9,
    ("orders_recorded_total", "mall"): 5,
    ("orders_recorded_total", TMALL): 1,
    ("channel_lag_seconds_bucket", "mall", "5.0"): 5,
    ("channel_lag_seconds_count", TMALL): 1,
    ("payments_recorded_total",): 4,
}
AT_LEAST_ONCE = (
    ("cell_call_seconds_count", "confirm"),
    ("pool_wait_seconds_count",),
    ("recorder_batches_total",),
    ("recorder_entries_total",),
    ("recorder_seconds_count",),
)  # fmt: skip
IS = {
    ("queue_claims", "reserve"): 0,
    ("kept_claims",): 0,
    ("cell_open", "1"): 1,
    ("log_lag_seconds", "1"): 0,
    ("log_entries", "1"): 0,
    ("unrecorded_orders", "1"): 0,
    ("holds_open", "1"): 2,
    ("pools", "short"): 1,
    ("pools", "broken"): 0,
    ("oversold_units",): 0,
    ("certificate_holds",): 1,
    ("dead_letters", "cell"): 0,
    ("dead_letters", "job"): 0,
    ("blocks", "manual"): 1,
    ("blocks", "short"): 1,
    ("ship_by_due", "breached"): 1,
    ("ship_by_due", "2h"): 1,
    ("ship_by_due", "6h"): 1,
    ("ship_by_due", "12h"): 0,
    ("payments_waiting",): 0,
}
BELOW = {
    ("certificate_age_seconds",): 10,
    ("blocks_oldest_seconds", "manual"): 60,
    ("role_beat_seconds", "recorder"): 5,
    ("cell_memory_bytes", "1"): 2**30,
}


async def wait_for_a_node(pg):
    """Put what is promised into a queue of routing, and some of one of them into a shipment."""
    await pg.execute(
        "INSERT INTO routing_queue (order_id, tenant, queue, facts, row_version)"
        " SELECT order_id, tenant, 'MANUAL', '', '' FROM orders"
        " WHERE document ->> 'promise' IS NOT NULL"
    )
    await pg.execute(
        "INSERT INTO shipments (shipment_id, tenant, order_id, node, attempt, consignment_id, mode,"
        " lines, state, state_at, promised_ship_by) VALUES"
        " ('s', 'main', $1, 'N', 1, 's', 'ship', '[]', 'accepted', now(), now() + interval '10 h')",
        id_of(f"{MARK}-3"),
    )


def name(key):
    return f"tidegate_{key[0]}", *key[1:]


async def test_a_little_sale_as_its_metrics_tell_it(here, pg):
    api = await here.api()
    before = await scraped(api)
    await open_sale(api, **{TEA: 5, CUP: 20})
    await open_shops(api, **{RARE: 4})
    await sell(api)
    await recorded(api)
    await wait_for_a_node(pg)

    async def settled():
        told = await text_of(api)
        now = read(told)
        risen = {key: now.get(name(key), 0) - before.get(name(key), 0) for key in RISEN}
        assert risen == RISEN
        assert all(now[name(key)] > before.get(name(key), 0) for key in AT_LEAST_ONCE)
        assert {key: now.get(name(key)) for key in IS} == IS
        assert all(0 <= now[name(key)] < most for key, most in BELOW.items())
        assert sum(n for key, n in now.items() if key[0] == "tidegate_owed_units") == 3
        return told

    told = await eventually(settled, within_s=20)
    assert TMALL in told  # the control: names of shops do show
    assert MARK not in told
    assert all(id_of(f"{MARK}-{n}") not in told for n in range(1, 8))
    await require_clean(told)


async def test_what_is_wrong_shows(here, pg):
    """The control of the facts: what they count is there when it is there."""
    api = await here.api()
    await open_sale(api, A=10)
    assert (await api.buy("1", ("A", 9))).status == 202

    async def low():
        return (await scraped(api))["tidegate_pools", "low"] == 1

    await eventually(low)
    await here.stop("worker")
    assert (await api.buy("2")).status == 202
    await pg.execute("UPDATE pools SET sold = sold + 20")
    await pg.execute(
        "INSERT INTO dead_letters (cell, log_id, order_id, kind, reason, event, payload)"
        " VALUES ('1', '1-1', '', 'entry', '', '', '')"
    )
    await pg.execute(
        "INSERT INTO payments (order_id, payment_id, state, amount, currency, method, stage)"
        " VALUES ('o', 'p', 'received', 1, 'CNY', '', 'full')"
    )

    async def told():
        now = await scraped(api)
        assert now["tidegate_log_entries", "1"] in {1, 2}  # a checkpoint may stand beside the order
        assert now["tidegate_log_lag_seconds", "1"] > 0
        assert now["tidegate_unrecorded_orders", "1"] == 1
        assert now["tidegate_kept_claims",] == 1
        assert now["tidegate_pools", "broken"] == 1
        assert now["tidegate_oversold_units",] == 19
        assert now["tidegate_dead_letters", "cell"] == 1
        assert now["tidegate_payments_waiting",] == 1
        return True

    await eventually(told)
    await api.cell.call("close", ["a test"], argument="0")
    assert (await scraped(api))["tidegate_cell_open", "1"] == 0


async def test_a_certificate_is_broken_where_the_sides_differ(here, pg):
    api = await here.api()
    await open_sale(api, A=10, B=10)
    assert (await api.buy("1")).status == 202

    async def certified():
        await certify(api.cell, api.process.pool, api.process.clock)
        return (await scraped(api))["tidegate_certificate_holds",]

    assert await certified() == 1
    await pg.execute("UPDATE pools SET available = available - 1, sold = sold + 1 WHERE sku = 'B'")
    assert await certified() == 0
    row = await pg.fetchrow("SELECT pools, differing, unbalanced, oversold FROM certificates")
    assert tuple(row) == (2, 1, 0, 0)
    aged = "UPDATE checkpoints SET at = at - interval '1 hour' RETURNING checkpoint_id"
    every = [row["checkpoint_id"] for row in await pg.fetch(aged)]
    old = [one for one in every if one.startswith("auto-")]
    assert old
    assert await certified() == 0
    for table in ("checkpoints", "checkpoint_pools"):  # old ones do not stay
        left = await pg.fetch(f"SELECT checkpoint_id FROM {table}")  # noqa: S608 - our own names
        assert {row["checkpoint_id"] for row in left}.isdisjoint(old), table
