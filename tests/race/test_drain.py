"""A shop sells by its own number, late, while units leave its pool for the mall.

The shop takes a number some time after it was made, sells what it shows meanwhile, and tells of its
orders later still: it cannot be asked, only waited for.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random

import pytest

from tests.conftest import eventually
from tests.fault.engines import certificate, house
from tests.fault.marketplace import (
    TMALL,
    line,
    open_shops,
    pools_of,
    recorded,
    snapshot,
    synced,
)

UNITS = 400
MOVED = 150
PUSH_S = 0.3
FEED_S = 0.3
BUYERS_PER_S = 20
LAG_S = 4.0  # from a number to the last order that was sold before it: more than both above
LINK = {"channel": TMALL, "item_id": "1", "sku_id": "", "sku": "A", "units_per": 1}


@dataclass
class Shop:
    """A marketplace: what it shows, what it sold, and an adapter between it and us."""

    api: object
    rng: Random
    shows: int = UNITS
    sold: int = 0
    closed: bool = False
    telling: list = field(default_factory=list)

    async def sell(self):
        """One buyer after the other, for what the shop shows."""
        while not self.closed:
            if self.shows > 0:
                self.shows -= 1
                self.sold += 1
                self.telling.append(asyncio.create_task(self._tell(f"t{self.sold}")))
            await asyncio.sleep(self.rng.expovariate(BUYERS_PER_S))

    async def _tell(self, number):
        await asyncio.sleep(self.rng.uniform(0.5, 1.0) * FEED_S)
        assert await synced(self.api, snapshot(number, 1, "paid", line())) == ["created"]

    async def adapt(self):
        """Take what is pending, have the shop show it a moment later, and confirm."""
        while True:
            answer = await self.api.call("GET", f"/v1/publications?channel={TMALL}&pending=true")
            for one in answer.document["items"]:
                await asyncio.sleep(self.rng.uniform(0.5, 1.0) * PUSH_S)
                if not self.closed:
                    self.shows = one["published"]  # it knows nothing of what it sold meanwhile
                item = {"item_id": "1", "number": one["number"], "accepted": True}
                body = {"channel": TMALL, "items": [item]}
                await self.api.call("POST", "/v1/publications:ack", body)
            await asyncio.sleep(0.1)


@pytest.fixture
async def shop(settings):
    async with house(settings) as here:
        await here.worker()
        api = await here.api()
        await open_shops(api, ({"channel": TMALL}, {"channel": "mall", "authority": "gate"}), A=0)
        before = await api.call("GET", "/v1/supply-policies/A")
        channels = [{"channel": TMALL, "quota": UNITS}, {"channel": "mall", "quota": 0}]
        body = {"sku": "A", "shared": 0, "channels": channels}
        etag = before.headers["ETag"]
        answer = await api.call("PUT", "/v1/supply-policies/A", body, If_Match=etag)
        assert answer.status == 200, answer.document

        async def granted():
            return sum(one[0] for one in (await pools_of(api)).values()) == UNITS

        await eventually(granted, within_s=20)
        assert (await api.call("POST", "/v1/listings", {"listings": [LINK]})).status == 200
        items = {"channel": TMALL, "items": [{"item_id": "1", "lag_seconds": LAG_S}]}
        assert (await api.call("PUT", "/v1/publications:settings", items)).status == 200

        async def published():
            answer = await api.call("GET", "/v1/publications")
            return [one["published"] for one in answer.document["items"]] == [UNITS]

        await eventually(published)
        yield Shop(api, Random(7))


async def sale(shop, move):
    """Sell, move in the middle of it, sell on until the shop shows nothing; return what is owed."""
    adapting = asyncio.create_task(shop.adapt())
    selling = asyncio.create_task(shop.sell())
    try:
        await eventually(lambda: shop.sold >= UNITS // 10)
        await move(shop.api)
        await asyncio.sleep(LAG_S)  # the shop sells on, by what it was told
        shop.closed = True
        await eventually(selling.done)
        await asyncio.gather(*shop.telling)
    finally:
        adapting.cancel()
        selling.cancel()
    await recorded(shop.api)
    return sum(one[1] for one in (await pools_of(shop.api)).values())


async def move_at_once(api):
    """What this would be without drains: the units go while the shop still shows them."""
    ids = await api.process.pool.fetch("SELECT pool_id, channel FROM pools")
    source, target = ({row["channel"]: row["pool_id"] for row in ids}[c] for c in (TMALL, "mall"))
    reply = await api.cell.call("move", [["main\x1fx", source, target, -1, 0, "control"]])
    assert reply.results[0][0] == "MOVED"


async def test_control_units_that_go_at_once_are_sold_once_more(shop):
    """If this does not oversell, the test below proves nothing."""
    assert await sale(shop, move_at_once) > 0


async def test_units_that_were_drained_are_sold_by_nobody_else(shop):
    async def drain(api):
        body = {"move_id": "m", "sku": "A", "units": MOVED, "from": {"channel": TMALL},
                "to": {"channel": "mall"}}  # fmt: skip
        before = shop.sold
        answer = await api.call("POST", "/v1/pools:move", body)
        assert (answer.status, answer.document["state"]) == (202, "requested")
        assert (await api.buy("g0", ("A", 1), campaign="")).code == "sold_out", "nothing is lent"

        async def ended():
            found = (await api.call("GET", "/v1/pools:move/m")).document
            return found["ended_at"] and found

        found = await eventually(ended, within_s=30)
        assert found["state"] == "done", found
        assert shop.sold > before, "it sold meanwhile"
        answer = await api.buy("g1", ("A", MOVED), campaign="")
        assert answer.status == 202, answer.document

    assert await sale(shop, drain) == 0
    await certificate(shop.api)
