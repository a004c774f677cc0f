"""`kill -9` of routers and shippers, and standstills, while warehouses misbehave in every way.

Every order is shipped, cancelled or in a queue with a reason; each consignment exists exactly once
at its warehouse, whose books say so; and nothing leaves after `stopped`.
"""

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from engine.simulation.warehouse import Books
from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.fault.mortals import mortals
from tests.flow.fulfilment import NEAREST, brand
from tests.flow.shipping import MISBEHAVING

CI, LONG = 4, 13
DEATHS_MIN = 10  # of each of five parts
NOT_YET = False  # what lacks may be told late still
A_TURN = 6  # orders between two deaths
A_MOMENT_S = 3.0  # in which whoever is to die has something to do
REST = (
    "recorder", "sweeper", "keeper", "publisher", "settler", "reviewer", "tracker",
)  # fmt: skip
KNOBS = MISBEHAVING | {
    "slow": 0.2, "slow_ms": 1_500, "cancel_unknown": 0.1, "late_cancel": 0.2, "recreates": 1.0,
    "cancels_later": True, "ship_ms": (100, 900), "pick_ms": (50, 300),
}  # fmt: skip
BY_KIND = """
SELECT
  (SELECT count(*) FROM jobs WHERE state = 'waiting') AS jobs,
  (SELECT count(*) FROM stops WHERE answer = '') AS stops,
  (
    SELECT count(*) FROM shipments
    WHERE state NOT IN ('shipped', 'cancelled', 'rejected')
  ) AS shipments,
  (SELECT count(*) FROM routing_queue WHERE due_at <= now() + interval '1 hour') AS queued,
  (
    SELECT count(*) FROM orders AS o
    WHERE
      o.state = 'open' AND o.fulfilment_state NOT IN ('shipped', 'delivered')
      AND NOT EXISTS (SELECT FROM routing_queue AS q WHERE q.order_id = o.order_id)
  ) AS nowhere
"""
LEASED = {
    "router": "SELECT token FROM routing_queue WHERE leased_until IS NOT NULL",
    "shipper": "SELECT token FROM jobs WHERE leased_until IS NOT NULL",
}
ON_THE_WAY = """
SELECT DISTINCT order_id FROM shipments
WHERE state NOT IN ('planned', 'shipped', 'cancelled', 'rejected')
ORDER BY order_id
"""
IN_TIME = """
WITH jobs_due AS (
  UPDATE jobs SET due_at = now() WHERE leased_until IS NULL AND (kind <> 'settle' OR $1)
)
, probes AS (UPDATE job_breakers SET probe_at = now())
UPDATE routing_queue SET due_at = now()
WHERE due_at > now() AND due_at < now() + interval '1 hour' AND leased_until IS NULL
"""


class Night:
    """Orders, requests that they be stopped, and what became of all of them."""

    def __init__(self, one, seed):
        self.one, self.pg, self.dice = one, one.pg, random.Random(seed)
        self.bought, self.cancels = {}, 0

    async def buy(self, count):
        for _ in range(count):
            number = f"n{len(self.bought)}"
            lines = [("tea", self.dice.randint(1, 3))]
            lines += [("cup", self.dice.randint(1, 2))] * (self.dice.random() < 0.5)
            order_id = await self.one.buy(number, *lines)
            self.bought[order_id] = Counter(dict(lines))

    async def changes_of_mind(self):
        """Cancel one of the last orders, and one that a node has before it; whatever is answered,
        it is said once.
        """
        sent = [row["order_id"] for row in await self.pg.fetch(ON_THE_WAY)]
        last = list(self.bought)[-2 * A_TURN :]
        for among in (last, sent):
            if among:
                self.cancels += 1
                answer = await self.one.api.cancel(self.dice.choice(among), f"c{self.cancels}")
                assert answer.status in {200, 202, 409}, answer.document

    async def ended(self):
        """Let nothing wait for its back-off, and say whether everything has ended."""
        servers = self.one.servers.values()
        at_home = all(server.silent for server in servers) and not any(
            held.state in {"open", "partly_shipped"}
            for server in servers
            for held in server.books.held.values()
        )
        await self.pg.execute(IN_TIME, at_home)
        left = dict(await self.pg.fetchrow(BY_KIND))
        assert not any(left.values()), left
        return at_home

    async def check(self):
        """Compare with the books of the warehouses; return how orders ended."""
        held = {}
        for server in self.one.servers.values():
            assert not held.keys() & server.books.held.keys()
            held |= server.books.held
        assert {one.made for one in held.values()} == {1}
        left = {code: sum(item.units for _, item in one.left) for code, one in held.items()}
        told = Counter()
        for row in await self.pg.fetch("SELECT shipment_id, items FROM parcels"):
            told[row["shipment_id"]] += sum(n for _, n in msgspec.json.decode(row["items"]))
        assert dict(told) == {code: units for code, units in left.items() if units}
        await self._stops(left)
        sums = await self.pg.fetchrow(
            "SELECT sum(committed) AS c, sum(handed_over) AS h, sum(shipped) AS s"
            " FROM stock_balances"
        )
        assert tuple(sums) == (0, 0, sum(left.values()))
        return await self._orders(held)

    async def sums(self):
        """What happened: by shipments' states, stops' answers, creates per consignment."""
        by = {}
        for what in ("shipments.state", "stops.answer"):
            table, column = what.split(".")
            rows = await self.pg.fetch(
                f"SELECT {column} AS name, count(*) AS n FROM {table} GROUP BY 1"  # noqa: S608 - ours
            )
            by[table] = {row["name"]: row["n"] for row in rows}
        asked = Counter(
            held.asked for one in self.one.servers.values() for held in one.books.held.values()
        )
        return by | {"creates": dict(sorted(asked.items()))}

    async def _stops(self, left):
        said = await self.pg.fetch(
            "SELECT p.shipment_id FROM stop_parts AS p JOIN stops AS s USING (stop_id)"
            " WHERE p.answer = 'stopped'"
        )
        after = [row["shipment_id"] for row in said if left.get(row["shipment_id"])]
        assert not after, "left after it was said to be stopped"
        twice = "SELECT data ->> 'stop_id' FROM events WHERE kind = 'order.stop_answered'"
        answers = [row[0] for row in await self.pg.fetch(twice)]
        assert (
            len(answers)
            == len(set(answers))
            == await self.pg.fetchval("SELECT count(*) FROM stops")
        )

    async def _orders(self, held):
        """Every unit of every order left once, or its order says why it did not."""
        ends = Counter()
        for order_id, wanted in self.bought.items():
            left = Counter()
            for code, one in held.items():
                if code.startswith(f"{order_id}-s"):
                    left.update({item.sku: 0 for _, item in one.left})
                    for _, item in one.left:
                        left[item.sku] += item.units
            assert left <= wanted, await self._story(order_id, wanted, left)
            ends["shipped" if left == wanted else await self._why(order_id, wanted, left)] += 1
        return ends

    async def _why(self, order_id, wanted, left):
        """Why not all of it left."""
        found, waits = await self.one.get(f"/v1/orders/{order_id}"), await self.one.queued(order_id)
        if found["state"] == "cancelled":
            return "cancelled"
        assert (waits or ("NEW",))[0] != "NEW", await self._story(order_id, wanted, left)
        return " ".join(waits)

    async def _story(self, order_id, wanted, left):
        rows = await self.pg.fetch(
            "SELECT kind || ' ' || data::text AS told FROM events WHERE order_id = $1 ORDER BY id",
            order_id,
        )
        return "\n".join([f"{order_id}: {wanted}, left {left}", *(row["told"] for row in rows)])


