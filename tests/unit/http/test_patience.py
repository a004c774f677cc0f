"""How long a client may keep a connection busy with nothing, and how many may come."""

import asyncio
import resource
import socket

import pytest
from aiohttp import web

from engine.infra.http import fast, runner
from engine.infra.http.runner import Patience, Runner
from engine.infra.http.server import SAFE_HEADERS, edge, json_response, raw_body
from engine.kernel import codec, limits

SHORT = Patience(headers=0.2, body=0.2, reading=0.3, look_every=0.02, connections=8)
BIG = b'"' + b"x" * 20_000_000 + b'"'
JSON = "Content-Type: application/json"


class Shop:
    """A handler that waits at a gate if it is shut."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.served = 0
        self.inside = asyncio.Event()

    async def hot(self, request):
        body = await raw_body(request)
        self.inside.set()
        await self.gate.wait()
        self.served += 1
        return fast.Answer(202, {}, b'{"bytes":%d}' % len(body))

    async def big(self, _request):
        self.served += 1
        return web.Response(body=BIG, content_type="application/json")

    async def small(self, _request):
        return json_response({})


@pytest.fixture
async def shop():
    return Shop()


@pytest.fixture
async def server(shop):
    app = web.Application(middlewares=[edge()], client_max_size=limits.BODY_BYTES_MAX)
    app.add_routes([web.get("/big", shop.big), web.get("/small", shop.small)])
    made = Runner(app, patience=SHORT, access_log=None)
    await made.setup()
    serving = made.server
    serving.request_handler = fast.Front("POST", "/hot", shop.hot, serving.request_handler)
    await web.TCPSite(made, "127.0.0.1", 0, backlog=limits.LISTEN_BACKLOG).start()
    yield made
    await made.cleanup()


@pytest.fixture
def port(server):
    return server.addresses[0][1]


def connected(port):
    return asyncio.open_connection("127.0.0.1", port)


async def one_answer(reader):
    """Read one answer whole: status, headers in lower case, document."""
    async with asyncio.timeout(5):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["content-length"]))
    return int(first.split(" ")[1]), headers, codec.decode_json(body)


async def ended(reader):
    async with asyncio.timeout(5):
        return await reader.read() == b""


def order(body=b"{}", *lines):
    head = [f"POST /hot HTTP/1.1\r\nHost: a\r\n{JSON}\r\nContent-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def is_exact(status, headers, document, code):
    assert headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:tidegate:problem:{code}"
    assert (document["status"], document["code"]) == (status, code)
    assert document["title"]
    assert document["detail"]
    for name, value in SAFE_HEADERS.items():
        assert headers[name.lower()] == value.lower()
    assert headers["x-request-id"]


async def test_a_head_that_drips_gets_408_and_the_end(port):
    reader, writer = await connected(port)
    writer.write(b"POST /hot HTTP/1.1\r\nHost: a\r\n")

    async def drip():
        while not writer.is_closing():
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.03)

    dripping = asyncio.create_task(drip())
    try:
        status, headers, document = await one_answer(reader)
    finally:
        dripping.cancel()
    assert status == 408
    assert headers["connection"] == "close"
    is_exact(status, headers, document, "request_timeout")
    writer.close()


async def test_a_head_that_drips_behind_an_answer_ends_too(port):
    reader, writer = await connected(port)
    writer.write(order())
    assert (await one_answer(reader))[0] == 202
    for piece in (b"POST", b" /hot"):
        writer.write(piece)
        await asyncio.sleep(0.03)
    assert (await one_answer(reader))[0] == 408
    assert await ended(reader)
    writer.close()


@pytest.mark.parametrize("pieces", [1, 2, 3])
async def test_an_idle_connection_is_left_alone(port, pieces):
    """However its requests were cut: head and body in a piece each is what most clients do."""
    reader, writer = await connected(port)
    whole = order(b"{    }")
    cuts = {1: [0], 2: [0, len(whole) - 6], 3: [0, len(whole) - 6, len(whole) - 3]}[pieces]
    for _ in range(3):
        for begin, end in zip(cuts, [*cuts[1:], len(whole)], strict=True):
            writer.write(whole[begin:end])
            await asyncio.sleep(0.01)
        assert (await one_answer(reader))[0] == 202
        await asyncio.sleep(SHORT.headers * 1.5)
    writer.write(order())
    assert (await one_answer(reader))[0] == 202
    writer.close()


async def test_a_body_that_drips_is_refused(port, shop):
    reader, writer = await connected(port)
    writer.write(order(b"{}").replace(b"Length: 2", b"Length: 900"))

    async def drip():
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.03)

    dripping = asyncio.create_task(drip())
    try:
        status, headers, document = await one_answer(reader)
    finally:
        dripping.cancel()
    assert status == 400
    is_exact(status, headers, document, "validation_failed")
    assert await ended(reader)
    assert shop.served == 0
    writer.close()


async def test_a_body_behind_a_slow_answer_has_its_time_when_its_turn_comes(port, shop):
    shop.gate.clear()
    reader, writer = await connected(port)
    writer.write(order())
    await shop.inside.wait()
    writer.write(order(b"{}")[:-1])
    await asyncio.sleep(SHORT.body * 2)
    shop.gate.set()
    assert (await one_answer(reader))[0] == 202
    writer.write(b"}")
    assert (await one_answer(reader))[0] == 202
    writer.close()


async def test_who_never_reads_is_cut_off_and_costs_no_more_than_one_answer(
    port, shop, server, eventually
):
    with socket.create_connection(("127.0.0.1", port)) as never:
        never.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        await eventually(lambda: shop.served)
        await eventually(lambda: not server.server.connections)
    assert shop.served == 1, "the next answer waits until the one before has left"


async def test_a_client_that_stopped_sending_gets_all_its_answers(port, shop, server, eventually):
    shop.gate.clear()
    reader, writer = await connected(port)
    writer.write(order() + order() + order())
    writer.write_eof()
    await shop.inside.wait()
    shop.gate.set()
    assert [(await one_answer(reader))[0] for _ in range(3)] == [202] * 3
    assert await ended(reader)
    assert shop.served == 3
    await eventually(lambda: not server.server.connections)
    writer.close()


async def test_a_client_that_stopped_sending_in_its_body_has_asked_nothing(
    port, shop, server, eventually
):
    reader, writer = await connected(port)
    writer.write(order()[:-1])
    writer.write_eof()
    async with asyncio.timeout(5):
        assert b" 202 " not in await reader.read()
    await eventually(lambda: not server.server.connections)
    assert shop.served == 0
    writer.close()


async def test_one_connection_too_many_is_told_so_and_room_is_used_again(port, server, eventually):
    held = [await connected(port) for _ in range(SHORT.connections)]
    for reader, writer in held:
        writer.write(order())
        assert (await one_answer(reader))[0] == 202
    reader, writer = await connected(port)
    status, headers, document = await one_answer(reader)
    assert status == 503
    is_exact(status, headers, document, "overloaded")
    assert int(headers["retry-after"]) >= 1
    assert await ended(reader)
    writer.close()
    assert len(server.server.connections) == SHORT.connections
    held[0][1].close()
    await eventually(lambda: len(server.server.connections) < SHORT.connections)
    reader, writer = await connected(port)
    writer.write(order())
    assert (await one_answer(reader))[0] == 202
    for _, one in [*held, (reader, writer)]:
        one.close()


async def test_a_connection_that_says_nothing_is_closed():
    made = Runner(web.Application(), patience=SHORT, access_log=None, keepalive_timeout=0.2)
    await made.setup()
    await web.TCPSite(made, "127.0.0.1", 0).start()
    reader, writer = await connected(made.addresses[0][1])
    assert await ended(reader)
    writer.close()
    await made.cleanup()


async def test_a_process_asks_for_as_many_descriptors_as_it_may_have():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS_MAX + 256
    had = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, soft), hard))
    try:
        got = runner._descriptors()  # noqa: SLF001 - else only a server of thousands would tell
        assert got == min(wanted, hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (got, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, had)


async def test_many_connections_are_looked_at_in_parts(port, monkeypatch):
    """Every one is, whichever part it is in."""
    monkeypatch.setattr(runner, "_LOOKED_AT_ONCE", 2)
    pairs = [await connected(port) for _ in range(5)]
    for _, writer in pairs:
        writer.write(b"POST")
    assert [(await one_answer(reader))[0] for reader, _ in pairs] == [408] * 5
    for _, writer in pairs:
        writer.close()
