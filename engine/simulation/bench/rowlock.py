"""What a user would write instead: aiohttp, and for each order one transaction with a row lock.

No key, no limits, no idempotency beyond a unique index: it does less than the engine. It runs in a
process of its own, over tables in a schema of its own; `fsync` and the server are the engine's.
"""

import argparse
from importlib import resources
from typing import Any, Final

import asyncpg
import orjson
import uvloop
from aiohttp import web

from engine import settings as settings_of
from engine.infra import queries
from engine.infra.postgres import Pool
from engine.kernel.ids import order_id
from engine.simulation.bench import bare
from engine.simulation.bench.requests import SKU

SQL: Final = queries.parse(
    (resources.files("engine.simulation.bench") / "rowlock.sql").read_text(encoding="utf-8")
)
POOL: Final[web.AppKey[Pool]] = web.AppKey("pool")
# Tried before anything is measured; the best one for each load is then measured.
POOL_SIZES: Final = (4, 8, 16, 32)

_ACCEPTED: Final = 202
_SOLD_OUT: Final = 409


class _SoldOut(Exception):
    """A line is short; leaving the transaction by an exception rolls it back."""


async def handle(request: web.Request) -> web.Response:
    """Take the stock and write the order, or neither."""
    order = orjson.loads(await request.read())
    known = order_id("", order["channel"], order["channel_order_id"])
    try:
        async with request.app[POOL].acquire() as connection, connection.transaction():
            await _write(connection, known, order)
    except _SoldOut:
        return web.Response(status=_SOLD_OUT)
    body = orjson.dumps({"order_id": known, "status": "pending_payment"})
    return web.Response(body=body, status=_ACCEPTED, content_type="application/json")


async def _write(db: Any, known: str, order: dict[str, Any]) -> None:
    lines = sorted(order["lines"], key=lambda line: line["sku"])  # one order of locks: no deadlock
    for line in lines:
        if await db.fetchval(SQL["take"], line["sku"], line["quantity"]) is None:
            raise _SoldOut
    total = sum(line["unit_price"]["amount"] * line["quantity"] for line in lines)
    address = orjson.dumps(order["ship_to"]).decode()
    ids = (known, order["channel"], order["channel_order_id"], order["buyer_id"])
    await db.execute(SQL["insert_order"], *ids, total, address)
    for n, line in enumerate(lines, start=1):
        price = line["unit_price"]["amount"]
        await db.execute(SQL["insert_line"], known, n, line["sku"], line["quantity"], price)


async def make(dsn: str, schema: str, skus: int) -> None:
    """Make the schema with its tables and more stock than will be asked for."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": schema})
    try:
        await connection.execute(f"CREATE SCHEMA {schema}")
        for name in ("stock_table", "orders_table", "lines_table"):
            await connection.execute(SQL[name])
        await connection.execute(SQL["fill_stock"], [SKU.format(n) for n in range(skus)])
    finally:
        await connection.close()


async def drop(dsn: str, schema: str) -> None:
    """Leave nothing behind."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    finally:
        await connection.close()


async def _serve(schema: str, size: int) -> None:
    dsn = settings_of.load().database_url or ""
    async with asyncpg.create_pool(
        dsn, min_size=size, max_size=size, server_settings={"search_path": schema}
    ) as pool:
        app = web.Application()
        app[POOL] = pool
        app.router.add_post("/v1/orders", handle)
        await bare.serve(app)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("schema")
    parser.add_argument("size", type=int)
    given = parser.parse_args()
    uvloop.run(_serve(given.schema, given.size))


if __name__ == "__main__":
    main()
