"""Logical stock without HTTP: nodes N and M (group east), SKUs A to C, of which A is green tea."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.catalogue import service as catalogue
from engine.catalogue.types import SkuFields
from engine.infra import postgres
from engine.infra.runtime import Runtime
from engine.infra.versioned import Match
from engine.kernel.clock import SystemClock
from engine.logical.service import bases, documents
from engine.logical.types.documents import Match as Matched
from engine.logical.types.documents import RuleFields
from engine.physical.service import counts
from engine.physical.service import nodes as node_service
from engine.physical.types.nodes import NodeFields
from engine.physical.types.stock import CountFields, CountLine

T0 = datetime(2026, 11, 11, tzinfo=UTC)


class House:
    """What an operator and a warehouse would call, in short."""

    def __init__(self, runtime, pg):
        self.runtime, self.pg, self.made = runtime, pg, 0

    async def node(self, name, **fields):
        return await node_service.put(
            self.runtime, "main", name, NodeFields(name, **fields), Match(), "test"
        )

    async def sku(self, name, **fields):
        return await catalogue.put(
            self.runtime, "main", name, SkuFields(name, **fields), Match(), "test"
        )

    async def count(self, sku, quantity, node="N", owner=None, **line):
        self.made += 1
        told = CountLine(sku, quantity, **line)
        await counts.record(
            self.runtime, "main",
            CountFields(f"c{self.made}", node, "on_hand", T0 - timedelta(days=1), [told], owner),
            "test",
        )  # fmt: skip

    async def rule(self, name, kind, match=None, tenant="main", **fields):
        told = RuleFields(kind, Matched(**(match or {})), **fields)
        return await documents.put(self.runtime, tenant, name, told, Match(), "test")

    async def bases(self, *skus, at=T0):
        async with self.runtime.pool.acquire() as db, db.transaction():
            return await bases.bases(db, "main", skus, at)

    async def left(self, *skus, at=T0):
        found = await self.bases(*skus, at=at)
        return {sku: {one.node: one.sellable for one in found[sku]} for sku in skus}

    async def next(self, *skus, at=T0):
        async with self.runtime.pool.acquire() as db, db.transaction():
            found = await bases.chains(db, "main", skus, at)
        return min((one.changes_at for one in found.values() if one.changes_at), default=None)

    async def changed(self):
        """The SKUs to plan anew since this was asked last."""
        rows = await self.pg.fetch("DELETE FROM stock_changes WHERE tenant = 'main' RETURNING sku")
        return {row["sku"] for row in rows}


@pytest.fixture
async def house(settings, database_url, pg):
    async with await postgres.open_pool(database_url) as pool:
        runtime = Runtime(
            settings=settings, clock=SystemClock(), pool=pool, cell=None, process="test"
        )
        one = House(runtime, pg)
        await one.node("N")
        await one.node("M", group="east")
        await one.sku("A", category="tea", brand="leaf")
        for sku in "BC":
            await one.sku(sku)
        await one.changed()
        yield one