@asynccontextmanager
async def nights(settings, pg, seed, knobs=KNOBS, made=Books):
    knobs = knobs | {"seed": seed}
    async with brand(settings, pg, eventually, *REST, knobs=knobs) as one:
        for server in one.servers.values():
            server.books = made(server.books.knobs)
        await one.activate(NEAREST | {"max_hops": 3})
        for node in one.servers:
            await one.receive(node, tea=2_000, cup=2_000)

        async def for_sale():
            found = [await one.get(f"/v1/stock?sku={sku}&channel=mall") for sku in ("tea", "cup")]
            return all(row["items"] and row["items"][0]["sellable"] > 1_000 for row in found)

        await eventually(for_sale, within_s=20)
        yield Night(one, seed)


async def through(settings, night, times):
    """Kill, or stop for a while, some router or shipper in the middle of its work; count both.

    `held` counts deaths that left leases behind.
    """
    done = Counter()
    async with mortals(settings, router=2, shipper=2) as alive:
        for turn in range(times):
            role = ("router", "shipper")[turn % 2]
            victim = night.dice.choice(alive[role])

            async def leased(role=role):
                return {row["token"] for row in await night.pg.fetch(LEASED[role])}

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(night.buy(A_TURN))
                with suppress(AssertionError):  # it had nothing to do
                    await eventually(leased, within_s=A_MOMENT_S)
                if turn % 5 == 3:
                    await victim.stand()
                    done[f"{role} stood"] += 1
                else:
                    its_own = await victim.kill()
                    done[f"{role} died"] += 1
                    done[f"{role} held"] += bool(its_own & await leased())
            await night.changes_of_mind()
            if victim.dead:
                await victim.start()
        await eventually(night.ended, within_s=60 + 3 * times)
    return done


async def test_after_every_death_each_order_is_somewhere_and_each_consignment_once(settings, pg):
    async with nights(settings, pg, 21) as night:
        await through(settings, night, CI)
        ends = await night.check()
        assert ends["shipped"] >= A_TURN, ends
        await certificate(night.one.api)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("part", range(5))
async def test_fifty_deaths(settings, pg, part):
    async with nights(settings, pg, 22 + part) as night:
        done = await through(settings, night, LONG)
        ends, sums = await night.check(), await night.sums()
        print(f"part {part}:", dict(done), dict(ends), sums)  # noqa: T201 - what it is run for
        assert done["router died"] + done["shipper died"] >= DEATHS_MIN, done
        assert done["router held"] + done["shipper held"], "nobody died in the middle of its work"
        assert sums["stops"], "nobody was asked to stop what was sent"
        assert ends["shipped"] >= LONG, ends
        await certificate(night.one.api)


class Forgetful(Books):
    """A warehouse that begins a consignment for each create, whatever its code."""

    def create(self, code, lines, carrier, waybill, now_ms):
        known = self.held.pop(code, None)
        answered = super().create(code, lines, carrier, waybill, now_ms)
        self.held[code].made += known.made if known else 0
        return answered


async def test_control_a_warehouse_that_knows_no_code_sends_twice(settings, pg):
    """If each is made once here, too, the tests above prove nothing."""
    knobs = {"reply_lost": 0.5, "slow": 0.5, "slow_ms": 1_500}
    async with (
        nights(settings, pg, 23, knobs, made=Forgetful) as night,
        mortals(settings, router=1, shipper=1) as alive,
    ):
        await night.buy(2 * A_TURN)
        await alive["shipper"][0].kill_and_start()

        async def twice():
            await night.pg.execute(IN_TIME, NOT_YET)
            servers = night.one.servers.values()
            return any(one.made > 1 for on in servers for one in on.books.held.values())

        await eventually(twice, within_s=40)
