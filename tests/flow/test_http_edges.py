"""What the HTTP server itself refuses is a problem like all others; lists say what is so now."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from engine import app as composition
from engine.infra.http.runner import Runner
from engine.kernel import codec
from tests.fault.engines import certificate, house, id_of, open_sale


@pytest.fixture
async def api(settings):
    async with house(settings) as here:
        await here.worker()
        one = await here.api()
        await open_sale(one, A=100)
        yield one


@pytest.fixture
async def port(settings):
    """The port of an API as `tidegate api` serves it, without its loops."""
    async with composition.runtime(settings, "api") as process:
        application, _loops, _restorer = await composition.build_api(process)
        runner = Runner(application, access_log=None)
        await runner.setup()
        composition._put_in_front(runner, application)  # noqa: SLF001 - as a process starts it
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
        await runner.cleanup()


async def ask(port, *lines):
    """Send lines as they stand; return status, headers in lower case, and the document."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join([*lines, "Host: test", "", ""]).encode())
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest)
        body = await reader.readexactly(int(headers["content-length"]))
        return int(first.split(" ")[1]), headers, codec.decode_json(body)
    finally:
        writer.close()
        await writer.wait_closed()


LONG = "x" * 20_000
# fmt: off
REFUSED = {
    "a header too long":    (400, "validation_failed",  ["GET /healthz HTTP/1.1", f"X-A: {LONG}"]),
    "too many headers":     (400, "validation_failed",
                             ["GET /healthz HTTP/1.1", *(f"X-{n}: 1" for n in range(200))]),
    "a path too long":      (400, "validation_failed",  [f"GET /{LONG} HTTP/1.1"]),
    "not HTTP":             (400, "validation_failed",  ["HELLO"]),
    "an unknown Expect":    (417, "expectation_failed", ["GET /healthz HTTP/1.1", "Expect: cake"]),
    "it on the hot route":  (417, "expectation_failed",
                             ["POST /v1/orders HTTP/1.1", "Expect: cake"]),
    "it where nothing is":  (417, "expectation_failed", ["GET /nowhere HTTP/1.1", "Expect: cake"]),
}
# fmt: on


@pytest.mark.parametrize(("status", "code", "lines"), REFUSED.values(), ids=REFUSED)
async def test_what_no_handler_sees_is_refused_as_everything(
    port, capsys, caplog, status, code, lines
):
    found, headers, document = await ask(port, *lines)
    assert (found, document["code"], document["status"]) == (status, code, status)
    assert headers["content-type"] == "application/problem+json"
    assert headers["server"] == "tidegate"
    assert headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "xxx" not in f"{document} {capsys.readouterr()} {caplog.text}"


async def listed(api, query=""):
    answer = await api.call("GET", f"/v1/orders?{query}")
    assert answer.status == 200, answer.document
    return {one["channel_order_id"]: one for one in answer.document["items"]}


async def block(pg, number, until):
    await pg.execute(
        "INSERT INTO blocks (order_id, code, until) VALUES ($1, 'manual', $2)", id_of(number), until
    )


async def test_a_block_whose_time_is_over_is_none(api, pg):
    for number in ("over", "still", "ever"):
        assert (await api.buy(number)).status == 202
    await certificate(api)
    now = datetime.now(UTC)
    await block(pg, "over", now - timedelta(seconds=1))
    await block(pg, "still", now + timedelta(hours=1))
    await block(pg, "ever", None)
    assert set(await listed(api, "block=manual")) == {"still", "ever"}
    assert set(await listed(api, "status=needs_attention")) == {"still", "ever"}
    assert set(await listed(api, "status=pending_payment")) == {"over"}
    for number, summary in (await listed(api)).items():
        assert summary["status"] == (await api.order(id_of(number))).document["status"]


async def test_a_list_tells_what_the_order_itself_tells(api):
    """The cursor too holds an instant as it was shown: no order falls between two pages."""
    placed = {"1": "2026-11-11T00:00:00+08:00", "2": "2026-11-11T00:00:00.001+08:00"}
    for number, placed_at in placed.items():
        assert (await api.buy(number, placed_at=placed_at)).status == 202
    await certificate(api)
    found = await listed(api)
    for number in placed:
        shown = (await api.order(id_of(number))).document
        assert found[number] == {name: shown[name] for name in found[number]}
    assert found["2"]["placed_at"] == "2026-11-10T16:00:00.001Z"
    first = (await api.call("GET", "/v1/orders?limit=1")).document
    second = await api.call("GET", f"/v1/orders?limit=1&cursor={first['next_cursor']}")
    assert [one["channel_order_id"] for one in second.document["items"]] == ["1"]
