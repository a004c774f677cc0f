"""A key that is not good for something learns nothing by trying, at every call there is.

Each call of the OpenAPI document is made twice: with ids of another channel, and with ids that are
unknown. The two answers must be the same bytes, and nothing may have changed. A call that is added
is tried here without a line of ours.
"""

import asyncio
import random
import re
from typing import NamedTuple
from urllib.parse import quote

import asyncpg
import msgspec
import pytest
import redis

from engine.app import document
from engine.infra import keys
from engine.kernel.ids import line_id
from engine.kernel.ids import order_id as order_id_of
from tests.conftest import eventually
from tests.fault.engines import ADMIN
from tests.hostile.mutants import sample
from tests.hostile.wire import JSON, is_safe, request, talk

DESCRIBED = document()
PARTS = DESCRIBED["components"]["schemas"]
# What asks for no key: it is signed, and tests/flow/test_wms.py has who may not.
KEYLESS = {"POST /v1/wms/{node}/callbacks"}
CALLS = {
    f"{method.upper()} {path}": item[method]
    for path, item in DESCRIBED["paths"].items()
    for method in item
    if method != "parameters" and f"{method.upper()} {path}" not in KEYLESS
}
SCOPES = ["orders:write", "orders:sync", "orders:read", "stock:write", "stock:read"]
MARK = "OTHERS-SECRET"
# What is the tenant's and no channel's: a SKU's card may be read with any key that reads stock.
SHARED = {"GET /v1/skus", "GET /v1/skus/{sku}"}
# Time passes, and processes renew what is theirs.
MOVING = {"cells", "leases", "duties", "event_cursors", "reference_versions", "checkpoints",
          "certificates", "checkpoint_pools", "schema_migrations", "migrations"}  # fmt: skip
SHIPMENT = """
INSERT INTO shipments (
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, state, state_at,
  reason, capacity_back
) VALUES (
  $1, 'main', $2, $3, 1, $1, 'ship', '[[1, "B-SKU-1", 2, 1]]', 'rejected', now(), $4, true
)
"""
PARCEL = """
INSERT INTO parcels (
  parcel_id, tenant, shipment_id, order_id, carrier, waybill, items, shipped_at
) VALUES ($1 || '-p1', 'main', $1, $2, $3, $4, '[]', now())
"""
WAITING = """
WITH broken AS (
  INSERT INTO broken_promises (tenant, order_id, line_no, sku, node_group, units, reason, since)
  VALUES ('main', $1, 1, 'B-SKU-1', $2, 2, $2, now())
)
INSERT INTO routing_queue (order_id, tenant, queue, reason, facts, row_version)
VALUES ($1, 'main', 'MANUAL', $2, '', '')
"""
WEBHOOK = """
INSERT INTO webhook_endpoints (
  endpoint_id, tenant, url, description, types, patterns, channels, state, cause, actor, cursor
) VALUES ($1, 'main', 'https://a.example', $2, '{}', '{}', '{}', 'disabled', 'by_hand', '', 0)
"""
UNREAD = """
SELECT c.reader FROM events AS e, event_cursors AS c WHERE (e.xid, e.id) > (c.xid, c.id)
"""
MOMENT = re.compile(rb'"as_of":"[^"]*"')
# Of one length each, so that two answers of the same kind are as long.
OTHERS = {"channel": "app1", "channel_order_id": "b-order-1", "campaign": "b-sale-1",
          "sku": "B-SKU-1", "node": "b-node-1", "policy": "b-pol-1", "rule": "b-rule-1",
          "reference": "b-ref-1", "cursor": "", "item_id": "b-item-1",
          "sku_id": "b-isku-1", "move_id": "b-move-1", "service": "b-serv-1",
           "card": "b-card-1", "region": "b-regi-1", "plan": "b-plan-1",
           "n": "1", "endpoint_id": "b-endp-1", "waybill": "b-wayb-1",
           "letter": "job-1"}  # fmt: skip
UNKNOWN = {name: value and value[:-1] + "9" for name, value in OTHERS.items()}


class Ids(NamedTuple):
    """Names of things, by the parameter or field they stand in."""

    named: dict[str, str]

    @classmethod
    def of(cls, named, key_id):
        order_id = order_id_of("main", named["channel"], named["channel_order_id"])
        return cls(
            named | {"order_id": order_id, "line_id": line_id(order_id, 1), "key_id": key_id,
                     "shipment_id": f"{order_id}-s1",
                     "listing": named["item_id"], "code": "manual", "block": "manual"}
        )  # fmt: skip

    def plain(self, body):
        """A body with these ids and what is made of them replaced by their names."""
        for name, value in sorted(self.named.items(), key=lambda pair: -len(pair[1])):
            if len(value) > 1:  # a digit stands everywhere, also where it names nothing
                body = body.replace(value.encode(), f"<{name}>".encode())
        return body


