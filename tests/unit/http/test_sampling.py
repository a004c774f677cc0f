"""One request in so many is logged, on both ways, and nothing of it that may be a person's."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from structlog.testing import capture_logs

from engine.infra.http import fast, sampling
from engine.infra.http.server import edge
from engine.kernel import codec
from tests.unit.http.test_fast import TRACE, Ours

ORDER = "f7f335ee7020c188fdd0d28cad"
ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def sample(monkeypatch):
    one = sampling.Sample()
    for module in ("fast", "server"):
        monkeypatch.setattr(f"engine.infra.http.{module}.SAMPLE", one)
    return one


@pytest.fixture
async def client():
    async def place(_request):
        return fast.Answer(202, {"Location": f"/v1/orders/{ORDER}"}, b"{}")

    async def pay(_name, _request):
        return fast.Answer(200, {}, b"{}")

    async def show(_request):
        return web.Response(body=codec.encode({}))

    app = web.Application(middlewares=[edge()])
    app.router.add_get("/v1/orders/{order_id}", show)
    server = Ours(app)
    await server.start_server()
    serving = server.runner.server
    ordinary = serving.request_handler
    serving.request_handler = fast.Front("POST", "/v1/orders", place, ordinary, {"payments": pay})
    async with TestClient(server) as one:
        yield one


async def logged(asking):
    with capture_logs() as lines:
        await asking
    return [
        {name: value for name, value in line.items() if name not in {"log_level", "ms"}}
        for line in lines
        if line["event"] == "request"
    ]


async def test_each_way_tells_its_route_and_its_ids(client, sample):
    sample.every = 1
    headers = {"X-Request-Id": "mine", "traceparent": TRACE}
    common = {"event": "request", "request_id": "mine", "trace_id": ID, "order_id": ORDER}
    for asking, told in (
        (client.post("/v1/orders", headers=headers), ("/v1/orders", 202)),
        (
            client.post(f"/v1/orders/{ORDER}/payments", headers=headers),
            ("/v1/orders/{order_id}/payments", 200),
        ),
        (client.get(f"/v1/orders/{ORDER}", headers=headers), ("/v1/orders/{order_id}", 200)),
    ):
        assert await logged(asking) == [common | {"route": told[0], "status": told[1]}]


async def test_what_else_a_path_says_is_not_repeated(client, sample):
    sample.every = 1
    for asking in (
        client.post("/v1/orders/13800138000/payments"),
        client.get("/v1/orders/13800138000"),
        client.get("/v1/who-knows/13800138000"),
    ):
        (line,) = await logged(asking)
        assert "13800138000" not in str(line)


@pytest.mark.parametrize(("every", "lines"), [(0, 0), (1, 6), (3, 2)])
async def test_so_many_are_logged(client, sample, every, lines):
    sample.every = every
    found = [line for _ in range(6) for line in await logged(client.post("/v1/orders"))]
    assert len(found) == lines
