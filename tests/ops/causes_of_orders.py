"""Troubles of orders, stock, warehouses and books; each ends by what its runbook tells."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from engine.infra import keys
from tests.conftest import eventually
from tests.fault.marketplace import TMALL, line, snapshot
from tests.flow.fulfilment import SECRET, SHIP_TO
from tests.flow.telling import PATH
from tests.ops.instance import meanwhile

WITHIN_S = 30
RULES, MOVEMENTS = "/v1/review-rules", "/v1/inventory/movements"
PROMISED_H = (-1, 1)  # when an order was to leave, and when another one has to
AGED = timedelta(hours=5)
ORDERS = 6  # more than failures open a breaker


def hours(count):
    return (datetime.now(UTC) + timedelta(hours=count)).isoformat()


async def a_sku(on, sku):
    await on.put(f"/v1/skus/{sku}", {"name": sku, "grams": 300, "cm3": 900})


async def supply(on, sku, units=None):
    """Let a marketplace sell so many of a SKU, whatever there is, or what there is."""
    path = f"/v1/supply-policies/{sku}"
    body = {"sku": sku, "channels": [{"channel": TMALL}]}
    if units is not None:
        body["shared"] = units
    before = await on.api.call("GET", path)
    if before.status == 200:
        answer = await on.api.call("PUT", path, body, If_Match=before.headers["ETag"])
        assert answer.status == 200, answer.document
    else:
        await a_sku(on, sku)
        await on.put(path, body)

    async def granted():
        waiting = await on.sql("SELECT FROM grants WHERE applied IS NULL")
        return not waiting and (await on.get(path))["published"]

    await eventually(granted, within_s=WITHIN_S)


async def sell(on, *lines, **more):
    """Tell of an order that a marketplace has sold just now."""
    more = {"placed_at": hours(0), "ship_to": SHIP_TO} | more
    sold = snapshot(on.number(), 1, "paid", *lines, **more)

    async def taken():
        told = await on.call("POST", "/v1/orders:sync", {"orders": [sold]})
        (one,) = told["results"]
        assert one["status"] == 200, one
        return one

    return await eventually(taken, within_s=WITHIN_S)


async def bought(on, *lines):
    """Order and return the order's id, once it is recorded."""
    answer = await on.order(*lines)
    order_id = answer.document["order_id"]
    await eventually(
        lambda: on.sql("SELECT FROM orders WHERE order_id = $1", order_id), within_s=WITHIN_S
    )
    return order_id


@asynccontextmanager
async def cell_is_closed(on):
    """By hand; a buyer pays meanwhile."""
    order_id = await bought(on)
    assert await on.command("cell", "close", "--reason", "a drill") == 0
    try:
        paid = await on.api.pay(order_id, "p", 100)
        assert paid.status == 202, paid.document
        yield
    finally:
        assert await on.command("cell", "open", "--reason", "a drill") == 0
        await on.ready()


@asynccontextmanager
async def an_entry_is_not_ours(on):
    """Somebody wrote into the cell's log."""
    async with on.valkey() as client:
        await client.xadd(keys.of(on.settings.cell, "log"), {"hello": "world"})
    yield
    (letter,) = (await on.get("/v1/dead-letters"))["items"]
    await on.call("POST", f"/v1/dead-letters/{letter['id']}/settle", {"reason": "looked at"})


@asynccontextmanager
async def a_shop_sells_what_is_not_there(on):
    await supply(on, "scarce", 2)
    await sell(on, line("scarce", 5))
    yield
    await on.receive("beijing", scarce=10)