async def all_is_read(engine):
    return not await engine.sql(UNREAD)


@pytest.fixture(scope="module")
def house(engine):
    """Another channel with everything it can have, and keys to try."""

    async def furnish():
        sku, channel, campaign = OTHERS["sku"], OTHERS["channel"], OTHERS["campaign"]
        await put(engine, f"/v1/channels/{channel}", {"name": MARK})
        await put(engine, f"/v1/skus/{sku}", {"name": "a card"})
        await put(engine, f"/v1/nodes/{OTHERS['node']}", {"name": MARK})
        await put(engine, f"/v1/nodes/{OTHERS['node']}/profile", {"tags": [MARK]})
        await carry(engine)
        rule = {"kind": "safety", "match": {"sku": sku}, "units": 0, "reason": MARK}
        await put(engine, f"/v1/stock-rules/{OTHERS['rule']}", rule)
        await put(
            engine,
            f"/v1/campaigns/{campaign}",
            {
                "name": MARK, "starts_at": "2026-01-01T00:00:00Z",
                "ends_at": "2099-01-01T00:00:00Z", "channels": [channel],
                "skus": [{"sku": sku, "quota": {channel: 50}}],
            },
        )  # fmt: skip
        price = {"amount": 100, "currency": "CNY"}
        order = {
            "channel": channel, "channel_order_id": OTHERS["channel_order_id"],
            "campaign": campaign, "buyer_id": MARK, "buyer_note": MARK,
            "lines": [{"sku": sku, "quantity": 2, "unit_price": price}],
        }  # fmt: skip

        async def bought():
            return (await engine.call("POST", "/v1/orders", order))[0] in {200, 202}

        await eventually(bought, within_s=20)

        async def recorded():
            return await engine.sql("SELECT 1 FROM orders WHERE channel = $1", channel)

        await eventually(recorded, within_s=20)
        order_id = order_id_of("main", channel, OTHERS["channel_order_id"])
        await engine.sql(SHIPMENT, f"{order_id}-s1", order_id, OTHERS["node"], MARK)
        await engine.sql(PARCEL, f"{order_id}-s1", order_id, MARK, OTHERS["waybill"])
        await engine.sql(WAITING, order_id, MARK)
        await engine.sql(WEBHOOK, OTHERS["endpoint_id"], MARK)
        made = {}
        for name, scopes, bound in [
            ("ours", SCOPES, "mall"), ("others", SCOPES, channel), ("revoked", ["admin"], ""),
            ("poor", ["stock:read"], ""),
        ]:  # fmt: skip
            body = {"name": f"key of {name}", "scopes": scopes, "channel": bound}
            status, key = await engine.call("POST", "/v1/keys", body)
            assert status == 201, key
            made[name] = key
        gone = made["revoked"]["key_id"]
        assert (await engine.call("DELETE", f"/v1/keys/{gone}"))[0] == 204

        await eventually(
            lambda: all_is_read(engine), within_s=20
        )  # nothing here is still on its way to its readers
        return made

    return asyncio.run(furnish())


async def carry(engine):
    """A carrier that has stopped serving a region, what it costs, a plan, and rules of review."""
    service = {"carrier": MARK, "tier": "standard", "zones": {"*": "a"}, "days": {"a": 1}}
    await put(engine, f"/v1/carriers/{OTHERS['service']}", service)
    off = f"/v1/carriers/{OTHERS['service']}/regions/{OTHERS['region']}"
    await put(engine, off, {"reason": MARK})
    card = {
        "service": OTHERS["service"], "effective_from": "2026-01-01T00:00:00Z",
        "lines": [{"first_grams": 1, "first": 1, "dest": MARK}],
    }  # fmt: skip
    await put(engine, f"/v1/rate-cards/{OTHERS['card']}", card)
    rules = [{"seq": 1, "name": MARK}]
    plan = {"plan": OTHERS["plan"], "stages": [{"seq": 1, "rules": rules}]}
    await put(engine, f"/v1/routing-plans/{OTHERS['plan']}", plan)
    review = [{"name": MARK, "when": "risk > 99", "reason": MARK}]
    await put(engine, "/v1/review-rules", {"rules": review})


async def put(engine, path, body):
    status, told = await engine.call("PUT", path, body)
    assert status == 201, told


def ours(house):
    return house["ours"]["key"]


def body_of(described, ids):
    """A body that the schema allows, with these ids wherever a field has such a name."""
    if "requestBody" not in described:
        return b""
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    return msgspec.json.encode(_named(sample(schema, PARTS, random.Random(11)), ids))


