"""Orders, nodes with little of everything, and routers that see them late; Postgres is real."""

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from engine.catalogue import store as catalogue
from engine.catalogue.types import SkuFields
from engine.kernel import codec
from engine.kernel.errors import NotFound
from engine.physical.store.nodes import NODES
from engine.physical.types.nodes import NodeFields
from engine.places.store.profiles import PROFILES
from engine.places.types.profiles import NodeLimits, ProfileFields
from engine.routing.rules import facts
from engine.routing.service import queue, waiting
from engine.routing.service.router import Router
from engine.routing.service.waiting import Again
from engine.routing.types.core import Line, Offer, Order, Reach, Scorer, Split, Unfilled
from engine.routing.types.queue import Row
from tests.unit.routing.world import plan, rule

TABLES = (
    "routing_queue", "queue_waits", "routing_decisions", "routing_hands", "node_rejections",
    "broken_promises", "capacity", "stock_parts", "stock_assignments", "stock_movements",
    "stock_balances", "stock_keys", "stock_scopes", "stock_references", "stock_reports",
    "declared_lines", "jobs", "shipments", "events", "orders", "node_profiles", "nodes", "skus",
)  # fmt: skip
NODE_NAMES = ("R0", "R1", "R2")
SKUS = ("SA", "SB", "SC", "SD")
DECLARED = "SX"
ORDERS = """
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, draws, counters, document
)
SELECT
  o.id, '1', 'main', 'mall', o.id, '', '', 'sale', 'open', 'paid', 'committed', 'unrouted', 'CNY',
  300, 1, '', now(), now(), '1-0', 'k', o.draws, '[]', '{}'
FROM unnest($1::text[], $2::jsonb[]) AS o (id, draws)
RETURNING xmin::text, order_id
"""


class Trucks:
    """A carriage that takes everything from everywhere today; nobody's service is used up."""

    def __init__(self, today):
        self.day = today.toordinal()

    def kind(self, _order, _parcel):
        return ()

    def reach(self, _order, _parcel, moment):
        count = len(moment.snap.nodes)
        every = (1 << count) - 1
        at = (moment.now_ms,) * count
        return Reach(every, every, every, at, at, (self.day,) * count)

    def offer(self, _order, _node, _parcel, moment):
        return Offer(-1, "", 0, 100, moment.now_ms, moment.now_ms, self.day)


def a_plan():
    """Fewest parcels, units of one line from several nodes if need be, what lacks waits."""
    one = rule(
        "ANY_SPLIT", Scorer("freight"), split=Split(allow_partial_line=True),
        on_unfilled=Unfilled("PARK", "UNFILLABLE", "no_stock"),
    )  # fmt: skip
    return plan(one)


class Uneven:
    """A pool that keeps whoever asks it waiting for some turns, by seed: before a router looks for
    its plan, claims, reads its view, binds, and gives back.
    """

    def __init__(self, pool, rng):
        self._pool, self._rng = pool, rng

    async def _wait(self):
        for _ in range(self._rng.choice((0, 0, 1, 3, 10, 30))):
            await asyncio.sleep(0)

    @asynccontextmanager
    async def acquire(self):
        await self._wait()
        async with self._pool.acquire() as db:
            yield db

    async def fetch(self, *asked):
        await self._wait()
        return await self._pool.fetch(*asked)

    async def execute(self, *asked):
        await self._wait()
        return await self._pool.execute(*asked)

    async def fetchval(self, *asked):
        return await self._pool.fetchval(*asked)

    async def fetchrow(self, *asked):
        return await self._pool.fetchrow(*asked)