@asynccontextmanager
async def what_was_sold_is_lost(on):
    """In the warehouse, while a person looks at its orders."""
    await on.put(RULES, {"rules": [{"name": "all", "when": "true", "reason": "looked at"}]})
    await a_sku(on, "lamp")
    await on.receive("beijing", lamp=10)
    await supply(on, "lamp")
    sold = [
        (await sell(on, line("lamp"), promise={"ship_by": hours(count)}))["order_id"]
        for count in PROMISED_H
    ]
    held = "SELECT FROM blocks WHERE order_id = $1 AND code = 'review'"
    for order_id in sold:
        await eventually(lambda one=order_id: on.sql(held, one), within_s=WITHIN_S)
    lines = [{"node": "beijing", "sku": "lamp", "quantity": 10}]
    await on.call("POST", MOVEMENTS, {"reference": "lost", "kind": "damage", "lines": lines})
    for order_id in sold:
        await on.call("DELETE", f"/v1/orders/{order_id}/blocks/review?reason=looked+at")
    yield
    await on.receive("beijing", lamp=10)
    for order_id in sold:
        await on.call("POST", f"/v1/routing-queue/{order_id}/retry", {})
    await on.put(RULES, {"rules": []})


@asynccontextmanager
async def an_adapter_is_late(on):
    await supply(on, "late", 1_000)
    await on.receive("beijing", late=1_000)
    async with meanwhile(lambda: sell(on, line("late"), placed_at=hours(-1)), 0.3):
        yield


@asynccontextmanager
async def a_person_forgets_an_order(on):
    order_id = await bought(on)
    path = f"/v1/orders/{order_id}/blocks"
    await on.call("POST", path, {"code": "manual", "reason": "look"})
    age = "UPDATE blocks SET since = since - $2::interval WHERE order_id = $1"
    await on.sql(age, order_id, AGED)
    yield
    await on.call("DELETE", f"{path}/manual?reason=looked+at")


@asynccontextmanager
async def a_warehouse_does_not_answer(on):
    books = on.servers["hangzhou"].books
    knobs, books.knobs = books.knobs, books.knobs._replace(error_5xx=1.0)
    for _ in range(ORDERS):
        await on.buy(on.number(), ("tea", 1))
    yield
    books.knobs = knobs
    await on.sql("UPDATE job_breakers SET probe_at = now()")  # it comes within ten minutes


@asynccontextmanager
async def a_warehouse_refuses(on):
    """It was given another secret, and nobody told us."""
    path = "/v1/nodes/beijing/secret"
    await on.call("PUT", path, {"secret": SECRET[::-1]})
    await on.buy(on.number(), ("cup", 3))  # of which the nearer one has two

    async def try_on():
        await on.sql("UPDATE jobs SET due_at = now() WHERE leased_until IS NULL")

    async with meanwhile(try_on, 0.2):  # twelve tries take an hour
        yield
    await on.call("PUT", path, {"secret": SECRET})
    await on.call("POST", "/v1/dead-letters:retry", {"queue": "wms:beijing"})
    await on.sql("UPDATE job_breakers SET probe_at = now()")


async def endpoint(on, name, status):
    """Add one that answers so, and let something happen; return its path."""
    await on.receiver.behave(name, status=status)
    made = await on.call("POST", PATH, {"url": f"{on.receiver.url}/{name}"})
    await bought(on)
    return f"{PATH}/{made['endpoint_id']}"


@asynccontextmanager
async def a_receiver_fails(on):
    await endpoint(on, "fails", 500)
    yield
    await on.receiver.behave("fails", status=204)
    await on.sql("UPDATE webhook_waiting SET due_at = now()")


@asynccontextmanager
async def a_receiver_is_gone(on):
    path = await endpoint(on, "gone", 410)
    yield
    await on.receiver.behave("gone", status=204)
    await on.call("POST", f"{path}/enable")


@asynccontextmanager
async def a_pool_is_broken(on):
    """As a bug would leave it: more is sold in Postgres than there was."""
    await supply(on, "odd", 5)
    change = "UPDATE pools SET sold = sold + $1 WHERE sku = 'odd' AND channel = ''"
    await on.sql(change, 20)
    await on.command("verify")
    yield
    await on.sql(change, -20)
    await on.command("verify")
