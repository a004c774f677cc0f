"""Ten thousand orders of a marketplace on nine thousand units, while the own mall sells them too.

All are recorded, what is beyond the units is owed and named, and the mall gets nothing after zero.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import Any

import pytest

from engine.assurance.verify import certify
from engine.simulation.marketplace import Marketplace, Rates, Spec
from tests.conftest import eventually
from tests.fault.books import Books, compare
from tests.fault.engines import CHANNEL, certificate, house, id_of
from tests.fault.marketplace import TMALL, line, open_shops, put, recorded, snapshot, synced
from tests.fault.marketplace import id_of as synced_id

SKU = "TEA"
SENDERS = 4
BUYERS = 3
LISTED = Rates(listed=0.3, unmapped=0.0, refund=0.2)


@dataclass
class Sale:
    """Two API processes, a marketplace's feed, and buyers of the mall."""

    apis: list[Any]
    market: Marketplace
    quotas: dict[str, int]
    said: Counter[str] = field(default_factory=Counter)
    granted: dict[str, int] = field(default_factory=dict)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self):
        api = self.apis[0]
        await open_shops(api, ({"channel": TMALL}, {"channel": CHANNEL, "authority": "gate"}))
        await put(api, f"/v1/skus/{SKU}", {"name": SKU})
        links = [
            {"channel": TMALL, "item_id": one.item_id, "sku_id": one.sku_id, "sku": one.sku,
             "units_per": one.units_per}
            for one in self.market.spec.mapped
        ]  # fmt: skip
        answer = await api.call("POST", "/v1/listings", {"listings": links})
        assert answer.status == 200, answer.document
        body = {
            "sku": SKU,
            "shared": self.market.spec.have[SKU] - sum(self.quotas.values()),
            "channels": [
                {"channel": name, "quota": self.quotas.get(name, 0)} for name in (TMALL, CHANNEL)
            ],
        }
        await put(api, f"/v1/supply-policies/{SKU}", body)

    async def run(self, rng, orders):
        """Bring the whole feed by several connections, so that bodies also overtake each other."""
        bodies = [delivery.documents for delivery in self.market.feed()][::-1]
        async with asyncio.TaskGroup() as tasks:
            for n in range(BUYERS):
                tasks.create_task(self._buy(n, Random(rng.random()), orders))
            senders = [
                tasks.create_task(self._send(self.apis[n % len(self.apis)], bodies))
                for n in range(SENDERS)
            ]
            await asyncio.wait(senders)
            self.told.set()

    async def _send(self, api, bodies):
        while bodies:
            documents = bodies.pop()
            while documents:
                body = {"orders": documents}
                answer = await settled(api.call, "POST", "/v1/orders:sync", body)
                assert answer.status == 200, answer.document
                results = answer.document["results"]
                assert len(results) == len(documents)
                self.said.update(one.get("result", str(one["status"])) for one in results)
                assert {one["status"] for one in results} <= {200, 503}, results
                documents = [
                    document
                    for document, one in zip(documents, results, strict=True)
                    if one["status"] == 503
                ]

    async def _buy(self, buyer, rng, orders):
        """Ask for units as long as the feed runs; some are paid, and some of all cancelled."""
        n = 0
        while not self.told.is_set() or n < orders:
            n += 1
            number, units, api = f"m{buyer}-{n}", rng.randint(1, 2), rng.choice(self.apis)
            answer = await settled(api.buy, number, (SKU, units), campaign="")
            self.said[f"mall {answer.status} {answer.code}".strip()] += 1
            if answer.status not in {200, 202}:
                await asyncio.sleep(0.01)  # a person asks again, not at once
                continue
            self.granted[number] = units
            if rng.random() < 0.3:
                paid = await settled(api.pay, id_of(number), "p", 100 * units)
                assert paid.document["state"] == "applied", paid.document
            if rng.random() < 0.2:
                await self._cancel(api, number)
        mine = [number for number in self.granted if number.startswith(f"m{buyer}-")]
        for number in mine[::4]:  # by now all is sold, and these units repay
            await self._cancel(rng.choice(self.apis), number)

    async def _cancel(self, api, number):
        answer = await settled(api.cancel, id_of(number), "c")
        assert answer.status == 200, answer.document
        del self.granted[number]


async def settled(ask, *what, **fields):
    """Ask the same again while nobody can say what became of it, as a shop would."""
    for _ in range(200):
        answer = await ask(*what, **fields)
        if answer.status != 503:
            break
        await asyncio.sleep(0.1)
    return answer


