"""Reference data from HTTP to the cell and back into Postgres, on real servers."""

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import OpenAPIV31SpecValidator

from engine.campaigns import api as campaigns
from engine.catalogue import api as catalogue
from engine.channels import api as channels
from engine.infra import cell as cells
from engine.infra import keys as valkey_keys
from engine.infra import postgres
from engine.infra.http import keys, openapi
from engine.infra.http.auth import Directory, ensure_admin_key
from engine.infra.http.server import build
from engine.infra.runtime import Runtime
from engine.inventory import api as inventory
from engine.inventory.consumer import publisher
from engine.kernel.clock import SystemClock
from engine.orders.recorder import Recorder
from engine.physical import api as physical
from engine.publications import api as publications

ADMIN = "an-admin-key-of-the-tests"
SLICES = (keys, catalogue, channels, campaigns, physical, inventory, publications)
OPERATIONS = [one for slice_ in SLICES for one in slice_.OPERATIONS]


class World:
    """One instance in one process: API, publisher and recorder over the test's servers."""

    def __init__(self, runtime, client, pg):
        self.runtime, self.client, self.pg = runtime, client, pg
        self.tasks = {}
        self.orders = 0

    def start(self, name, work):
        self.tasks[name] = asyncio.get_running_loop().create_task(work)

    async def stop(self, name):
        """Cancel until it ends: a driver may swallow one cancellation (engine/infra/tasks.py)."""
        task = self.tasks.pop(name)
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.5)

    async def call(self, method, path, body=None, status=None, key=ADMIN, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Authorization"] = f"Bearer {key}"
        answer = await self.client.request(method, path, json=body, headers=headers)
        text = await answer.text()
        if status is not None:
            assert answer.status == status, text
        answer.document = msgspec.json.decode(text) if text else None
        return answer

    async def put(self, path, body, status=201, **headers):
        return await self.call("PUT", path, body, status, **headers)

    async def buy(self, campaign, channel, sku, quantity=1, buyer="b1"):
        """Reserve through the cell's own script; returns its verdict."""
        self.orders += 1
        claim = [
            f"o{self.orders}", "print", "main", channel, campaign, buyer, "CNY", 100, "", "", 0,
            [[sku, quantity, 100, "refuse"]], [], [], 0, "test", "",
        ]  # fmt: skip
        reply = await self.runtime.cell.call("reserve", [claim], [b"{}"])
        return reply.results[0]

    async def pool(self, campaign, channel, sku):
        """Return granted, available and whether it ended, as the cell has it."""
        pool_id = await self.pg.fetchval(
            "SELECT pool_id FROM pools WHERE campaign = $1 AND channel = $2 AND sku = $3",
            campaign, channel, sku,
        )  # fmt: skip
        packed = await self.runtime.cell.redis.hget(valkey_keys.of("1", "pools"), pool_id or "")
        if packed is None:
            return None
        pool = msgspec.msgpack.decode(packed)
        return pool[0], pool[2], pool[7]


async def open_cell(cell, pg):
    row = await pg.fetchrow("UPDATE cells SET epoch = epoch + 1 RETURNING epoch, identity, last_id")
    for step in ("restoring", "open"):
        claims = [row["identity"], row["last_id"]]
        await cell.call("open", claims, argument=step, epoch=row["epoch"])


@asynccontextmanager
async def world_of(settings, pg):
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            await postgres.open_pool(settings.database_url, size_max=10)
        )
        made = []
        for _ in range(3):
            redis = await stack.enter_async_context(cells.client(settings.valkey_url))
            made.append(cells.Cell(redis, settings.cell, clock))
        await pg.execute("INSERT INTO cells (cell, identity) VALUES ('1', 'test')")
        await open_cell(made[0], pg)
        for cell in made:
            await cell.refresh()
        await ensure_admin_key(pg, ADMIN, "main")
        directory = Directory(pool, clock)
        runtimes = [
            Runtime(settings=settings, clock=clock, pool=pool, cell=cell, process="test")
            for cell in made
        ]
        routes = [route for slice_ in SLICES for route in slice_.routes()]
        routes += openapi.routes(OPERATIONS, "test")
        app = build(runtimes[0], directory, routes, {})
        client = await stack.enter_async_context(TestClient(TestServer(app)))
        world = World(runtimes[0], client, pg)
        world.cells = made
        world.publisher = lambda: publisher(runtimes[1])
        recorder = Recorder(made[2], settings.database_url, clock, "test", keep_seconds=60)
        world.recorder = recorder.run
        world.start("publisher", world.publisher())
        world.start("recorder", world.recorder())
        try:
            yield world
        finally:
            for name in list(world.tasks):
                await world.stop(name)


