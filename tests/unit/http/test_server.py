"""The edge around every handler, over a real socket but without servers behind it."""

import re
from typing import Annotated

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from asyncpg.exceptions._base import (
    DataError,
)  # what the driver raises; the public one is the server's

from engine.infra.http import health
from engine.infra.http.server import body_of, edge, json_response, path_id, query_id
from engine.kernel import codec
from engine.kernel.errors import Closed
from engine.kernel.limits import BODY_BYTES_MAX

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Note(codec.Wire, frozen=True):
    text: Annotated[str, msgspec.Meta(max_length=10)]


decode = codec.Decoder(Note)


async def _echo(request):
    return json_response(await body_of(request, decode, 1_000))


async def _fail(_request):
    inside = "inside"  # a line of code may be told, what was in it may not
    raise KeyError(f"a secret {inside}")


async def _closed(_request):
    raise Closed


async def _away(_request):
    raise ConnectionRefusedError("10.0.0.1")


async def _unsendable(_request):
    inside = "inside"
    raise DataError(f"invalid input for query argument $1: a secret {inside}")


async def _sku(request):
    return json_response({"sku": path_id(request, "sku"), "channel": query_id(request, "channel")})


async def _well():
    return ""


async def _unwell():
    raise OSError("no route")


@pytest.fixture
async def client():
    app = web.Application(middlewares=[edge()], client_max_size=BODY_BYTES_MAX)
    app.add_routes(
        [
            web.post("/echo", _echo),
            web.get("/fail", _fail),
            web.get("/closed", _closed),
            web.get("/away", _away),
            web.get("/unsendable", _unsendable),
            web.get("/skus/{sku}", _sku),
            *health.routes({"well": _well, "cell": _unwell}),
        ]
    )
    async with TestClient(TestServer(app)) as made:
        yield made


async def _problem(response):
    assert response.content_type == "application/problem+json"
    return (await response.json(content_type=None))["code"]


async def test_every_answer_has_an_id_and_the_safe_headers(client):
    answers = [await client.get(path) for path in ("/healthz", "/fail", "/nowhere", "/closed")]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "tidegate"
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


async def test_a_sane_id_and_a_trace_are_carried_through(client):
    headers = {"X-Request-Id": "shop-1:42", "traceparent": TRACE}
    answer = await client.get("/healthz", headers=headers)
    assert answer.headers["X-Request-Id"] == "shop-1:42"
    assert answer.headers["traceparent"] == TRACE


async def test_an_insane_id_is_replaced(client):
    answer = await client.get("/healthz", headers={"X-Request-Id": "a b", "traceparent": "x"})
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", answer.headers["X-Request-Id"])
    assert "traceparent" not in answer.headers


@pytest.mark.parametrize(
    ("path", "kind", "where"),
    [("/fail", "KeyError", "_fail"), ("/unsendable", "DataError", "_unsendable")],
)
async def test_an_unexpected_error_tells_nothing(client, capsys, path, kind, where):
    answer = await client.get(path)
    assert answer.status == 500
    assert "secret" not in await answer.text()
    logged = capsys.readouterr().out
    assert "a secret inside" not in logged
    assert kind in logged
    assert where in logged
    assert answer.headers["X-Request-Id"] in logged


async def test_a_server_that_is_away_is_a_reason_to_come_back(client):
    answer = await client.get("/away")
    assert (answer.status, await _problem(answer)) == (503, "overloaded")
    assert "10.0.0.1" not in await answer.text()
    assert answer.headers["Retry-After"]


async def test_a_wrong_method_names_the_right_one(client):
    answer = await client.put("/echo", json={})
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert await _problem(answer) == "method_not_allowed"


# fmt: off
BODIES = {
    "json":            (200, '{"text":"hi"}',            "application/json"),
    "json in utf-8":   (200, '{"text":"hi"}',            "application/json; charset=UTF-8"),
    "a form":          (415, "text=hi",                  "application/x-www-form-urlencoded"),
    "another charset": (415, '{"text":"hi"}',            "application/json; charset=gbk"),
    "too long a body": (413, '{"text":"' + "x" * 1_000,  "application/json"),
    "not as shaped":   (400, '{"text":"' + "x" * 11 + '"}', "application/json"),
}
# fmt: on


@pytest.mark.parametrize(("status", "body", "kind"), BODIES.values(), ids=BODIES)
async def test_bodies(client, status, body, kind):
    answer = await client.post("/echo", data=body, headers={"Content-Type": kind})
    assert answer.status == status


async def test_a_long_body_in_chunks_is_refused_too(client):
    async def chunks():
        for _ in range(40):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    answer = await client.post("/echo", data=chunks(), headers=headers)
    assert (answer.status, await _problem(answer)) == (413, "payload_too_large")


async def test_ids_of_path_and_query_are_checked(client):
    answer = await client.get("/skus/a%2Fb", params={"channel": "天猫"})
    assert await answer.json() == {"sku": "a/b", "channel": "天猫"}
    assert (await client.get("/skus/a%00")).status == 400
    assert (await client.get("/skus/a", params={"channel": "\x1f"})).status == 400


async def test_ready_says_what_is_missing(client):
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "missing": {"cell": "OSError: no route"}}


AWAY = "OSError: no route"
# fmt: off
NOTED = {
    "nothing":      (_well,   _well,   200, {"ready": True, "missing": {}}),
    "a note":       (_well,   _unwell, 200, {"ready": True, "missing": {}, "noted": {"b": AWAY}}),
    "both":         (_unwell, _unwell, 503, {"ready": False, "missing": {"a": AWAY},
                                             "noted": {"b": AWAY}}),
}
# fmt: on


@pytest.mark.parametrize(("check", "note", "status", "document"), NOTED.values(), ids=NOTED)
async def test_what_is_only_noted_leaves_a_process_ready(check, note, status, document):
    app = web.Application(middlewares=[edge()])
    app.add_routes(health.routes({"a": check}, {"b": note}))
    async with TestClient(TestServer(app)) as one:
        answer = await one.get("/readyz")
        assert (answer.status, await answer.json()) == (status, document)


async def test_metrics_are_plain_text(client):
    answer = await client.get("/metrics")
    assert answer.status == 200
    assert "python_info" in await answer.text()
