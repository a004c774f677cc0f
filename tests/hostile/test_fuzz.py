"""Bodies, paths and queries that are almost right, at every call there is.

A seed is printed (and can be given in HOSTILE_SEED): the same seed sends the same requests.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from urllib.parse import quote

import pytest

from engine import settings as settings_of
from engine.app import document
from engine.kernel import codec
from tests.conftest import eventually
from tests.fault.engines import an_order, campaign_of, id_of
from tests.hostile.mutants import mutants, sample
from tests.hostile.wire import JSON, KEY, is_safe, order, read_one, request, talk

SEED = int(os.environ.get("HOSTILE_SEED", "20261111"))
MUTANTS, MUTANTS_LONG = 60, 5_000  # of each call with a body; of an order ten times as many
GROWTH_MAX = 64_000_000  # bytes, over the whole of a run
DESCRIBED = document()
PARTS = DESCRIBED["components"]["schemas"]
# Of what is signed with another secret nothing is read (tests/hostile/test_wms.py).
SIGNED = {"/v1/wms/{node}/callbacks"}
CALLS = [
    (method.upper(), path, item[method])
    for path, item in DESCRIBED["paths"].items()
    for method in item
    if method != "parameters"
]
WRITES = sorted(  # orders first, while their campaign is as it was put
    (call for call in CALLS if "requestBody" in call[2] and call[1] not in SIGNED),
    key=lambda call: "/orders" not in call[1],
)
IDS = ["A", "mall", "sale", "first", id_of("first"), "nothing", "%00", "%ff", "%ed%a0%80", "..",
       "%2e%2e%2f", "a" * 129, "a" * 128, quote("李" * 128), "%0d%0aX-A:%20b", "-", "0",
       "%F0%9F%92%A5", "'%20OR%201=1", "*", "%25", "{}", "%7f"]  # fmt: skip
QUERIES = [*IDS, "", "1", "0", "-1", "501", "99999999999999999999", "1.5", "%C2%B2", "null", "W10",
           "WyJhIl0", "W251bGxd", "W3t9XQ", "WyJcdTAwMDAiXQ", "WyJhIiwiYiJd",
           "Wzk5OTk5OTk5OTk5OTk5OTk5OTld", "2026-11-11", "2026-11-11T00:00:00Z",
           "9999-12-31T23:59:59-12:00", "true", "%F0%28"]  # fmt: skip
ELASTIC = {"elastic": {"floor": {"mall": 1}, "ceiling": 1.5, "step": 0.1, "horizon_seconds": 20}}


def named(calls):
    return [f"{method} {path}" for method, path, _ in calls]


SNAPSHOT = {"channel": "bazaar", "campaign": "", "version": "1", "source_status": "paid",
            "placed_at": "2026-11-11T00:00:00Z"}  # fmt: skip
MANY = {"/v1/orders:batch": "mall", "/v1/orders:sync": "bazaar"}
HEADERS = [KEY, JSON, "Prefer: respond-async"]


@pytest.fixture(autouse=True)
def told():
    print(f"HOSTILE_SEED={SEED}")  # noqa: T201 - shown when a test fails


def filled(rng, path, ids=IDS):
    return re.sub(r"\{\w+\}", lambda _: rng.choice(ids), path)


class Line:
    """One connection that is kept, and opened again when the engine ends it."""

    def __init__(self, engine):
        self.engine, self.streams = engine, None

    async def ask(self, raw):
        reader, writer = self.streams or await asyncio.open_connection(
            "127.0.0.1", self.engine.port
        )
        self.streams = (reader, writer)
        try:
            writer.write(raw)
            one = await read_one(reader)
            is_safe(one)
        except BaseException:
            await self.close()
            raise
        if one.headers.get("connection") == "close" or one.status in {400, 413}:
            await self.close()
        return one

    async def close(self):
        if self.streams:
            self.streams[1].close()
            self.streams = None


def good_body(rng, path, described):
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    whole = sample(schema, PARTS, rng)
    if path in MANY:
        for one in whole["orders"]:
            one["channel"] = MANY[path]  # what nobody knows is looked up, and that has its own test
    number = f"f-{rng.randrange(10**9)}"
    by_hand = {
        "/v1/orders": an_order(number),
        "/v1/orders:batch": {"orders": [an_order(number), an_order(number + "-2")]},
        "/v1/orders:sync": {"orders": [an_order(number) | SNAPSHOT]},
        "/v1/campaigns/{campaign}": campaign_of({"A": 5})[-1][1] | ELASTIC,
        "/v1/keys": {"name": number, "scopes": ["orders:read"], "channel": "mall"},
    }
    return rng.choice([whole, by_hand.get(path, whole)])


@pytest.fixture(scope="module", autouse=True)
def bazaar(engine):
    """A channel whose orders are sold already, for the snapshots."""
    body = {"name": "Bazaar", "authority": "external"}
    assert asyncio.run(engine.call("PUT", "/v1/channels/bazaar", body))[0] == 201


async def fuzz(engine, method, path, described, many):
    rng = random.Random(f"{SEED} {method} {path}")
    line, statuses = Line(engine), Counter()
    before = engine.rss()
    for _ in range(max(many // 10, 1)):
        good = good_body(rng, path, described)
        for raw in islice(mutants(rng, good), 10):
            first = f"{method} {filled(rng, path, IDS[:6])} HTTP/1.1"
            try:
                one = await line.ask(
                    request(
                        first, KEY, JSON, "Prefer: respond-async", f"Content-Length: {len(raw)}"
                    )
                    + raw
                )
            except Exception as wrong:
                raise AssertionError(f"{first}\n{raw[:2_000]!r}") from wrong
            statuses[one.status] += 1
    await line.close()
    print(f"{method} {path}: {dict(statuses)}")  # noqa: T201 - shown with -s
    assert statuses[400]
    grown = engine.rss() - before
    assert grown < GROWTH_MAX, f"{grown:,} bytes more"
    engine.alive()


@pytest.mark.parametrize(("method", "path", "described"), WRITES, ids=named(WRITES))
async def test_bodies_that_are_almost_right(engine, method, path, described):
    many = MUTANTS * 10 if path == "/v1/orders" else MUTANTS
    await fuzz(engine, method, path, described, many)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize(("method", "path", "described"), WRITES, ids=named(WRITES))
async def test_bodies_that_are_almost_right_for_long(engine, method, path, described):
    many = MUTANTS_LONG * 10 if path == "/v1/orders" else MUTANTS_LONG
    await fuzz(engine, method, path, described, many)


@pytest.mark.parametrize(("method", "path", "described"), CALLS, ids=named(CALLS))
async def test_paths_and_queries_that_are_almost_right(engine, method, path, described):
    rng = random.Random(f"{SEED} {method} {path}")
    named = [one["name"] for one in described.get("parameters", []) if one["in"] == "query"]
    line = Line(engine)
    for _ in range(15):
        pairs = [
            f"{rng.choice([*named, 'x'])}={rng.choice(QUERIES)}" for _ in range(rng.randrange(4))
        ]
        target = filled(rng, path) + ("?" + "&".join(pairs) if pairs else "")
        first = f"{method} {target} HTTP/1.1"
        try:
            await line.ask(request(first, *HEADERS, "Content-Length: 0"))
        except Exception as wrong:
            raise AssertionError(first) from wrong
    await line.close()
    engine.alive()


# fmt: off
TYPES = {
    "none":               (None, 415),
    "text":               ("text/plain", 415),
    "a form":             ("application/x-www-form-urlencoded", 415),
    "a multipart":        ("multipart/form-data; boundary=a", 415),
    "xml":                ("application/xml", 415),
    "json in latin-1":    ("application/json; charset=latin-1", 415),
    "json in utf-16":     ("application/json; charset=utf-16", 415),
    "json and more":      ("application/json, text/plain", 415),
    "json of a kind":     ("application/vnd.api+json", 415),
    "empty":              ("", 415),
    "json in utf-8":      ("application/json; charset=utf-8", 202),
    "JSON":               ('APPLICATION/JSON;charset="UTF-8"', 202),
}
# fmt: on


@pytest.mark.parametrize(("kind", "status"), TYPES.values(), ids=TYPES)
async def test_only_json_in_utf_8_is_read(engine, kind, status):
    body = b'{"channel":"mall"}' if status == 415 else ordered(f"typed-{kind}")
    lines = [] if kind is None else [f"Content-Type: {kind}"]
    for path in ("/v1/orders", "/v1/keys") if status == 415 else ("/v1/orders",):
        raw = request(f"POST {path} HTTP/1.1", KEY, *lines, body=body)
        (one,) = await talk(engine.port, raw)
        is_safe(one)
        assert one.status == status, one


def ordered(number):
    return codec.encode(an_order(number))


async def test_of_a_key_given_twice_every_process_takes_the_last(engine):
    """Refusing it would cost each order 1.8 us; harmless as long as nobody here takes the first."""
    raw = ordered("twice").replace(b'"quantity":1', b'"quantity":7,"quantity":3')
    raw = raw.replace(b'"buyer_id"', b'"channel":"nothing","channel":"mall","buyer_id"')
    (one,) = await talk(engine.port, order(raw))
    assert one.status == 202, one
    assert [line["quantity"] for line in one.document["lines"]] == [3]
    (again,) = await talk(engine.port, order(raw))
    assert again.headers["idempotency-replayed"] == "true"
    (same,) = await talk(engine.port, order(ordered("twice").replace(b'ity":1', b'ity":3')))
    assert same.headers["idempotency-replayed"] == "true"
    (other,) = await talk(engine.port, order(ordered("twice").replace(b'ity":1', b'ity":7')))
    assert (other.status, other.code) == (422, "idempotency_conflict")

    async def recorded():
        return await engine.sql(
            "SELECT quantity, o.channel FROM order_lines JOIN orders o USING (order_id)"
            " WHERE order_id = $1", id_of("twice"),
        )  # fmt: skip

    (row,) = await eventually(recorded, within_s=10)
    assert tuple(row) == (3, "mall"), "the recorder decodes the same bytes"


@pytest.mark.parametrize("path", ["/v1/orders:batch", "/v1/orders:sync"])
async def test_orders_of_channels_nobody_knows_are_looked_up_all_at_once(engine, path):
    """Each may be a moment old; but 500 of them may not wait for 500 readings."""
    orders = [an_order(f"nobody-{n}") | SNAPSHOT | {"channel": f"nobody-{n}"} for n in range(24)]
    body = codec.encode({"orders": orders})
    begun = time.monotonic()
    (one,) = await talk(engine.port, request(f"POST {path} HTTP/1.1", KEY, JSON, body=body))
    assert {each["status"] for each in one.document["results"]} == {400}
    assert time.monotonic() - begun < 1.5


def test_after_all_that_everything_adds_up(engine):
    """The last test of this module: what was fuzzed above is certified."""
    environment = settings_of.environment(engine.settings)
    told = subprocess.run(
        [sys.executable, "-m", "engine", "verify"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert "certificate: holds" in told.stdout
