"""From what a warehouse tells to what may be sold, on real servers and processes."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.infra import keys
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from tests.fault.engines import certificate, house, id_of

RATIO = {"sku": "tea", "channels": [{"channel": "mall", "ratio": 0.25}, {"channel": "app"}]}


class Shop:
    """One API process and a worker, a node, two channels, and tea."""

    def __init__(self, api, pg):
        self.api, self.pg, self.told = api, pg, 0

    async def put(self, path, body, **headers):
        answer = await self.api.call("PUT", path, body, **headers)
        assert answer.status in {200, 201}, answer.document
        return answer.document

    async def move(self, units, sku="tea", kind=None, node="N"):
        self.told += 1
        line = {"node": node, "sku": sku, "quantity": abs(units)}
        kind = kind or ("receipt" if units > 0 else "damage")
        body = {"reference": f"m{self.told}", "kind": kind, "lines": [line]}
        answer = await self.api.call("POST", "/v1/inventory/movements", body)
        assert answer.status == 200, answer.document

    async def count(self, units, sku="tea", node="N"):
        self.told += 1
        body = {
            "report": f"c{self.told}", "node": node, "basis": "on_hand",
            "as_of": datetime.now(UTC).isoformat(), "sequence": self.told,
            "lines": [{"sku": sku, "quantity": units}],
        }  # fmt: skip
        answer = await self.api.call("POST", "/v1/inventory/counts", body)
        assert answer.status == 200, answer.document

    async def buy(self, number, units=1, channel="mall", campaign="", sku="tea"):
        answer = await self.api.buy(number, (sku, units), channel=channel, campaign=campaign)
        return answer.code or answer.status

    async def free(self, channel="", campaign="", sku="tea"):
        """Free units of a pool as the cell has it; None without the pool."""
        pool = await self.pg.fetchval(
            "SELECT pool_id FROM pools WHERE sku = $1 AND channel = $2 AND campaign = $3",
            sku, channel, campaign,
        )  # fmt: skip
        cell = self.api.cell
        packed = await cell.redis.hget(keys.of(cell.id, "pools"), pool or "")
        return None if packed is None else msgspec.msgpack.decode(packed)[2]

    async def offers(self, channel, sku):
        """Whether the cell sells a SKU to a channel every day."""
        cell = self.api.cell
        return await cell.redis.hexists(
            keys.of(cell.id, "rules"), f"offer\x1fmain\x1f\x1f{channel}\x1f{sku}"
        )

    def has(self, **wanted):
        """A condition: these pools, "shared" among them, have so many free units."""

        async def check():
            found = {one: await self.free("" if one == "shared" else one) for one in wanted}
            assert found == wanted
            return True

        return check

    async def events(self, kind):
        rows = await self.pg.fetch("SELECT data FROM events WHERE kind = $1 ORDER BY id", kind)
        return [msgspec.json.decode(row["data"]) for row in rows]

    async def shorts(self):
        answer = await self.api.call("GET", "/v1/stock:short")
        return [(one["lacking"], one["units"], one["until"] is None)
                for one in answer.document["items"]]  # fmt: skip


@pytest.fixture
async def shop(settings, pg, eventually):
    async with house(settings) as here:
        await here.worker()
        api = await here.api()
        one = Shop(api, pg)
        await one.put("/v1/nodes/N", {"name": "N"})
        for sku in ("tea", "cup"):
            await one.put(f"/v1/skus/{sku}", {"name": sku})
        for channel in ("mall", "app"):
            await one.put(f"/v1/channels/{channel}", {"name": channel})
        await eventually(lambda: api.registry.authority("main", "app"))
        yield one


async def test_what_is_counted_is_shared_by_ratio_and_follows_each_movement(shop, eventually):
    await shop.put("/v1/supply-policies/tea", RATIO)
    await shop.count(100)
    await eventually(shop.has(mall=25, app=0, shared=75))
    await shop.move(10)
    await eventually(shop.has(mall=27, app=0, shared=83))  # of 27.5 and 82.5 the shared one gets it
    await shop.move(-50)
    await eventually(shop.has(mall=15, app=0, shared=45))
    assert await shop.buy("1", 40, "app") == 202
    await shop.move(-5)
    await eventually(shop.has(mall=4, app=0, shared=11))
    reasons = await shop.pg.fetch("SELECT DISTINCT reason, reference FROM grants WHERE seq > 1")
    assert {tuple(row) for row in reasons} == {("stock", "tea@1")}
    await certificate(shop.api)


async def test_a_first_count_takes_the_place_of_declared_units(shop, eventually):
    await shop.put("/v1/supply-policies/tea", {**RATIO, "shared": 40})
    await eventually(shop.has(mall=10, app=0, shared=30))
    assert await shop.buy("1", 6) == 202
    await shop.count(14)  # of which six were sold before anybody counted
    await eventually(shop.has(mall=2, app=0, shared=6))
    await certificate(shop.api)


async def test_a_loss_is_short_names_orders_and_ends_with_a_receipt(shop, eventually):
    await shop.put("/v1/supply-policies/tea", RATIO)
    await shop.count(12)
    await eventually(shop.has(mall=3, shared=9))
    for number, units in (("1", 4), ("2", 3), ("3", 2)):
        assert await shop.buy(number, units, "app") == 202
    # what is not recorded yet would be short in a second event
    await eventually(lambda: shop.pg.fetchval("SELECT sum(held + sold) = 9 FROM pools"))
    await shop.move(-8)
    await eventually(shop.has(mall=0, app=0, shared=0))

    async def told(lacking):
        assert await shop.shorts() == [lacking]
        return True

    await eventually(lambda: told((5, 5, True)))
    await eventually(lambda: shop.events("stock_short"))
    (event,) = await shop.events("stock_short")
    order = dict(await shop.pg.fetch("SELECT channel_order_id, order_id FROM orders"))
    assert event["orders"] == [[order["3"], 2], [order["2"], 3]]
    assert (event["units"], event["orders_in_all"], event["complete"]) == (5, 2, True)
    assert await shop.buy("4", 1, "app") == "sold_out"
    await shop.api.cancel(order["2"], "c")  # its units come free, and are taken back
    await eventually(lambda: told((2, 5, True)))
    await eventually(shop.has(mall=0, shared=0))
    await shop.move(3)
    await eventually(lambda: told((0, 5, False)))
    await eventually(shop.has(mall=0, shared=1))
    (ended,) = await shop.events("stock_short_ended")
    assert (ended["sku"], ended["units"]) == ("tea", 5)
    assert len(await shop.events("stock_short")) == 1
    await certificate(shop.api)


async def test_a_policy_of_all_reaches_skus_that_come_later(shop, eventually):
    wide = {"all": True, "channels": [{"channel": "mall", "quota": 5}, {"channel": "app"}]}
    made = await shop.put("/v1/supply-policies/wide", wide)
    assert (made["all"], made["sku"]) == (True, "")
    await shop.put("/v1/skus/new", {"name": "new"})
    await shop.count(8, "new")
    await eventually(lambda: shop.offers("mall", "new"))
    assert await shop.buy("1", 8, sku="new") == 202
    await shop.put("/v1/supply-policies/own", {"sku": "new", "channels": [{"channel": "mall"}]})
    await shop.move(4, "new")

    async def shared():
        assert (await shop.free("mall", sku="new"), await shop.free(sku="new")) == (0, 4)
        return True

    await eventually(shared)
    assert await shop.free(sku="tea") is None, "nobody ever counted it"
    await certificate(shop.api)


async def test_groups_of_nodes_are_shared_apart_and_drawn_from_in_order(shop, eventually):
    for node, group in (("E", "east"), ("W", "west")):
        await shop.put(f"/v1/nodes/{node}", {"name": node, "group": group})
    await shop.put("/v1/skus/oolong", {"name": "oolong", "category": "drinks"})
    mall = {"channel": "mall", "quota": 2, "draw_order": ["own", "shared:west", "shared"]}
    drinks = {"category": "drinks", "node_groups": ["east", "west"], "channels": [mall]}
    await shop.put("/v1/supply-policies/drinks", drinks)
    await shop.count(5, "oolong", "E")
    await shop.count(4, "oolong", "W")
    await shop.count(9, "oolong", "N")  # of a group that the policy does not stand over

    async def pools():
        sql = "SELECT node_group, channel, available, sold + held FROM pools ORDER BY 1, 2"
        return [tuple(row) for row in await shop.pg.fetch(sql)]

    async def are(*wanted):
        assert await pools() == list(wanted)
        return True

    await eventually(lambda: are(("east", "", 3, 0), ("east", "mall", 2, 0), ("west", "", 4, 0)))
    assert await shop.buy("1", 7, sku="oolong") == 202
    await eventually(lambda: are(("east", "", 2, 1), ("east", "mall", 0, 2), ("west", "", 0, 4)))
    assert await shop.buy("2", 3, sku="oolong") == "sold_out"
    await certificate(shop.api)


async def assigned(shop, order, units):
    name = Assignment(order, 1, "N", 1)
    async with shop.api.process.pool.acquire() as db, db.transaction():
        wanted = [assignments.Wanted(name, "", "tea", units)]
        await assignments.assign(db, "main", wanted, datetime.now(UTC))
    return name


@pytest.mark.parametrize("change", [{"group": "east"}, {"controlled_by": "supplier"}])
async def test_a_node_that_orders_got_units_of_stays_where_it_is(shop, eventually, change):
    await shop.put("/v1/supply-policies/tea", RATIO)
    await shop.count(8)
    await eventually(shop.has(mall=2, shared=6))
    assert await shop.buy("1", 3, "app") == 202
    etag = (await shop.api.call("GET", "/v1/nodes/N")).headers["ETag"]
    name = await assigned(shop, "1", 3)
    answer = await shop.api.call("PUT", "/v1/nodes/N", {"name": "N", **change}, If_Match=etag)
    (field,) = change
    assert (answer.status, answer.code) == (409, "conflict"), answer.document
    assert f"make a new node with the other {field}" in answer.document["detail"]
    assert (await shop.api.call("GET", "/v1/nodes/N")).headers["ETag"] == etag
    body = {"name": "the same", "enabled": True}
    await shop.put("/v1/nodes/N", body, If_Match=etag)  # anything else may change
    async with shop.api.process.pool.acquire() as db, db.transaction():
        await assignments.cancel(db, "main", [name], datetime.now(UTC))
    etag = (await shop.api.call("GET", "/v1/nodes/N")).headers["ETag"]
    await shop.put("/v1/nodes/N", {"name": "N", **change}, If_Match=etag)


async def test_a_channel_that_becomes_a_marketplace_is_planned_as_one(shop, eventually):
    policy = {"sku": "tea", "channels": [{"channel": "mall", "quota": 6}, {"channel": "app"}]}
    await shop.put("/v1/supply-policies/tea", policy)
    await shop.count(10)
    await eventually(shop.has(mall=6, shared=4))
    etag = (await shop.api.call("GET", "/v1/channels/mall")).headers["ETag"]
    external = {"name": "mall", "authority": "external"}
    await shop.put("/v1/channels/mall", external, If_Match=etag)
    assert await shop.pg.fetchval("SELECT count(*) FROM stock_changes WHERE sku = 'cup'") == 0

    async def planned():
        return not await shop.pg.fetchval("SELECT count(*) FROM stock_changes")

    await eventually(planned)
    policy["channels"][0]["quota"] = 1
    etag = (await shop.api.call("GET", "/v1/supply-policies/tea")).headers["ETag"]
    await shop.put("/v1/supply-policies/tea", policy, If_Match=etag)

    async def excess():
        return await shop.pg.fetchval("SELECT sum(units) FROM pool_excess") == 5

    await eventually(excess)
    assert await shop.free("mall") == 6, "its buyers see them"
    etag = (await shop.api.call("GET", "/v1/channels/mall")).headers["ETag"]
    await shop.put("/v1/channels/mall", {"name": "mall"}, If_Match=etag)
    await eventually(shop.has(mall=1, shared=9))  # nothing but the channel has changed
    await certificate(shop.api)


async def test_a_channel_whose_pools_changed_their_group_has_one_row(shop, eventually):
    await shop.put("/v1/nodes/E", {"name": "E", "group": "east"})
    policy = {"sku": "tea", "channels": [{"channel": "mall", "quota": 3}, {"channel": "app"}]}
    await shop.put("/v1/supply-policies/tea", policy)
    await shop.count(10)
    await shop.count(5, node="E")
    await eventually(shop.has(mall=3, shared=7))
    etag = (await shop.api.call("GET", "/v1/supply-policies/tea")).headers["ETag"]
    east = policy | {"node_groups": ["east"]}
    await shop.put("/v1/supply-policies/tea", east, If_Match=etag)

    async def rows(query=""):
        answer = await shop.api.call("GET", f"/v1/stock?sku=tea{query}")
        return answer.document

    async def there():
        found = (await rows())["items"]
        assert {one["channel"]: (one["own"], one["shared"]) for one in found} == {
            "app": (0, 2), "mall": (3, 2),
        }  # fmt: skip
        assert [one["channel"] for one in found] == ["app", "mall"]
        return True

    await eventually(there)
    assert await shop.pg.fetchval("SELECT count(*) FROM pools WHERE channel = 'mall'") == 2
    first = await rows("&limit=1")
    second = await rows(f"&limit=1&cursor={first['next_cursor']}")
    assert [one["items"][0]["channel"] for one in (first, second)] == ["app", "mall"]


async def test_a_rule_that_begins_takes_units_off_sale_in_its_time(shop, eventually):
    await shop.put("/v1/supply-policies/tea", {"sku": "tea", "channels": [{"channel": "app"}]})
    await shop.count(20)
    await eventually(shop.has(shared=20))
    begins, ends = (datetime.now(UTC) + timedelta(seconds=n) for n in (2, 4))
    safety = {
        "kind": "safety", "match": {"sku": "tea"}, "units": 6, "enabled": True,
        "reason": "counting", "from": begins.isoformat(), "until": ends.isoformat(),
    }  # fmt: skip
    await shop.put("/v1/stock-rules/safety", safety)
    await eventually(shop.has(shared=14))
    assert 0 <= (datetime.now(UTC) - begins).total_seconds() < 1.5
    await eventually(shop.has(shared=20))
    assert (datetime.now(UTC) - ends).total_seconds() >= 0


async def test_waves_come_at_their_time_and_are_nobodys_before(shop, eventually):
    now = datetime.now(UTC)
    at = now + timedelta(seconds=3)
    await shop.put("/v1/supply-policies/tea", {"sku": "tea", "channels": [{"channel": "app"}]})
    await shop.count(20)
    await eventually(shop.has(shared=20))
    campaign = {
        "name": "Sale", "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(hours=1)).isoformat(),
        "skus": [{"sku": "tea", "quota": {"mall": 4}}, {"sku": "cup"}],
        "waves": [{"at": at.isoformat(), "quota": {"mall": 6}, "sku": "tea"}],
    }  # fmt: skip
    await shop.put("/v1/campaigns/sale", campaign)
    await eventually(shop.has(shared=10))
    assert await shop.free("mall", "sale") == 4
    while await shop.free("mall", "sale") == 4:  # noqa: ASYNC110 - what is measured is when
        await asyncio.sleep(0.01)
    late = (datetime.now(UTC) - at).total_seconds()
    assert 0 <= late < 1
    assert await shop.free("mall", "sale") == 10
    assert await shop.free() == 10
    await certificate(shop.api)


async def test_a_campaign_that_ends_gives_back_and_stock_is_still_planned(shop, eventually):
    now = datetime.now(UTC)
    await shop.put("/v1/supply-policies/tea", {"sku": "tea", "channels": [{"channel": "app"}]})
    await shop.count(20)
    campaign = {
        "name": "Sale", "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(seconds=3)).isoformat(),
        "skus": [{"sku": "tea", "quota": {"mall": 8}}],
    }  # fmt: skip
    await shop.put("/v1/campaigns/sale", campaign)
    await eventually(shop.has(shared=12))
    assert await shop.buy("1", 5, campaign="sale") == 202
    await eventually(shop.has(shared=15), within_s=15)
    await shop.move(2)
    await eventually(shop.has(shared=17))
    await shop.api.cancel(id_of("1"), "c")
    await eventually(shop.has(shared=22))
    await shop.move(-1)
    await eventually(shop.has(shared=21))
    await certificate(shop.api)
    assert await shop.pg.fetchval("SELECT sum(granted) FROM pools") == 21


async def test_a_campaign_follows_its_sku_to_the_nodes_that_are_counted_first(shop, eventually):
    """No policy says of whose stock it sells; nothing is counted until it has sold some."""
    now = datetime.now(UTC)
    campaign = {
        "name": "Sale", "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(hours=1)).isoformat(),
        "skus": [{"sku": "tea", "quota": {"mall": 10}}],
    }  # fmt: skip
    await shop.put("/v1/campaigns/sale", campaign)

    async def are(*wanted):
        sql = "SELECT node_group, campaign, available, held + sold FROM pools ORDER BY 1, 2, 3 DESC"
        assert [tuple(row) for row in await shop.pg.fetch(sql)] == list(wanted)
        return True

    await eventually(lambda: are(("", "sale", 10, 0)))
    assert await shop.buy("1", 4, campaign="sale") == 202
    await eventually(lambda: are(("", "sale", 6, 4)))
    await shop.put("/v1/nodes/E", {"name": "E", "group": "east"})
    await shop.count(30, node="E")
    await eventually(lambda: are(("east", "", 20, 0), ("east", "sale", 6, 4)))
    assert await shop.shorts() == []
    assert await shop.buy("2", 6, campaign="sale") == 202
    assert await shop.buy("3", 1, campaign="sale") == "sold_out"
    await shop.count(25, node="E")
    await eventually(lambda: are(("east", "", 15, 0), ("east", "sale", 0, 10)))
    policy = {"sku": "tea", "node_groups": ["east"], "channels": [{"channel": "app"}]}
    await shop.put("/v1/supply-policies/tea", policy)
    await eventually(lambda: are(("east", "", 15, 0), ("east", "", 0, 0), ("east", "sale", 0, 10)))
    await eventually(lambda: shop.offers("app", "tea"))
    assert await shop.buy("4", 15, "app") == 202
    assert await shop.buy("5", 1, "app") == "sold_out"
    await certificate(shop.api)


async def test_a_policy_that_moves_a_quota_gives_nothing_twice(shop, eventually):
    policy = {"sku": "tea", "channels": [{"channel": "mall", "quota": 10}, {"channel": "app"}]}
    await shop.put("/v1/supply-policies/tea", policy)
    await shop.count(10)
    await eventually(shop.has(mall=10, app=0, shared=0))
    other = {"sku": "tea", "channels": [{"channel": "mall"}, {"channel": "app", "quota": 10}]}
    put = await shop.put("/v1/supply-policies/tea", other, If_Match='"1"')
    assert put["published"]
    assert await shop.has(mall=0, app=10, shared=0)()
    await certificate(shop.api)


async def test_a_move_stays_among_the_nodes_of_a_group(shop, eventually):
    await shop.put("/v1/supply-policies/tea", {"sku": "tea", "shared": 5, "channels": []})
    await eventually(shop.has(shared=5))
    body = {"move_id": "1", "sku": "tea", "units": 1, "from": {}, "to": {"node_group": "east"}}
    answer = await shop.api.call("POST", "/v1/pools:move", body)
    assert (answer.status, answer.document["errors"][0]["pointer"]) == (400, "/to/node_group")


async def test_a_movement_is_for_sale_within_a_second(shop, eventually):
    """200 movements over HTTP, one after the other: from the answer to the cell."""
    await shop.put("/v1/supply-policies/tea", {"sku": "tea", "channels": [{"channel": "app"}]})
    await shop.count(10_000)
    await eventually(shop.has(shared=10_000))
    times, units = [], 10_000
    for n in range(200):
        change = -7 if n % 3 == 0 else 11
        units += change
        begun = time.monotonic()
        await shop.move(change)
        while await shop.free() != units:
            assert time.monotonic() - begun < 5
            await asyncio.sleep(0.002)
        times.append(time.monotonic() - begun)
    times.sort()
    print(f"p50 {times[100]:.3f} s, p99 {times[197]:.3f} s, most {times[-1]:.3f} s")  # noqa: T201
    assert times[197] < 1
