"""A node whose system misbehaves by seed, orders to ship from it, and shippers."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from engine.infra.http import keys
from engine.infra.runtime import RUNTIME
from engine.kernel.types import MAIN
from engine.physical import api as physical
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.places import api as places
from engine.shipments import service as shipments
from engine.shipments.types.shipments import Line, Planned
from engine.shipments.types.stops import Ask
from engine.simulation.warehouse import Books, Knobs, Server
from engine.simulation.warehouse.languages import CODES
from engine.wms import api
from engine.wms.consumer import Shipper
from tests.flow.surface import Surface, served

LANGUAGES = ("qimen", "plain")
SECRET = "a secret of sixteen"  # noqa: S105 - of a node that is played
MISBEHAVING = {
    "reject": 0.1, "lack": 0.1, "partial": 0.3, "split_parcels": 0.3, "lost_callback": 0.2,
    "repeat_callback": 0.3, "reorder": 0.3, "reply_lost": 0.1, "error_5xx": 0.1,
}  # fmt: skip
SHIP_TO = {"name": "张三", "phone": "13800000000", "province": "浙江省", "city": "杭州市",
           "address": "文一西路 969 号", "country": "CN"}  # fmt: skip
ORDER = """
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, draws, counters, document
) VALUES (
  $1, '1', 'main', 'mall', $1, '', '', 'sale', 'open', 'paid', 'committed', 'unrouted', 'CNY', 300,
  1, '', now(), now(), '1-0', 'k', '[[1, "p", 3], [2, "p", 2]]', '[]', $2
)
"""
ENDED = {"shipped", "rejected", "cancelled"}


class World:
    """One node with a system, and orders to ship from it."""

    def __init__(self, surface, server, pg):
        self.surface, self.server, self.pg = surface, server, pg
        self.runtime = surface.app[RUNTIME]

    async def plan(self, n, goods="", door=""):
        """Bind an order as a router does, without its stock: of goods that nobody counted.

        Those with the same `door` may be merged, until somebody ships.
        """
        order_id, now = f"o{n}", datetime.now(UTC)
        goods = goods or order_id
        release_at = now if door else None
        document = msgspec.json.encode({"ship_to": SHIP_TO}).decode()
        async with self.runtime.pool.acquire() as tx, tx.transaction():
            await tx.execute(ORDER, order_id, document)
            await tx.executemany(
                "INSERT INTO order_lines (order_id, line_no, sku, quantity, open_quantity, payable)"
                " VALUES ($1, $2, $3, $4, $4, $4 * 60)",
                [(order_id, 1, f"{goods}-A", 3), (order_id, 2, f"{goods}-B", 2)],
            )
            lines = (Line(1, f"{goods}-A", 3), Line(2, f"{goods}-B", 2))
            one = Planned(
                "main", order_id, 1, "N", 1, lines, no_return="shipped", merge_hash=door,
                release_at=release_at,
            )  # fmt: skip
            await shipments.plan(tx, [one], now)
            wanted = [
                assignments.Wanted(
                    Assignment(order_id, line.line_no, "N", 1), "", line.sku, line.units
                )
                for line in lines
            ]
            await assignments.assign(tx, MAIN, wanted, now)
        return one.shipment_id

    async def stop(self, n, cause_id="c1"):
        async with self.runtime.pool.acquire() as tx, tx.transaction():
            wanted = Ask("main", f"o{n}", "manual", cause_id, (), "k", {})
            return await shipments.ask(tx, wanted, datetime.now(UTC))

    async def states(self):
        rows = await self.pg.fetch("SELECT shipment_id, state FROM shipments")
        return {row["shipment_id"]: row["state"] for row in rows}

    async def ended(self):
        waiting = await self.pg.fetchval("SELECT count(*) FROM jobs WHERE state = 'waiting'")
        books = self.server.books.held
        busy = any(one.state in {"open", "partly_shipped"} for one in books.values())
        told = self.server.silent and not busy
        return told and waiting == 0 and set((await self.states()).values()) <= ENDED

    async def in_time(self):
        """Let nothing wait for its back-off: what is due in an hour is due now."""
        await self.pg.execute(
            "UPDATE jobs SET due_at = now()"
            " WHERE leased_until IS NULL AND (kind <> 'settle' OR $1)",
            self.server.silent,  # what is told late is told by then
        )
        await self.pg.execute("UPDATE job_breakers SET probe_at = now()")
        return await self.ended()

    async def units_told(self):
        """What left, by shipment, as parcels say."""
        found = {}
        for row in await self.pg.fetch("SELECT shipment_id, items FROM parcels"):
            units = sum(units for _, units in msgspec.json.decode(row["items"]))
            found[row["shipment_id"]] = found.get(row["shipment_id"], 0) + units
        return found

    def units_left(self):
        books = self.server.books.held
        left = {code: sum(item.units for _, item in held.left) for code, held in books.items()}
        return {code: units for code, units in left.items() if units}


@asynccontextmanager
async def shipping(world, language, shippers=2):
    """The warehouse tells what happens, and shippers work."""
    tasks = [
        asyncio.create_task(world.server.tell(language)),
        *(asyncio.create_task(Shipper(world.runtime).run()) for _ in range(shippers)),
    ]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def world(settings, database_url, pg, language, made=Books, **knobs):
    books = made(Knobs(**knobs))
    where = []
    async with (
        served(settings, database_url, (keys, physical, places, api), Surface) as surface,
        Server(books, surface.app[RUNTIME].clock, SECRET, "N", lambda: where[0]) as server,
    ):
        where.append(str(surface.client.make_url("/v1/wms/N/callbacks")))
        address = {"country": "CN", "province": "上海市", "city": "上海市", "address": "某路 1 号"}
        await surface.call("PUT", "/v1/nodes/N", {"name": "仓", "address": address}, 201)
        access = server.access(language)
        wms = {
            "language": language, "url": access.url, "warehouse": access.warehouse,
            "owner": "OWNER", "app_key": "sim", "customer": "N",
            "codes": dict(CODES), "phone": "13900000000",
            "cancels_later": books.knobs.cancels_later,
        }  # fmt: skip
        await surface.call("PUT", "/v1/nodes/N/profile", {"wms": wms}, 201)
        await surface.call("PUT", "/v1/nodes/N/secret", {"secret": SECRET}, 200)
        yield World(surface, server, pg)
