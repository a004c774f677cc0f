"""The hot routes below the application answers what the application would, byte for byte."""

import asyncio
import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engine.infra.http import fast
from engine.infra.http.runner import Runner
from engine.infra.http.server import edge, raw_body
from engine.kernel import codec
from engine.kernel.errors import Closed, SoldOut, Unauthorised
from engine.kernel.limits import BODY_BYTES_MAX

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
# What may differ between two answers to the same request.
VARYING = {"date", "x-request-id", "retry-after"}


async def handle(request):
    """Answer what the body asks for."""
    asked = codec.decode_json(await raw_body(request, 2 * BODY_BYTES_MAX))
    match asked:
        case "sold_out":
            raise SoldOut(line=1, sku="A")
        case "closed":
            raise Closed
        case "unauthorised":
            raise Unauthorised
        case "away":
            raise ConnectionRefusedError("10.0.0.1")
        case "bug":
            raise KeyError("a secret inside")
        case _:
            body = codec.encode({"asked": asked})
            return fast.Answer(202, {"Location": "/v1/orders/o"}, body)


async def ordinary(request):
    return fast.respond(await handle(request))


async def handle_named(name, request):
    """Answer with the name that stood in the path."""
    answer = await handle(request)
    return answer._replace(headers={"Location": f"/{name}"})


async def ordinary_named(request):
    return fast.respond(await handle_named(request.match_info["name"], request))


class Ours(TestServer):
    """An aiohttp test server on the runner that production uses."""

    async def _make_runner(self, **named):
        return Runner(self.app, **named)


@pytest.fixture
async def servers():
    """The same handler behind the application, with the front before it, and on our connections.

    The last one answers these requests without making a request of aiohttp's of them.
    """
    made = []
    for in_front, runner in ((False, None), (True, None), (True, Runner)):
        app = web.Application(middlewares=[edge()], client_max_size=BODY_BYTES_MAX)
        app.add_routes([
            web.post("/v1/orders", ordinary),
            web.post("/v1/orders/{name}/payments", ordinary_named),
        ])  # fmt: skip
        server = TestServer(app) if runner is None else Ours(app)
        await server.start_server()
        if in_front:
            serving = server.runner.server
            serving.request_handler = fast.Front(
                "POST", "/v1/orders", handle, serving.request_handler,
                {"payments": handle_named},
            )  # fmt: skip
        made.append(server)
    yield made
    for server in made:
        await server.close()