class World:
    """What routers are let loose on."""

    def __init__(self, place, seed):
        self.place, self.pg, self.pool = place, place.pg, place.runtime.pool
        self.clock = place.runtime.clock
        self.rng = random.Random(seed)
        self.today = datetime.now(UTC).date()
        self.asked = {}
        self.limits = {}

    async def build(self, *, orders=40, least=5, most=30, limits=True):
        """Make nodes, stock that is scarce, and orders that ask for about as much."""
        rng, pg = self.rng, self.pg
        for sku in (*SKUS, DECLARED):
            await catalogue.SKUS.insert(pg, "main", sku, SkuFields("any"), "test")
        for name in NODE_NAMES:
            await NODES.insert(pg, "main", name, NodeFields(name, group="cn"), "test")
            if limits:
                self.limits[name] = rng.randint(6, 16)
                profile = ProfileFields(capacity=NodeLimits(orders=self.limits[name]))
                await PROFILES.insert(pg, "main", name, profile, "test")
            there = [(sku, rng.randint(least, most)) for sku in SKUS]
            await self.place.count(1, *there, node=name)
        # what was just made wakes what waits
        await pg.execute("UPDATE nodes SET updated_at = now() - interval '1 h'")
        await pg.execute("UPDATE node_profiles SET updated_at = now() - interval '1 h'")
        told = {}
        for n in range(orders):
            skus = rng.sample(SKUS, rng.randint(1, 3))
            if rng.random() < 0.1:
                skus.append(DECLARED)
            told[f"o{n}"] = [(no, sku, rng.randint(1, 4)) for no, sku in enumerate(skus, start=1)]
        await self._add(told)

    async def add(self, order_id, lines):
        await self._add({order_id: lines})

    async def _add(self, told):
        """Put orders down, the first due first."""
        draws = [
            codec.encode([[no, "p", units] for no, _, units in lines]).decode()
            for lines in told.values()
        ]
        written = await self.pg.fetch(ORDERS, [*told], draws)
        versions = {row["order_id"]: row["xmin"] for row in written}
        rows = []
        for order_id, lines in told.items():
            self.asked[order_id] = Counter({no: units for no, _, units in lines})
            order = Order(
                order_id, "main", "mall", (), "310104", None, None,
                tuple(Line(no, sku, "cn", units, 100 * units) for no, sku, units in lines),
            )  # fmt: skip
            rows.append(Row("NEW", order, versions[order_id], due_at=datetime.now(UTC)))
        if rows:
            async with self.pg.transaction():
                await queue.put(self.pg, "main", rows)

    def router(self, batch=8):
        rng, the_plan = random.Random(self.rng.random()), a_plan()

        async def plans(_db, _tenant):
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            return the_plan

        pool = Uneven(self.pool, rng)
        return Router(pool, "main", self.clock, plans, batch=batch, carriage=Trucks(self.today))

    async def run(self, routers=8, batch=8, beside=()):
        """Let routers work until nothing is due; return what they say they did.

        `beside` is what others do meanwhile, and what comes of it is routed, too.
        """
        done, stirs = [], [asyncio.Event()]

        async def work(one, rng):
            while True:
                stirred = stirs[0]
                turn = await one.turn()
                done.append(turn)
                if turn.any:
                    stirs[0].set()
                    stirs[0] = asyncio.Event()
                elif not await self.due():
                    stirs[0].set()
                    return
                else:  # until somebody did something, or what was given back may be due
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stirred.wait(), 0.01 + rng.random() * 0.06)
                await asyncio.sleep(rng.random() * 0.002)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(one) for one in beside]
            for _ in range(routers):
                tasks.create_task(work(self.router(batch), random.Random(self.rng.random())))
        if others:
            done += await self.run(1)
        return done

    async def clear(self):
        """Forget everything, for the next seed."""
        every = "".join(f"DELETE FROM {table};" for table in TABLES)  # noqa: S608 - these
        await self.pg.execute(every)
        self.asked, self.limits = {}, {}

    async def people(self):
        """Somebody has orders tried again, and receives stock, while routers are at work."""
        rng = random.Random(self.rng.random())
        for n in range(rng.randrange(5)):
            for _ in range(rng.randrange(200)):
                await asyncio.sleep(0)
            if rng.random() < 0.4:
                more = {"node": rng.choice(NODE_NAMES), "sku": rng.choice(SKUS)}
                await self.place.move("receipt", rng.randint(1, 6), 2 + n, **more)
                continue
            again = Again(rng.choice([*self.asked]), "", "", "k")
            with suppress(NotFound):
                await waiting.retry(self.place.runtime, "main", again)

    async def due(self):
        return await self.pool.fetchval(
            "SELECT count(*) FROM routing_queue WHERE due_at <= now() + interval '2 s'"
        )

    async def check(self):
        """Hold what must hold whatever happened; return (units shipped, units that wait)."""
        shipped, bound, orders = Counter(), Counter(), Counter()
        for row in await self.pg.fetch("SELECT order_id, node, lines FROM shipments"):
            orders[row["node"]] += 1
            for no, sku, units, is_bound in codec.decode_json(row["lines"]):
                shipped[row["order_id"], no] += units
                bound[row["node"], sku] += units if is_bound else 0
        waiting = await self._asked_is_shipped_or_waits(shipped)
        await self._stock_is_committed_once(bound)
        await self._no_day_takes_more(orders)
        return sum(shipped.values()), sum(waiting.values())

    async def _asked_is_shipped_or_waits(self, shipped):
        waiting = Counter()
        for row in await self.pg.fetch("SELECT order_id, facts FROM routing_queue"):
            for line in facts.unpack(row["facts"]).lines:
                waiting[row["order_id"], line.line_no] += line.units
        for order_id, lines in self.asked.items():
            for no, units in lines.items():
                has, lacks = shipped[order_id, no], waiting[order_id, no]
                assert has + lacks == units, f"{order_id} line {no}: {has} + {lacks} of {units}"
        return waiting

    async def _stock_is_committed_once(self, bound):
        for row in await self.pg.fetch(
            "SELECT k.node, k.sku, b.committed, b.sellable"
            " FROM stock_balances b JOIN stock_keys k USING (key_id)"
        ):
            assert row["sellable"] >= 0, f"{row['node']} {row['sku']}: more was given than is there"
            assert row["committed"] == bound[row["node"], row["sku"]]
        assigned = await self.pg.fetchval("SELECT sum(units) FROM stock_assignments")
        assert (assigned or 0) == sum(bound.values())

    async def _no_day_takes_more(self, orders):
        for row in await self.pg.fetch("SELECT * FROM capacity WHERE dim = 'orders'"):
            assert row["limit"] is None or row["used"] <= row["limit"], "a day takes no more"
            assert row["used"] == orders[row["id"]]
        for name, most in self.limits.items():
            assert orders[name] <= most, f"{name} was given {orders[name]} of {most}"
