"""Planners beside movements, orders, moves and edits: no pool is given what is not there.

Stock only grows in here, so what the cell has at any moment may never be more than Postgres says a
moment later: not for one plan, not for one call.
"""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from types import SimpleNamespace

import asyncpg
import msgspec
import pytest

from engine.infra import keys, postgres
from engine.inventory.rules import supply
from engine.inventory.service import skus
from engine.inventory.store import intentions
from tests.fault.engines import certificate, house

SECONDS = 6
CHANNELS = ("mall", "app", "fair")


def policy(rng):
    """Any that a person may put: quotas here, a ratio there, sometimes floors and caps."""
    channels = []
    for name in CHANNELS:
        one = {"channel": name, "floor": rng.choice([0, 0, 2])}
        one |= {"ratio": 0.3} if rng.random() < 0.4 else {"quota": rng.randint(0, 40)}
        one |= {"cap": rng.randint(3, 30)} if rng.random() < 0.3 else {}
        channels.append(one)
    return {"sku": "tea", "channels": channels}


class Shop:
    def __init__(self, api, pg, seed):
        self.api, self.pg, self.rng = api, pg, random.Random(seed)
        self.done, self.most, self.asked = Counter(), 0, 0
        self.until = asyncio.get_running_loop().time() + SECONDS

    @property
    def open(self):
        return asyncio.get_running_loop().time() < self.until

    async def put(self, path, body, **headers):
        answer = await self.api.call("PUT", path, body, **headers)
        assert answer.status in {200, 201}, answer.document

    async def receive(self, units):
        self.asked += 1
        line = {"node": "N", "sku": "tea", "quantity": units}
        body = {"reference": f"r{self.asked}", "kind": "receipt", "lines": [line]}
        answer = await self.api.call("POST", "/v1/inventory/movements", body)
        assert answer.status == 200, answer.document
        self.done["received"] += 1

    async def receiver(self):
        while self.open:
            await self.receive(self.rng.randint(1, 9))
            await asyncio.sleep(0.02)

    async def buyer(self):
        while self.open:
            self.asked += 1
            channel = self.rng.choice(CHANNELS)
            units = self.rng.randint(1, 4)
            answer = await self.api.buy(f"o{self.asked}", ("tea", units), channel=channel,
                                        campaign="")  # fmt: skip
            self.done[answer.code or "sold"] += 1
            if answer.status == 202 and self.rng.random() < 0.3:
                await self.api.cancel(answer.document["order_id"], "c")
                self.done["cancelled"] += 1

    async def editor(self):
        while self.open:
            await self.put("/v1/supply-policies/tea", policy(self.rng), If_Match="*")
            self.done["edited"] += 1
            await asyncio.sleep(0.05)

    async def mover(self):
        while self.open:
            self.asked += 1
            source, target = self.rng.sample(["", *CHANNELS], 2)
            body = {"move_id": f"v{self.asked}", "sku": "tea", "units": self.rng.randint(1, 5),
                    "from": {"channel": source}, "to": {"channel": target}}  # fmt: skip
            answer = await self.api.call("POST", "/v1/pools:move", body)
            self.done["moved" if answer.status == 200 else f"move {answer.code}"] += 1
            await asyncio.sleep(0.03)

    async def watch(self):
        while self.open:
            granted = await granted_in(self.api.cell)
            there = await self.pg.fetchval("SELECT coalesce(sum(sellable), 0) FROM stock_balances")
            assert granted <= there
            self.most = max(self.most, granted)
            self.done["looked"] += 1
            await asyncio.sleep(0.002)


async def granted_in(cell):
    """What all pools of the cell have been granted, in one look."""
    packed = await cell.redis.hvals(keys.of(cell.id, "pools"))
    return sum(msgspec.msgpack.decode(one)[0] for one in packed)


async def shelf(shop, units, first):
    """Units are counted before anybody sells them: none is declared."""
    await shop.put("/v1/nodes/N", {"name": "N"})
    await shop.put("/v1/skus/tea", {"name": "Tea"})
    for channel in CHANNELS:
        await shop.put(f"/v1/channels/{channel}", {"name": channel})
    await shop.receive(units)
    await shop.put("/v1/supply-policies/tea", first)


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_more_is_granted_than_there_is(settings, pg, eventually, seed):
    async with house(settings) as here:
        await here.worker(name="one")
        await here.worker("publisher", name="two")
        api = await here.api()
        shop = Shop(api, pg, seed)
        await shelf(shop, 50, policy(shop.rng))
        await eventually(lambda: granted_in(api.cell))
        await eventually(lambda: api.registry.authority("main", "fair"))
        shop.until = asyncio.get_running_loop().time() + SECONDS
        async with asyncio.TaskGroup() as tasks:
            for work in ("receiver", "buyer", "buyer", "editor", "mover", "watch"):
                tasks.create_task(getattr(shop, work)())
        print(dict(shop.done))  # noqa: T201
        for word in ("received", "sold", "sold_out", "cancelled", "edited", "moved", "looked"):
            assert shop.done[word] > 2, (word, shop.done)

        async def all_given():
            there = await pg.fetchval("SELECT sum(sellable) FROM stock_balances")
            assert await granted_in(api.cell) == there
            return True

        await eventually(all_given, within_s=10)
        await certificate(api)