@pytest.fixture
async def world(settings, pg):
    async with world_of(settings, pg) as made:
        yield made


def at(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def campaign(starts=-60, ends=3600, **fields):
    return {
        "name": "双11",
        "starts_at": at(starts),
        "ends_at": at(ends),
        "skus": [{"sku": "tea", "quota": {"mall": 5}}],
        **fields,
    }


async def shelf(world):
    await world.put("/v1/skus/tea", {"name": "Tea"})
    await world.put("/v1/channels/mall", {"name": "Mall"})
    await world.put("/v1/channels/app", {"name": "App"})


POLICY = {
    "sku": "tea",
    "shared": 20,
    "channels": [{"channel": "mall", "quota": 3, "shared_cap": 4}, {"channel": "app"}],
}


async def test_a_put_creates_changes_and_repeats(world):
    first = await world.put("/v1/skus/tea", {"name": "Tea"}, 201)
    assert (first.headers["ETag"], first.headers["Location"]) == ('"1"', "/v1/skus/tea")
    same = await world.put("/v1/skus/tea", {"name": "Tea"}, 200)
    assert same.headers["ETag"] == '"1"'
    second = await world.put("/v1/skus/tea", {"name": "Green tea"}, 200)
    assert second.headers["ETag"] == '"2"'
    shown = await world.call("GET", "/v1/skus/tea", status=200)
    assert (shown.headers["ETag"], shown.document["name"]) == ('"2"', "Green tea")
    rows = await world.pg.fetch("SELECT version, actor FROM reference_versions ORDER BY version")
    assert [tuple(row) for row in rows] == [(1, "admin"), (2, "admin")]


# If-Match on a SKU at version 1: what is sent, and the answer to a changed and an unchanged body.
@pytest.mark.parametrize(
    ("sent", "changed", "unchanged"),
    [
        ('"1"', 200, 200),
        ("*", 200, 200),
        ('"7", "1"', 200, 200),
        ('"2"', 412, 412),
        ('W/"1"', 412, 412),
        ("1", 412, 412),
    ],
)
async def test_if_match_is_honoured(world, sent, changed, unchanged):
    await world.put("/v1/skus/tea", {"name": "Tea"})
    await world.put("/v1/skus/tea", {"name": "Tea"}, unchanged, If_Match=sent)
    await world.put("/v1/skus/tea", {"name": "Other"}, changed, If_Match=sent)
    await world.put("/v1/skus/cup", {"name": "Cup"}, 412, If_Match=sent)


@pytest.mark.parametrize("path", ["skus", "nodes", "channels"])
async def test_lists_page_to_the_end(world, path):
    for name in "abc":
        await world.put(f"/v1/{path}/{name}", {"name": name})
    names, cursor = [], ""
    while cursor is not None:
        page = await world.call("GET", f"/v1/{path}?limit=2&cursor={cursor}", status=200)
        names += [one[path[:-1]] for one in page.document["items"]]
        cursor = page.document["next_cursor"]
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["skus", "nodes", "channels", "campaigns", "supply-policies"])
async def test_what_is_not_there_is_404(world, kind):
    answer = await world.call("GET", f"/v1/{kind}/nothing", status=404)
    assert answer.document["code"] == "not_found"


async def test_a_campaign_sells_as_soon_as_its_put_is_answered(world):
    await shelf(world)
    made = await world.put("/v1/campaigns/d11", campaign())
    assert made.document["published"] is True
    assert (await world.buy("d11", "mall", "tea", 5))[0] == "RESERVED"
    assert (await world.buy("d11", "mall", "tea"))[0] == "SOLD_OUT"
    assert (await world.buy("d11", "app", "tea"))[0] == "UNKNOWN_SKU"