def _named(value, ids):
    if isinstance(value, dict):
        return {
            name: ids[name] if isinstance(one, str) and name in ids else _named(one, ids)
            for name, one in value.items()
        }
    return [_named(one, ids) for one in value] if isinstance(value, list) else value


async def ask(engine, key, call, described, ids, *, queried=True):
    """Make a call with these ids wherever they can stand; `key` "" sends none."""
    method, _, path = call.partition(" ")
    for name, value in ids.named.items():
        path = path.replace(f"{{{name}}}", quote(value))
    assert "{" not in path, f"{call}: say what stands there, above"
    named = [one["name"] for one in described.get("parameters", []) if one["in"] == "query"]
    pairs = [f"{name}={quote(ids.named[name])}" for name in named if ids.named.get(name)]
    target = path + ("?" + "&".join(pairs) if pairs and queried else "")
    lines = [f"{method} {target} HTTP/1.1", JSON, "Prefer: respond-async", "Connection: close"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    (one,) = await talk(engine.port, request(*lines, body=body_of(described, ids.named)))
    is_safe(one)
    return one


async def state(engine):
    """Everything that Postgres and the cell hold of orders, stock and documents."""
    held = {}
    connection = await asyncpg.connect(engine.settings.database_url)
    try:
        tables = await connection.fetch(
            "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        for table in {row["name"] for row in tables} - MOVING:
            rows = await connection.fetch(f"SELECT {table}::text AS row FROM {table}")  # noqa: S608
            held[table] = sorted(row["row"] for row in rows)
    finally:
        await connection.close()
    with redis.Redis.from_url(engine.settings.valkey_url, protocol=2) as client:
        for name in ("pools", "holds", "rules", "counters", "once"):
            key = keys.of("1", name)
            kind = client.type(key)
            held[name] = sorted(client.hgetall(key).items()) if kind == b"hash" else kind
    return held


def same(first, second, one, other):
    """Whether two answers are the same but for the ids that were asked for."""
    told = {"date", "x-request-id", "retry-after", "content-length"}
    heads = [{k: v for k, v in each.headers.items() if k not in told} for each in (first, second)]
    bodies = [
        MOMENT.sub(b"", ids.plain(each.body)) for ids, each in ((one, first), (other, second))
    ]
    return (first.status, heads[0], bodies[0]) == (second.status, heads[1], bodies[1])


@pytest.mark.parametrize("call", CALLS)
async def test_ids_of_another_channel_are_unknown_ids(engine, house, call):
    there = Ids.of(OTHERS, house["others"]["key_id"])
    nowhere = Ids.of(UNKNOWN, "0" * len(house["others"]["key_id"]))
    before = await state(engine)
    for queried in (True, False):
        first = await ask(engine, ours(house), call, CALLS[call], there, queried=queried)
        second = await ask(engine, ours(house), call, CALLS[call], nowhere, queried=queried)
        if call not in SHARED:
            assert same(first, second, there, nowhere), (first, second)
        assert MARK.encode() not in first.body
    assert await state(engine) == before


async def test_control_the_channels_own_key_sees_what_the_other_does_not(engine, house):
    """If this fails, the test above proves nothing."""
    there = Ids.of(OTHERS, house["others"]["key_id"])
    for call in ("GET /v1/orders/{order_id}", "GET /v1/orders", "GET /v1/channels/{channel}",
                 "GET /v1/routing-queue", "GET /v1/broken-promises"):  # fmt: skip
        own = await ask(engine, house["others"]["key"], call, CALLS[call], there, queried=False)
        assert (own.status, MARK.encode() in own.body) == (200, True), own


ALL_OF_IT = {"amount": 200, "currency": "CNY"}
GOOD = {
    "payments": {"payment_id": "p-1", "amount": ALL_OF_IT},
    "cancel": {"cancel_id": "c-1"},
    "refunds": {"refund_id": "r-1", "kind": "cancel", "amount": ALL_OF_IT, "state": "requested"},
    "blocks": {"code": "manual", "reason": "a reason"},
}


@pytest.mark.parametrize(
    "what", [one for one in GOOD if f"POST /v1/orders/{{order_id}}/{one}" in CALLS]
)
async def test_what_would_be_right_is_not_found_with_the_wrong_key(engine, house, what):
    """Bodies that the order's own channel could send: no rule of theirs answers before the key."""
    there, nowhere = Ids.of(OTHERS, "k"), Ids.of(UNKNOWN, "k")
    before = await state(engine)
    replies = []
    for ids in (there, nowhere):
        path = f"/v1/orders/{ids.named['order_id']}/{what}"
        raw = request(
            f"POST {path} HTTP/1.1", JSON, f"Authorization: Bearer {ours(house)}",
            body=msgspec.json.encode(GOOD[what]),
        )  # fmt: skip
        replies += await talk(engine.port, raw)
    assert [one.status for one in replies] == [404, 404]
    assert same(*replies, there, nowhere)
    assert await state(engine) == before


async def test_an_order_of_another_channel_is_refused_whether_or_not_it_is_there(engine, house):
    price = {"amount": 100, "currency": "CNY"}
    before, replies = await state(engine), []
    for ids in (Ids.of(OTHERS, "k"), Ids.of(UNKNOWN, "k")):
        body = {
            "channel": ids.named["channel"], "channel_order_id": ids.named["channel_order_id"],
            "campaign": ids.named["campaign"], "buyer_id": MARK,
            "lines": [{"sku": ids.named["sku"], "quantity": 2, "unit_price": price}],
        }  # fmt: skip
        snapshot = body | {"version": "1", "placed_at": "2026-11-11T00:00:00Z",
                           "source_status": "paid"}  # fmt: skip
        for path, whole in (
            ("/v1/orders", body),
            ("/v1/orders:batch", {"orders": [body]}),
            ("/v1/orders:sync", {"orders": [snapshot]}),
        ):
            if f"POST {path}" in CALLS:
                raw = request(
                    f"POST {path} HTTP/1.1", JSON, f"Authorization: Bearer {ours(house)}",
                    body=msgspec.json.encode(whole),
                )  # fmt: skip
                replies += await talk(engine.port, raw)
    half = len(replies) // 2
    there, nowhere = Ids.of(OTHERS, "k"), Ids.of(UNKNOWN, "k")
    for first, second in zip(replies[:half], replies[half:], strict=True):
        assert same(first, second, there, nowhere), (first, second)
        assert b"bound to another channel" in first.body
    assert await state(engine) == before


def bad_keys(house):
    good = ours(house)
    secret = good.rpartition("_")[2]
    return {
        "none": "",
        "revoked": house["revoked"]["key"],
        "a letter more": good + "x",
        "a letter less": good[:-1],
        "another letter": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "another case": good.swapcase(),
        "only its id": good.removesuffix(secret),
        "only its secret": secret,
        "the id of another": good.replace(house["ours"]["key_id"], house["others"]["key_id"]),
        "the admin's id": f"tgk_admin_{secret}",
        "a digest": "a" * 64,
        "twice": f"{good} {good}",
        "a comma": f"{good},{ADMIN}",
        "long": "tgk_" + "a" * 8_000,
        "no ASCII": "tgk_\xe4_\xff",
        "an SQL": "tgk_' OR '1'='1_x",
        "a prefix of the admin's": ADMIN[:-1],
    }


KINDS = list(bad_keys({"ours": {"key": "tgk_a_b", "key_id": "a"}, "others": {"key_id": "c"},
                       "revoked": {"key": ""}}))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_that_is_none_gets_one_answer_wherever_it_is_tried(engine, house, kind):
    there = Ids.of(OTHERS, house["others"]["key_id"])
    nowhere = Ids.of(UNKNOWN, "0" * len(house["others"]["key_id"]))
    key, before, told = bad_keys(house)[kind], await state(engine), set()
    for call, described in CALLS.items():
        for ids in (there, nowhere):
            one = await ask(engine, key, call, described, ids)
            assert one.status == 401, (call, one)
            assert one.headers["www-authenticate"] == "Bearer"
            told.add(one.body)
    assert len(told) == 1, told
    assert (b"not known or was revoked" in told.pop()) == (kind != "none"), "all bad ones alike"
    assert await state(engine) == before


async def test_a_key_without_the_scope_gets_one_answer_wherever_it_is_tried(engine, house):
    there = Ids.of(OTHERS, house["others"]["key_id"])
    nowhere = Ids.of(UNKNOWN, "0" * len(house["others"]["key_id"]))
    before, tried = await state(engine), 0
    for call, described in CALLS.items():
        if "`stock:read`" in described["description"]:
            continue  # the one it has
        tried += 1
        first = await ask(engine, house["poor"]["key"], call, described, there)
        second = await ask(engine, house["poor"]["key"], call, described, nowhere)
        assert (first.status, first.code) == (403, "forbidden"), (call, first)
        assert same(first, second, there, nowhere)
    assert tried > len(CALLS) / 3
    assert await state(engine) == before


async def test_a_revoked_key_ends_within_two_seconds_though_it_was_in_use(engine):
    body = {"name": "short-lived", "scopes": ["orders:read"], "channel": "mall"}
    _, made = await engine.call("POST", "/v1/keys", body)
    assert (await engine.call("GET", "/v1/orders", key=made["key"]))[0] == 200
    await engine.call("DELETE", f"/v1/keys/{made['key_id']}")

    async def ended():
        return (await engine.call("GET", "/v1/orders", key=made["key"]))[0] == 401

    await eventually(ended, within_s=2)
