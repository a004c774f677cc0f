"""A sampled trace, from the request that places an order to the node that is to send it."""

import gzip
from dataclasses import replace
from time import monotonic

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.infra.spans import Spans
from tests.conftest import eventually
from tests.fault.engines import ADMIN, an_order
from tests.flow.fulfilment import SHIP_TO, brand

TRACE = "00-{:032x}-00f067aa0ba902b7-{}"


@pytest.fixture
async def collector():
    """What a collector gets: (trace id, name) of spans, and the spans."""
    got = {}

    async def take(request):
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in one.scope_spans:
                for span in scope.spans:
                    got[int.from_bytes(span.trace_id), span.name] = span
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/traces")), got


async def place(api, number, trace):
    body = an_order(number, ("tea", 1), campaign="", ship_to=SHIP_TO)
    headers = {"Authorization": f"Bearer {ADMIN}", "traceparent": trace}
    async with api.client.post("/v1/orders", json=body, headers=headers) as answer:
        document = await answer.json()
        return document.get("order_id")


async def test_spans_are_told_of_sampled_traces_alone(settings, pg, collector):
    url, got = collector
    async with brand(replace(settings, otlp_url=url), pg, eventually) as one:
        await one.activate()

        async def on_sale():
            return await place(one.api, "1", TRACE.format(1, "01"))

        order_id = await eventually(on_sale, within_s=20)
        unsampled = await place(one.api, "2", TRACE.format(2, "00"))
        for placed in (order_id, unsampled):
            await one.api.pay(placed, f"pay-{placed}", 100)
        await eventually(lambda: (1, "route") in got, within_s=30)

        async def routed():
            return await one.fulfilment(unsampled) != "unrouted"

        await eventually(routed, within_s=30)
    request, record, route = (got[1, name] for name in ("POST /v1/orders", "record", "route"))
    assert request.parent_span_id.hex() == "00f067aa0ba902b7"
    assert record.parent_span_id == route.parent_span_id
    told = {one.key: one.value.string_value for one in route.attributes}
    assert told == {"tidegate.order_id": order_id, "tidegate.verdict": "bound"}
    assert request.start_time_unix_nano <= record.end_time_unix_nano <= route.end_time_unix_nano
    assert {number for number, _ in got} == {1}
    # what waits was caused by the request that placed the order, so it lies below it
    row = await pg.fetchval("SELECT trace FROM orders WHERE order_id = $1", order_id)
    assert row == f"00-{1:032x}-{record.parent_span_id.hex()}-01"
    assert await pg.fetchval("SELECT trace FROM orders WHERE order_id = $1", unsampled) == (
        TRACE.format(2, "00")
    )


async def test_a_collector_that_is_away_keeps_nobody(unused_tcp_port):
    spans = Spans(f"http://127.0.0.1:{unused_tcp_port}/v1/traces", "test")
    for _ in range(100):
        spans.begin(TRACE.format(1, "01"), "lost").end()
    began = monotonic()
    spans.close()
    assert monotonic() - began < 10  # the library alone goes on for half a minute