async def sell(settings, seed, units, orders, quotas=None):
    """Play one sale, and hold what is recorded against the truth; return its counts."""
    spec = Spec(
        channel=TMALL, seed=seed, orders=orders, published={SKU: 10**6}, stock={SKU: units},
        lag_s=inf, rates=LISTED,
    )  # fmt: skip
    async with house(replace(settings, log_keep_seconds=3_600)) as here:
        await here.worker()
        apis = [await here.api(), await here.api()]
        sale = Sale(apis, Marketplace(spec), quotas or {})
        await sale.open()
        await sale.run(Random(seed), orders // 20)
        await recorded(apis[0])
        await returned(apis[0])
        return await reckon(sale)


async def returned(api):
    """Wait until units of cancelled paid orders are back."""
    waiting = "SELECT count(*) = 0 FROM stock_returns WHERE log_id = ''"
    await eventually(lambda: api.process.pool.fetchval(waiting), within_s=20)
    await recorded(api)


async def reckon(sale):
    api, truth = sale.apis[0], {one.channel_order_id: one for one in sale.market.truth}
    pool = api.process.pool
    orders = await pool.fetch(
        "SELECT order_id, channel_order_id, version, coalesce(("
        "  SELECT sum((d ->> 2)::bigint) FROM jsonb_array_elements(draws) AS d), 0) AS units"
        " FROM orders WHERE channel = $1",
        TMALL,
    )
    assert len(orders) == len(truth) == sale.said["created"]
    wrong = [
        (row["channel_order_id"], row["version"], row["units"])
        for row in orders
        if (row["version"], row["units"])
        != (
            truth[row["channel_order_id"]].version,
            truth[row["channel_order_id"]].units.get(SKU, 0),
        )
    ]
    assert not wrong, wrong[:5]
    mall = await pool.fetchval("SELECT count(*) FROM orders WHERE channel = $1 AND state = 'open'",
                               CHANNEL)  # fmt: skip
    assert mall == len(sale.granted)
    owed = await beyond(sale)
    await named(api)
    book = Books()
    async with pool.acquire() as connection:
        assert await compare(connection, book, api.cell.redis) == []
    assert book.faults == []
    found = await certify(api.cell, pool, api.process.clock, within_s=60)
    assert found.holds, found.faults
    assert (found.oversold_by_us, found.sold_beyond_stock) == (0, owed)
    return {**sale.said, "owed": owed, **book.asked_for, **book.repaid_by}


async def beyond(sale):
    """Exactly what both wanted beyond the units is owed; with nothing free where it is owed."""
    pools = {
        row["channel"]: row for row in await sale.apis[0].process.pool.fetch("SELECT * FROM pools")
    }
    wanted = sale.market.wanted()[SKU]
    mine = sale.quotas.get(CHANNEL, 0) - pools[CHANNEL]["available"]  # nobody else may draw that
    granted = sum(sale.granted.values())
    reach = sale.market.spec.have[SKU] - sale.quotas.get(CHANNEL, 0) + mine
    owed = sum(row["owed"] for row in pools.values())
    assert owed == wanted + granted - reach > 0
    assert pools[""]["owed"] == owed, "the pool that they share"
    assert pools[TMALL]["available"] == pools[""]["available"] == 0
    return owed


async def named(api):
    """Every order that lacks something is blocked and listed, and no other is."""
    short = await api.process.pool.fetch("SELECT DISTINCT order_id FROM shorts")
    listed, cursor = [], ""
    while cursor is not None:
        answer = await api.call("GET", f"/v1/orders?block=short&limit=200{cursor}")
        assert answer.status == 200, answer.document
        listed += [one["order_id"] for one in answer.document["items"]]
        following = answer.document["next_cursor"]
        cursor = None if following is None else f"&cursor={following}"
    assert len(listed) == len(set(listed))
    assert set(listed) == {row["order_id"] for row in short}
    shown = (await api.order(listed[0])).document
    assert "short" in {one["code"] for one in shown["blocks"]}
    assert any(line["short"] for line in shown["lines"])


QUOTAS = {"shared": {}, "own quotas": {TMALL: 0.3, CHANNEL: 0.1}}


def quotas_of(name, units):
    return {channel: int(share * units) for channel, share in QUOTAS[name].items()}


@pytest.mark.parametrize("quotas", QUOTAS)
async def test_everything_beyond_the_units_is_owed_and_the_mall_gets_none_after_zero(
    settings, quotas
):
    said = await sell(settings, 3, 540, 600, quotas_of(quotas, 540))
    print(said)  # noqa: T201 - shown when it fails
    assert said["mall 202"] >= 10
    assert said["mall 409 sold_out"] >= 10
    assert min(said["updated"], said["unchanged"], said["stale"]) > 20
    assert said["Synced"] > 0, "refunds and closed orders repay"
    if quotas == "shared":
        assert said["Released"] + said["Returned"] > 0, "and so do the mall's cancels"


async def test_the_mall_sells_again_what_a_refund_left_free_behind_what_was_owed(here):
    """Both processes had said sold out for good; a unit that repays is none of theirs."""
    a, b = await here.api(), await here.api()
    await open_shops(a, ({"channel": TMALL}, {"channel": CHANNEL, "authority": "gate"}), **{SKU: 4})
    big = snapshot("t1", 1, "paid", line(SKU, 4))
    assert await synced(a, big, snapshot("t2", 1, "paid", line(SKU, 1))) == ["created"] * 2

    async def answers(number):
        return [(await api.buy(number, (SKU, 1), campaign="")).status for api in (a, b)]

    for n in range(5):
        assert await answers(f"m{n}") == [409, 409]
    await synced(b, snapshot("t1", 2, "paid", line(SKU, 4, refunded_quantity=1)))
    await recorded(a)
    assert (await a.order(synced_id("t2"))).document["blocks"] == []
    for n in range(5):
        assert await answers(f"m{n}") == [409, 409]
    await synced(b, snapshot("t1", 3, "paid", line(SKU, 4, refunded_quantity=2)))

    async def sold():
        return 202 in await answers("m9")

    await eventually(sold, within_s=5)
    assert await answers("m8") == [409, 409]
    await certificate(a)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("quotas", QUOTAS)
@pytest.mark.parametrize("seed", range(10))
async def test_ten_thousand_orders_on_nine_thousand_units(settings, seed, quotas):
    said = await sell(settings, seed, 9_000, 10_000, quotas_of(quotas, 9_000))
    print(said)  # noqa: T201 - its figures
    assert said["created"] == 10_000
    assert said["mall 202"] > 100
    assert said["mall 409 sold_out"] > 100