async def ask(server, head, body=b""):
    """Send bytes as they stand; return the status line, headers in lower case, and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        return await answer_from(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def answer_from(reader):
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    if status.startswith("HTTP/1.1 100"):
        return await answer_from(reader)
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        assert name.lower() not in headers, f"{name} twice"
        headers[name.lower()] = value
    return status, headers, await reader.readexactly(int(headers["content-length"]))


def head(body, version="1.1", path="/v1/orders", method="POST", **more):
    named = {"Host": "test", "Content-Type": "application/json", "Content-Length": len(body)}
    named |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = "".join(f"{name}: {value}\n" for name, value in named.items() if value is not None)
    return f"{method} {path} HTTP/{version}\n{lines}"


BIG = codec.encode("x" * (BODY_BYTES_MAX + 1))

# fmt: off
REQUESTS = {
    "accepted":             (b'"tea"',          {}),
    "a problem":            (b'"sold_out"',     {}),
    "a problem to retry":   (b'"closed"',       {}),
    "without a key":        (b'"unauthorised"', {}),
    "a server is away":     (b'"away"',         {}),
    "a bug":                (b'"bug"',          {}),
    "another content type": (b'"tea"',          {"Content_Type": "text/plain"}),
    "no content type":      (b'"tea"',          {"Content_Type": None}),
    "with a trace":         (b'"tea"',          {"traceparent": TRACE}),
    "with a bad trace":     (b'"tea"',          {"traceparent": "00-x"}),
    "to be closed after":   (b'"tea"',          {"Connection": "close"}),
    "by HTTP/1.0":          (b'"tea"',          {"version": "1.0"}),
    "a problem, HTTP/1.0":  (b'"sold_out"',     {"version": "1.0"}),
    "with an expectation":  (b'"tea"',          {"Expect": "100-continue"}),
    "with a query":         (b'"tea"',          {"path": "/v1/orders?a=b"}),
    "escaped":              (b'"tea"',          {"path": "/v1/%6frders"}),
    "another path":         (b'"tea"',          {"path": "/v1/order"}),
    "another method":       (b'"tea"',          {"method": "PUT"}),
    "too large":            (BIG,               {}),
    "below, by a name":     (b'"tea"',          {"path": "/v1/orders/ab12/payments"}),
    "below, with a query":  (b'"tea"',          {"path": "/v1/orders/ab12/payments?a=b"}),
    "below, a problem":     (b'"sold_out"',     {"path": "/v1/orders/ab12/payments"}),
    "below, odd names":     (b'"tea"',          {"path": "/v1/orders/a-b/payments"}),
    "below, escaped":       (b'"tea"',          {"path": "/v1/orders/a%2Fb/payments"}),
    "below, no name":       (b'"tea"',          {"path": "/v1/orders//payments"}),
    "below, another key":   (b'"tea"',          {"path": "/v1/orders/ab12/cancel"}),
    "below, too deep":      (b'"tea"',          {"path": "/v1/orders/ab12/payments/x"}),
    "below, too long":      (b'"tea"',          {"path": "/v1/orders/" + "a" * 200 + "/payments"}),
    "a broken encoding":    (b'"tea"',          {"Content_Encoding": "gzip"}),
}
# fmt: on


@pytest.mark.parametrize(("body", "more"), REQUESTS.values(), ids=REQUESTS)
async def test_both_ways_answer_the_same(servers, body, more):
    answers = [await ask(server, head(body, **more), body) for server in servers]
    for _, headers, _ in answers:
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", headers["x-request-id"])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["server"] == "tidegate"
    told = [
        (status, {name: headers[name] for name in headers.keys() - VARYING}, sorted(headers), text)
        for status, headers, text in answers
    ]
    assert told[0] == told[1] == told[2]


async def test_chunks_without_a_length_are_bounded_both_ways(servers):
    text = head(b"", Content_Length=None, Transfer_Encoding="chunked")
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BIG), BIG)
    answers = [await ask(server, text, body) for server in servers]
    for status, headers, document in answers:
        assert status == "HTTP/1.1 413 Request Entity Too Large"
        assert headers["content-type"] == "application/problem+json"
        assert codec.decode_json(document)["code"] == "payload_too_large"


async def test_nothing_about_a_bug_goes_out(servers):
    for server in servers:
        status, _, text = await ask(server, head(b'"bug"'), b'"bug"')
        assert status.startswith("HTTP/1.1 500")
        assert codec.decode_json(text)["code"] == "internal"
        assert b"secret" not in text


# fmt: off
REQUEST_IDS = {
    "a sane one is kept":  ("abc/DEF:1.2-3", True),
    "a long one is not":   ("x" * 129,       False),
    "a strange one is not": ("a b",          False),
    "an empty one is not": ("",              False),
}
# fmt: on


@pytest.mark.parametrize(("given", "kept"), REQUEST_IDS.values(), ids=REQUEST_IDS)
async def test_a_request_id(servers, given, kept):
    for server in servers:
        text = head(b'"tea"', X_Request_Id=given)
        _, headers, _ = await ask(server, text, b'"tea"')
        assert (headers["x-request-id"] == given) is kept


async def test_a_connection_is_used_again_and_answers_come_in_order(servers):
    *_, server = servers
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    bodies = [b'"a"', b'"sold_out"', b'"b"', b'"bug"', b'"c"']
    for body in bodies:
        writer.write(head(body).replace("\n", "\r\n").encode() + b"\r\n" + body)
    answers = [await answer_from(reader) for _ in bodies]
    writer.close()
    await writer.wait_closed()
    assert [status.split(" ")[1] for status, _, _ in answers] == ["202", "409", "202", "500", "202"]
    asked = [codec.decode_json(text).get("asked") for _, _, text in answers]
    assert asked == ["a", None, "b", None, "c"]
    assert len({headers["x-request-id"] for _, headers, _ in answers}) == len(bodies)


async def test_a_client_that_left_is_nobodys_error(servers):
    *_, server = servers
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head(b'"tea"').replace("\n", "\r\n").encode() + b"\r\n" + b'"tea"')
    writer.transport.abort()
    assert (await ask(server, head(b'"tea"'), b'"tea"'))[0].endswith("202 Accepted")
    assert reader is not None