async def quota_that_changes_hands(settings, pg, eventually):
    """Ten units of the mall are sold, and nobody knows yet, when a policy gives them to the app."""
    async with house(settings) as here:
        await here.worker("keeper", "publisher", name="publisher")
        await here.worker("recorder", name="recorder")
        api = await here.api()
        shop = Shop(api, pg, 0)
        mall = {"sku": "tea", "channels": [{"channel": "mall", "quota": 10}, {"channel": "app"}]}
        await shelf(shop, 10, mall)
        await eventually(lambda: all_folded(pg, 10))
        await eventually(lambda: api.registry.authority("main", "mall"))
        await here.stop("recorder")
        assert (await api.buy("1", ("tea", 10), campaign="")).status == 202
        app = {"sku": "tea", "channels": [{"channel": "mall"}, {"channel": "app", "quota": 10}]}
        await shop.put("/v1/supply-policies/tea", app, If_Match="*", Prefer="respond-async")
        await eventually(
            lambda: pg.fetchval(
                "SELECT count(*) FROM grants WHERE delta < 0 AND sent_at > '2000-1-1'"
            )
        )
        found = await granted_in(api.cell)
        await here.worker("recorder", name="recorder again")
        await eventually(
            lambda: pg.fetchval("SELECT count(*) = 0 FROM grants WHERE applied IS NULL")
        )
        return found


async def all_folded(pg, units):
    return await pg.fetchval("SELECT coalesce(sum(available), 0) FROM pools") == units


async def test_nothing_is_given_before_what_another_loses_was_taken(settings, pg, eventually):
    assert await quota_that_changes_hands(settings, pg, eventually) == 10


async def test_control_given_at_once_it_is_sold_twice(settings, pg, eventually, monkeypatch):
    """If this grants no more than there is, too, the test above proves nothing."""
    monkeypatch.setattr(supply, "_hold_back", lambda _pools, _target: False)
    assert await quota_that_changes_hands(settings, pg, eventually) == 20


class Overtaken:
    """A connection whose planner waits, just before it writes, until another is there too."""

    def __init__(self, inner, barrier):
        self._inner, self._barrier = inner, barrier

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def execute(self, sql, *values):
        if sql == intentions.SQL["write_grants"]:
            with suppress(TimeoutError, asyncio.BrokenBarrierError):
                async with asyncio.timeout(0.5):  # the other may wait for the lock, as it should
                    await self._barrier.wait()
        return await self._inner.execute(sql, *values)


async def two_planners(settings, database_url, pg):
    """Two plan a SKU that was just counted, at the same moment; what was granted by whom."""
    process = SimpleNamespace(settings=settings)
    await pg.execute(
        "INSERT INTO supply_policies"
        " (tenant, policy, owner, sku, version, document, actor, planned)"
        " VALUES ('main', 'tea', '', 'tea', 1, $1, 'test', $1)",
        '{"sku": "tea", "shared": 5, "channels": []}',
    )
    others = [await postgres.connect(database_url) for _ in range(2)]
    barrier = asyncio.Barrier(2)

    async def planner(db):
        async with db.transaction():
            await intentions.lock_planning(db, settings.cell)
            await skus.plan(process, Overtaken(db, barrier), "main", ["tea"])

    ends = await asyncio.gather(*map(planner, others), return_exceptions=True)
    for one in others:
        await one.close()
    return ends, [tuple(row) for row in await pg.fetch("SELECT seq, delta FROM grants")]


async def test_two_planners_give_once(settings, database_url, pg):
    assert await two_planners(settings, database_url, pg) == ([None, None], [(1, 5)])


async def test_control_without_the_lock_one_of_them_is_lost(
    settings, database_url, pg, monkeypatch
):
    """Numbers alone keep it from giving twice: what the second planned is thrown away."""
    monkeypatch.setitem(intentions.SQL, "lock_planning", "SELECT $1::text")
    ends, grants = await two_planners(settings, database_url, pg)
    assert sorted(map(type, ends), key=repr) == [type(None), asyncpg.UniqueViolationError]
    assert grants == [(1, 5)]
