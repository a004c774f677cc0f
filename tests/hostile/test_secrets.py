"""What nobody may read in a log, nor a client in an error: keys, addresses, phones, notes."""

import asyncio
from collections import Counter

import msgspec
import pytest

from engine.infra.http.server import SAFE_HEADERS
from tests.conftest import eventually
from tests.fault.engines import ADMIN, an_order, id_of
from tests.hostile.wire import JSON, KEY, order, request, talk

MARK = "XSECRETX"
PHONE = "13800138000"
SHIP_TO = {"name": f"{MARK} 李", "phone": PHONE, "province": MARK, "city": MARK, "address": MARK,
           "postcode": MARK, "consignee_id": MARK}  # fmt: skip
BAD_KEY = f"Authorization: Bearer tgk_{MARK}_{MARK}"


def full(number, **fields):
    return an_order(
        number, ship_to=SHIP_TO, buyer_note=MARK, seller_note=MARK, invoice={"title": MARK},
        buyer_keys={"phone": PHONE, "address": MARK}, extensions={MARK: [MARK, PHONE]}, tags=[MARK],
        **fields,
    )  # fmt: skip


def raw(number, **fields):
    return msgspec.json.encode(full(number, **fields))


GET = "GET /v1/orders HTTP/1.1"
GOOD = raw("secret-0")
# fmt: off
HOSTILE = {
    "an order":             order(GOOD),
    "it again":             order(GOOD),
    "it changed":           order(GOOD.replace(b'"quantity":1', b'"quantity":2')),
    "cut":                  order(GOOD[:-40]),
    "no UTF-8":             order(GOOD.replace(b"XSECRETX \xe6", b"XSECRETX \xff")),
    "a wrong phone":        order(raw("s-1").replace(f'"{PHONE}"'.encode(), PHONE.encode())),
    "a long address":       order(raw("s-2").replace(b'"address":"', b'"address":"' + b"a" * 600)),
    "an address of NUL":    order(raw("s-3").replace(b'"address":"', b'"address":"\\u0000')),
    "an address in a list": order(raw("s-4").replace(b'"XSECRETX"', b'["XSECRETX"]')),
    "a lone surrogate":     order(raw("s-5").replace(b'"XSECRETX"', b'"XSECRETX\\ud800"')),
    "a wrong SKU":          order(raw("s-6", lines=[full("x")["lines"][0] | {"sku": "Z"}])),
    "a wrong total":        order(raw("s-7", amounts={"payable": {"amount": 1, "currency": "X"}})),
    "a bad key":            request(GET, BAD_KEY),
    "a bad key twice":      request(GET, BAD_KEY, BAD_KEY),
    "a key without Bearer": request(GET, f"Authorization: {MARK}"),
    "a basic key":          request(GET, f"Authorization: Basic {MARK}"),
    "a key with a NUL":     request(GET, f"{KEY}{MARK}\x00"),
    "a key without end":    request(GET, f"{BAD_KEY}{'a' * 9_000}"),
    "a key and no colon":   request(GET, f"Authorization Bearer {MARK}"),
    "a key in the query":   request(f"GET /v1/orders?key={MARK}&cursor={MARK} HTTP/1.1", KEY),
    "a phone in the query": request(f"GET /v1/orders?placed_from={PHONE} HTTP/1.1", KEY),
    "a key as a method":    request(f"{MARK} /v1/orders HTTP/1.1", KEY),
    "a key as a version":   request(f"GET /v1/orders HTTP/{MARK}"),
    "a body with no type":  request("POST /v1/orders HTTP/1.1", KEY, body=GOOD),
    "a wrong expectation":  order(GOOD, f"Expect: {MARK}"),
    "a broken chunk":       request("POST /v1/orders HTTP/1.1", KEY, JSON,
                                    "Transfer-Encoding: chunked") + b"zz\r\n" + GOOD,
    "a wrong packing":      order(GOOD, "Content-Encoding: gzip"),
    "a wrong length":       order(GOOD, f"Content-Length: {MARK}"),
    "no HTTP":              f"{MARK} {PHONE}\r\n\r\n".encode(),
    "a key in a cookie":    request(GET, KEY, f"Cookie: session={MARK}"),
    "a trace":              request("TRACE / HTTP/1.1", KEY, f"X-Phone: {PHONE}"),
}
# fmt: on


@pytest.fixture(scope="module")
def told(engine):
    """What all that was answered, once everything is recorded and everything is logged."""

    async def send():
        found = {}
        for name, one in HOSTILE.items():
            found[name] = await talk(engine.port, one)
        key = {"name": "seen", "scopes": ["orders:write", "orders:read"], "channel": "mall"}
        _, made = await engine.call("POST", "/v1/keys", key)
        order_id = id_of("secret-0")
        pay = {"payment_id": MARK, "method": MARK, "amount": {"amount": 7, "currency": "CNY"}}
        for path, body in [("payments", pay), ("cancel", {"cancel_id": MARK, "reason": MARK})]:
            await engine.call("POST", f"/v1/orders/{order_id}/{path}", body, made["key"])
        await engine.call("DELETE", f"/v1/keys/{made['key_id']}")

        async def recorded():
            return await engine.sql("SELECT 1 FROM orders WHERE order_id = $1", order_id)

        await eventually(recorded, within_s=10)
        return found, made["key"].rpartition("_")[2]

    return asyncio.run(send())


async def test_the_traffic_was_what_it_should_be(told):
    """If this fails, the tests below prove nothing: most of it is refused, for many reasons."""
    statuses = Counter(one.status for replies in told[0].values() for one in replies)
    assert statuses[202] == 1, [name for name, each in told[0].items() if each[0].status == 202]
    assert statuses[200] >= 1
    assert statuses[400] >= 12
    assert statuses[401] >= 4
    assert {415, 417, 422} <= set(statuses)


async def test_no_log_of_any_process_tells_a_secret(engine, told):
    logs = engine.logged()
    assert '"event":"not_http"' in logs, "refusals are logged, so there was something to hide"
    for secret in (MARK, PHONE, ADMIN, told[1], "省", "李"):
        assert secret not in logs, [line for line in logs.splitlines() if secret in line][:3]
    for line in logs.splitlines():
        assert isinstance(msgspec.json.decode(line), dict), "one JSON document a line"


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_refusal_repeats_what_was_sent(told, name):
    for one in told[0][name]:
        if one.status >= 400:
            assert MARK.encode() not in one.body, one
            assert PHONE.encode() not in one.body, one
            assert ADMIN.encode() not in one.body, one


@pytest.mark.parametrize("name", HOSTILE)
async def test_every_answer_has_the_headers_of_every_answer(told, name):
    for one in told[0][name]:
        for header, value in SAFE_HEADERS.items():
            assert one.headers[header.lower()] == value
        assert one.headers["x-request-id"]
        assert "set-cookie" not in one.headers
        assert not {"x-powered-by", "via"} & set(one.headers)


async def test_a_secret_is_nowhere_kept(engine, told):
    """Of a key only its digest; of an address one copy, in its order."""
    rows = await engine.sql("SELECT api_keys::text AS row FROM api_keys")
    assert rows
    for secret in (ADMIN, told[1]):
        assert not any(secret in row["row"] for row in rows)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_what_needs_no_key_tells_no_secret(engine, told, path):
    (one,) = await talk(engine.port, request(f"GET {path} HTTP/1.1"))
    assert one.status == 200
    for secret in (MARK, PHONE, ADMIN, told[1], engine.settings.database_url, "postgres://"):
        assert secret.encode() not in one.body
    for header, value in SAFE_HEADERS.items():
        assert one.headers[header.lower()] == value
