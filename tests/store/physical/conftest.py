"""Physical stock without HTTP: nodes N and M, SKUs A to C, of which A comes in cases."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.catalogue.store import SKUS
from engine.catalogue.types import SkuFields
from engine.infra import postgres
from engine.infra.runtime import Runtime
from engine.kernel.clock import SystemClock
from engine.physical.service import assignments, counts, lists, movements
from engine.physical.store.nodes import NODES
from engine.physical.types.facts import Assignment
from engine.physical.types.nodes import NodeFields
from engine.physical.types.stock import CountFields, CountLine, MovementFields, MovementLine

T0 = datetime(2026, 11, 11, tzinfo=UTC)


def at(minute):
    return T0 + timedelta(minutes=minute)


class Place:
    """What warehouses and fulfilment would call, in short."""

    def __init__(self, runtime, pg):
        self.runtime, self.pg, self.made = runtime, pg, 0

    async def move(self, kind, quantity, minute=None, reference=None, tenant="main", **line):
        self.made += 1
        lines = [MovementLine(**{"node": "N", "sku": "A", "quantity": quantity} | line)]
        fields = MovementFields(
            reference or f"m{self.made}", kind, lines, None if minute is None else at(minute)
        )
        return await movements.record(self.runtime, tenant, fields, "test")

    async def post(self, fields, tenant="main"):
        return await movements.record(self.runtime, tenant, fields, "test")

    async def count(self, minute, *lines, basis="on_hand", report=None, **more):
        self.made += 1
        told = [one if isinstance(one, CountLine) else CountLine(*one) for one in lines]
        fields = CountFields(
            report or f"c{self.made}", more.pop("node", "N"), basis, at(minute), told, **more
        )
        return await counts.record(self.runtime, "main", fields, "test")

    async def assign(self, order, units, sku="A", node="N", attempt=1):
        name = Assignment(order, 1, node, attempt)
        wanted = assignments.Wanted(name, "", sku, units)
        async with self.runtime.pool.acquire() as db, db.transaction():
            await assignments.assign(db, "main", [wanted], at(0))
        return name

    async def note(self, verb, minute, *names):
        async with self.runtime.pool.acquire() as db, db.transaction():
            return await getattr(assignments, verb)(db, "main", list(names), at(minute))

    async def part(self, verb, minute, name, part, units):
        async with self.runtime.pool.acquire() as db, db.transaction():
            some = {name: assignments.Some(part, units)}
            return await getattr(assignments, verb)(db, "main", some, at(minute))

    async def moved(self, after, since=None):
        wanted = lists.Wanted("main", "", "", 100)
        return await lists.movements(self.runtime, wanted, since, after)

    async def row(self, sku="A", node="N", **key):
        chosen = {"owner": "", "condition": "good", "batch": ""} | key
        return await self.pg.fetchrow(
            "SELECT b.* FROM stock_balances b JOIN stock_keys k USING (key_id) WHERE k.tenant ="
            " 'main' AND node = $1 AND sku = $2 AND owner = $3 AND condition = $4 AND batch = $5",
            node, sku, *chosen.values(),
        )  # fmt: skip

    async def sums(self, sku="A", node="N", **key):
        row = await self.row(sku, node, **key)
        return row and tuple(
            row[name] for name in ("on_hand", "locked", "committed", "handed_over", "sellable")
        )


@pytest.fixture
async def place(settings, database_url, pg):
    async with await postgres.open_pool(database_url) as pool:
        runtime = Runtime(
            settings=settings, clock=SystemClock(), pool=pool, cell=None, process="test"
        )
        for sku in "ABC":
            units = {"case": 12} if sku == "A" else {}
            await SKUS.insert(pg, "main", sku, SkuFields(sku, units=units), "test")
        for node in "NM":
            await NODES.insert(pg, "main", node, NodeFields(node), "test")
        yield Place(runtime, pg)