async def test_an_offer_reaches_the_cell_within_300_ms(world, eventually):
    """Measured from the commit of the PUT, which does not wait for it."""
    await shelf(world)
    loop = asyncio.get_running_loop()
    times = []
    for n in range(5):
        await world.put(f"/v1/campaigns/d{n}", campaign(), Prefer="respond-async")
        begun = loop.time()
        await eventually(lambda n=n: world.pool(f"d{n}", "mall", "tea"))
        times.append(loop.time() - begun)
    assert sorted(times)[len(times) // 2] < 0.3


async def test_names_that_do_not_exist_are_pointed_at(world):
    await shelf(world)
    body = campaign(skus=[{"sku": "cup", "quota": {"mall": 1, "fair": 1}}])
    answer = await world.put("/v1/campaigns/d11", body, 400)
    pointers = [one["pointer"] for one in answer.document["errors"]]
    assert pointers == ["/skus/0/sku", "/channels/0"]
    zone = await world.put("/v1/campaigns/d11", campaign(timezone="../etc/passwd"), 400)
    assert zone.document["errors"][0]["pointer"] == "/timezone"
    policy = {"sku": "cup", "channels": [{"channel": "fair"}]}
    answer = await world.put("/v1/supply-policies/p", policy, 400)
    pointers = [one["pointer"] for one in answer.document["errors"]]
    assert pointers == ["/channels/0/channel", "/sku"]


async def test_a_running_campaign_changes_by_deltas_and_needs_if_match(world, eventually):
    await shelf(world)
    await world.put("/v1/campaigns/d11", campaign())
    assert (await world.buy("d11", "mall", "tea", 3))[0] == "RESERVED"
    shown = await world.call("GET", "/v1/campaigns/d11")
    kept = {name: shown.document[name] for name in ("name", "starts_at", "ends_at")}
    more = {**kept, "skus": [{"sku": "tea", "quota": {"mall": 8, "app": 2}}]}
    refused = await world.put("/v1/campaigns/d11", more, 428)
    assert refused.document["code"] == "precondition_required"
    await world.put("/v1/campaigns/d11", more, 412, If_Match='"9"')
    changed = await world.put("/v1/campaigns/d11", more, 200, If_Match=shown.headers["ETag"])
    assert changed.document["published"] is True
    assert await world.pool("d11", "mall", "tea") == (8, 5, 0)
    assert await world.pool("d11", "app", "tea") == (2, 2, 0)
    # Shrink below what is held: only what is free is taken, and the next change starts from there.
    await world.put("/v1/campaigns/d11", _quota(kept, mall=1), 200, If_Match='"2"')
    await eventually(_is(world, "d11", "mall", (3, 0, 0)))
    assert await world.pool("d11", "app", "tea") == (0, 0, 0)
    assert (await world.buy("d11", "app", "tea"))[0] == "UNKNOWN_SKU"
    await world.put("/v1/campaigns/d11", _quota(kept, mall=4), 200, If_Match='"3"')
    await eventually(_is(world, "d11", "mall", (4, 1, 0)))


def _quota(kept, **quota):
    return {**kept, "skus": [{"sku": "tea", "quota": quota}]}


def _is(world, campaign_id, channel, wanted):
    async def check():
        assert await world.pool(campaign_id, channel, "tea") == wanted
        return True

    return check


async def test_everyday_sale_takes_its_own_quota_then_shared_up_to_the_cap(world):
    await shelf(world)
    made = await world.put("/v1/supply-policies/tea", POLICY)
    assert made.document["published"] is True
    assert (await world.buy("", "mall", "tea", 5))[0] == "RESERVED"
    assert (await world.buy("", "mall", "tea", 3))[0] == "SOLD_OUT"
    assert (await world.buy("", "mall", "tea", 2))[0] == "RESERVED"
    assert await world.pool("", "mall", "tea") == (3, 0, 0)
    assert await world.pool("", "", "tea") == (20, 16, 0)
    assert (await world.buy("", "app", "tea", 16))[0] == "RESERVED"
    await world.put("/v1/supply-policies/tea", {**POLICY, "shared": 30}, 428)
    await world.put("/v1/supply-policies/tea", {**POLICY, "shared": 30}, 200, If_Match='"1"')
    assert await world.pool("", "", "tea") == (30, 10, 0)


async def test_a_sku_has_one_policy_and_a_policy_one_sku(world):
    await shelf(world)
    await world.put("/v1/skus/cup", {"name": "Cup"})
    await world.put("/v1/supply-policies/tea", POLICY)
    second = await world.put("/v1/supply-policies/other", POLICY, 409)
    assert second.document["policy"] == "tea"
    await world.put("/v1/supply-policies/tea", {**POLICY, "sku": "cup"}, 409, If_Match='"1"')
    moved = await world.put("/v1/skus/tea", {"name": "Tea", "owner": "acme"}, 409)
    assert moved.document["code"] == "conflict"


async def test_a_campaign_may_draw_from_the_shared_pool_and_follows_its_policy(world):
    await shelf(world)
    await world.put("/v1/supply-policies/tea", POLICY)
    skus = [{"sku": "tea", "quota": {"mall": 2}, "draws_shared": True}]
    await world.put("/v1/campaigns/d11", campaign(skus=skus))
    assert (await world.buy("d11", "mall", "tea", 7))[0] == "SOLD_OUT"
    assert (await world.buy("d11", "mall", "tea", 6))[0] == "RESERVED"
    wider = [{"channel": "mall", "quota": 3, "shared_cap": 10}]
    body = {**POLICY, "channels": wider}
    await world.put("/v1/supply-policies/tea", body, 200, If_Match='"1"')
    assert (await world.buy("d11", "mall", "tea", 6))[0] == "RESERVED"


async def test_what_a_campaign_did_not_sell_goes_back_at_its_end(world, eventually):
    await shelf(world)
    await world.put("/v1/campaigns/d11", campaign(ends=1))
    await world.put("/v1/campaigns/keep", campaign(ends=1, at_end="keep"))
    assert (await world.buy("d11", "mall", "tea", 2))[0] == "RESERVED"
    await eventually(_is(world, "d11", "mall", (2, 0, 1)))
    assert await world.pool("", "", "tea") == (3, 3, 0)
    await eventually(
        lambda: world.pg.fetchval("SELECT returned_at FROM campaigns WHERE campaign = 'd11'")
    )
    await eventually(lambda: world.pg.fetchval("SELECT count(*) = 1 FROM pools WHERE ended"))
    body = campaign(ends=3600)
    refused = await world.put("/v1/campaigns/d11", body, 409, If_Match="*")
    assert "gone back" in refused.document["detail"]
    assert await world.pool("keep", "mall", "tea") == (5, 5, 0)


async def test_a_pause_is_effective_with_the_next_order(world, eventually):
    await shelf(world)
    await world.put("/v1/campaigns/d11", campaign())
    for path, scope in (("/v1/campaigns/d11", "campaign"), ("/v1/skus/tea", "sku")):
        paused = await world.call("POST", f"{path}/pause", {"reason": "price"}, 200)
        assert paused.document["paused"] is True
        assert (await world.buy("d11", "mall", "tea"))[:2] == ["PAUSED", scope]
        await eventually(
            lambda scope=scope: world.pg.fetchval(
                "SELECT by = 'admin' AND reason = 'price' FROM pauses WHERE scope = $1", scope
            )
        )
        again = await world.call("POST", f"{path}/pause", {"reason": "other"}, 200)
        assert again.document == paused.document
        resumed = await world.call("POST", f"{path}/resume", {}, 200)
        assert (resumed.document["paused"], resumed.document["since"]) == (False, None)
        assert (await world.buy("d11", "mall", "tea"))[0] == "RESERVED"
    await world.call("POST", "/v1/skus/nothing/pause", {}, 404)


async def test_units_move_between_pools_once(world):
    await shelf(world)
    await world.put("/v1/supply-policies/tea", POLICY)
    body = {"move_id": "m1", "sku": "tea", "from": {}, "to": {"channel": "app"}, "units": 15}
    for _ in range(2):
        moved = await world.call("POST", "/v1/pools:move", body, 200)
        told = [moved.document[name] for name in ("move_id", "units", "state", "listings")]
        assert told == ["m1", 15, "done", []]
    assert await world.pool("", "", "tea") == (5, 5, 0)
    assert await world.pool("", "app", "tea") == (15, 15, 0)
    other = await world.call("POST", "/v1/pools:move", {**body, "units": 1}, 422)
    assert other.document["code"] == "idempotency_conflict"
    short = await world.call("POST", "/v1/pools:move", {**body, "move_id": "m2"}, 409)
    assert (short.document["code"], short.document["available"]) == ("short", 5)
    nowhere = {**body, "move_id": "m3", "to": {"channel": "fair"}}
    await world.call("POST", "/v1/pools:move", nowhere, 404)
    # A later change of the policy is a difference of policies: the moved units stay moved.
    await world.put("/v1/supply-policies/tea", {**POLICY, "shared": 25}, 200, If_Match='"1"')
    assert await world.pool("", "", "tea") == (10, 10, 0)
    assert await world.pool("", "app", "tea") == (15, 15, 0)


async def test_stock_shows_what_each_channel_may_sell(world, eventually):
    await shelf(world)
    await world.put("/v1/supply-policies/tea", POLICY)
    await world.put("/v1/campaigns/d11", campaign())

    async def shown():
        answer = await world.call("GET", "/v1/stock?sku=tea", status=200)
        assert answer.document["as_of"]
        assert [tuple(one.values()) for one in answer.document["items"]] == [
            ("tea", "app", "", 20, 0, 20),
            ("tea", "mall", "", 7, 3, 4),
            ("tea", "mall", "d11", 5, 5, 0),
        ]
        return True

    await eventually(shown)
    first = await world.call("GET", "/v1/stock?limit=2")
    cursor = first.document["next_cursor"]
    rest = await world.call("GET", f"/v1/stock?limit=2&cursor={cursor}")
    assert [one["campaign"] for one in rest.document["items"]] == ["d11"]


async def test_while_the_cell_is_closed_documents_are_kept_and_published_later(world, eventually):
    await shelf(world)
    cell = world.runtime.cell
    await cell.call("close", ["a test"], argument="0", epoch=cell.epoch)
    made = await world.put("/v1/campaigns/d11", campaign())
    assert made.document["published"] is False
    await world.call("POST", "/v1/skus/tea/pause", {}, 503)
    await open_cell(cell, world.pg)
    for one in world.cells:
        await one.refresh()

    async def published():
        answer = await world.call("GET", "/v1/campaigns/d11", status=200)
        return answer.document["published"]

    await eventually(published)
    assert (await world.buy("d11", "mall", "tea"))[0] == "RESERVED"


async def test_a_publisher_that_starts_again_sends_nothing_twice(world, eventually):
    """The recorder is away, so nothing is folded and everything is sent again."""
    await shelf(world)
    await world.stop("recorder")
    made = await world.put("/v1/campaigns/d11", campaign())
    assert made.document["published"] is True
    await world.stop("publisher")
    sent = await world.pg.fetchval("SELECT max(sent_at) FROM grants")
    world.start("publisher", world.publisher())
    await eventually(lambda: world.pg.fetchval("SELECT bool_and(sent_at > $1) FROM grants", sent))
    assert await world.pool("d11", "mall", "tea") == (5, 5, 0)
    world.start("recorder", world.recorder())
    await eventually(lambda: world.pg.fetchval("SELECT bool_and(applied = delta) FROM grants"))


async def test_two_publishers_do_the_work_once(world, eventually):
    await shelf(world)
    world.start("second", world.publisher())
    for n in range(10):
        await world.put(f"/v1/campaigns/d{n}", campaign(), Prefer="respond-async")

    async def done():
        for n in range(10):
            assert await world.pool(f"d{n}", "mall", "tea") == (5, 5, 0)
        return True

    await eventually(done)
    assert await world.pg.fetchval("SELECT max(seq) FROM grants") == 1


async def test_grants_that_the_cell_lost_are_sent_again_in_order(world, eventually):
    """A cell that forgot a pool (lost power, profile `memory`) asks for the first grant again."""
    await shelf(world)
    await world.stop("recorder")
    await world.put("/v1/supply-policies/tea", POLICY)
    pool = await world.pg.fetchval("SELECT pool_id FROM pools WHERE channel = ''")
    await world.runtime.cell.redis.hdel(valkey_keys.of("1", "pools"), pool)
    await world.put("/v1/supply-policies/tea", {**POLICY, "shared": 30}, 200, If_Match='"1"')
    await eventually(lambda: world.pool("", "", "tea"))
    assert await world.pool("", "", "tea") == (30, 30, 0)


async def test_every_call_needs_a_key_and_is_described(world):
    document = await (await world.client.get("/openapi.json")).json()
    OpenAPIV31SpecValidator(document).validate()
    described = document["paths"]
    seen = set()
    for route in world.client.app.router.routes():
        path = route.resource.canonical
        if not path.startswith("/v1/") or route.method == "HEAD":
            continue
        seen.add((route.method.lower(), path))
        assert route.method.lower() in described[path], path
        concrete = re.sub(r"\{\w+\}", "x", path)
        answer = await world.client.request(route.method, concrete, json={})
        assert answer.status == 401, path
    assert len(seen) > 20
    assert {
        (method, path) for path, item in described.items() for method in item
        if method != "parameters"
    } == seen  # fmt: skip


async def test_a_bound_key_sees_its_channel_alone(world):
    await shelf(world)
    await world.put("/v1/supply-policies/tea", POLICY)
    scopes = ["stock:read", "stock:write"]
    body = {"name": "mall shop", "scopes": scopes, "channel": "mall"}
    key = (await world.call("POST", "/v1/keys", body, 201)).document["key"]
    await world.call("GET", "/v1/channels/mall", status=200, key=key)
    await world.call("GET", "/v1/channels/app", status=404, key=key)
    page = await world.call("GET", "/v1/channels", status=200, key=key)
    assert [one["channel"] for one in page.document["items"]] == ["mall"]
    stock = await world.call("GET", "/v1/stock", status=200, key=key)
    assert {one["channel"] for one in stock.document["items"]} == {"mall"}
    await world.call("GET", "/v1/stock?channel=app", status=404, key=key)
    await world.call("GET", "/v1/supply-policies/tea", status=403, key=key)
    await world.call("PUT", "/v1/campaigns/d11", campaign(), status=403, key=key)
    await world.call("POST", "/v1/skus/tea/pause", {}, status=403, key=key)


async def test_text_that_postgres_cannot_keep_is_refused_not_crashed_on(world):
    await shelf(world)
    bad = "a\x00"
    bodies = {
        "/v1/skus/x": [{"name": bad}, {"name": "a", "attributes": {bad: 1}}],
        "/v1/nodes/x": [{"name": bad}, {"name": "a", "extensions": {"a": [bad]}}],
        "/v1/channels/x": [{"name": bad}, {"name": "a", "platform": bad}],
        "/v1/campaigns/x": [
            campaign(name=bad),
            campaign(kind=bad),
            campaign(timezone=bad),
            campaign(channels=[bad]),
            campaign(skus=[{"sku": bad}]),
            campaign(skus=[{"sku": "tea", "quota": {bad: 1}}]),
        ],
        "/v1/supply-policies/x": [
            {"sku": bad},
            {"sku": "tea", "owner": bad},
            {"sku": "tea", "channels": [{"channel": bad}]},
        ],
    }
    for path, cases in bodies.items():
        for body in cases:
            await world.put(path, body, 400)
    move = {"move_id": "m", "sku": "tea", "from": {"channel": bad}, "to": {}, "units": 1}
    await world.call("POST", "/v1/pools:move", move, 400)
    await world.call("POST", "/v1/skus/tea/pause", {"reason": bad}, 400)
    await world.call("POST", "/v1/keys", {"name": bad, "scopes": ["admin"]}, 400)
    await world.call("GET", "/v1/skus/a%00b", status=400)


async def test_a_node_says_where_it_is_and_whose(world):
    body = {
        "name": "Shenzhen", "kind": "3PL", "owner": "A carrier", "controlled_by": "supplier",
        "enabled": False,
        "address": {"country": "CN", "province": "广东省", "city": "深圳市", "district": "南山区",
                    "region_code": "440305", "address": "1 Road", "latitude": 22.5,
                    "longitude": 113.9},
    }  # fmt: skip
    made = await world.put("/v1/nodes/sz", body)
    shown = await world.call("GET", "/v1/nodes/sz", status=200)
    assert shown.document == made.document
    assert {name: shown.document[name] for name in body} == body
    await world.put("/v1/nodes/sz", body, 200)
    assert (await world.call("GET", "/v1/nodes/sz")).document["version"] == 1
    for wrong, pointer in [
        ({"controlled_by": "them"}, "/controlled_by"),
        ({"kind": "SHOP"}, "/kind"),
        ({"address": {"latitude": 91}}, "/address/latitude"),
        ({"address": {"city": "a\x00"}}, "/address/city"),
        ({"owner": "a\x00"}, "/owner"),
    ]:
        answer = await world.put("/v1/nodes/sz", {"name": "a", **wrong}, 400)
        assert answer.document["errors"][0]["pointer"] == pointer
