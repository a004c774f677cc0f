"""The lane of hot requests beside aiohttp's own loop: whose turn it is, and how it ends."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from engine.infra.http import fast
from engine.infra.http.request import Whole
from engine.infra.http.runner import Runner
from engine.infra.http.server import edge, json_response, raw_body
from engine.kernel import codec

JSON = "Content-Type: application/json"
KEEP_ALIVE_S = 0.1


class Shop:
    """Handlers that tell in which order they were asked; `hot` waits at a gate if it is shut."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.inside = asyncio.Event()
        self.asked = []
        self.kinds = []

    async def hot(self, request):
        self.kinds.append(type(request))
        body = await raw_body(request)
        self.asked.append(body.decode())
        self.inside.set()
        await self.gate.wait()
        if body == b'"cancelled"':
            raise asyncio.CancelledError
        if body == b'"gone"':
            raise web.HTTPGone
        return fast.Answer(202, {}, b'{"said":%b}' % body)

    async def ordinary(self, request):
        self.asked.append(request.path)
        return json_response({"said": request.path})


@pytest.fixture
async def shop():
    return Shop()


@contextlib.asynccontextmanager
async def running(shop, **named):
    app = web.Application(middlewares=[edge()])
    app.add_routes([web.get("/ordinary", shop.ordinary)])
    made = Runner(app, access_log=None, **named)
    await made.setup()
    serving = made.server
    serving.request_handler = fast.Front("POST", "/hot", shop.hot, serving.request_handler)
    await web.TCPSite(made, "127.0.0.1", 0).start()
    try:
        yield made, made.addresses[0][1]
    finally:
        await made.cleanup()


@pytest.fixture
async def server(shop):
    async with running(shop) as (made, port):
        yield made, port


def hot(body, *lines):
    head = [f"POST /hot HTTP/1.1\r\nHost: a\r\n{JSON}\r\nContent-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


ORDINARY = b"GET /ordinary HTTP/1.1\r\nHost: a\r\n\r\n"


async def answers(reader, count):
    """Read that many answers; what each said, or its status."""
    told = []
    async with asyncio.timeout(5):
        for _ in range(count):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await reader.readexactly(int(headers["content-length"]))
            told.append((int(first.split(" ")[1]), body))
    return told


async def ended(reader):
    async with asyncio.timeout(5):
        return await reader.read() == b""


async def test_a_whole_request_goes_beside_and_a_parted_one_the_ordinary_way(
    server, shop, eventually
):
    _, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    raw = hot(b'"a"')
    writer.write(raw)
    first = await answers(reader, 1)
    writer.write(raw[:-2])
    await writer.drain()
    await eventually(lambda: len(shop.kinds) > 1)  # its head is here, so its handler was asked for
    writer.write(raw[-2:])
    assert await answers(reader, 1) == first
    writer.write(raw)
    assert await answers(reader, 1) == first
    assert shop.kinds == [Whole, web.Request, Whole]
    writer.close()


async def test_turns_are_kept_between_both_ways(server, shop):
    _, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    shop.gate.clear()
    writer.write(hot(b'"1"') + ORDINARY + hot(b'"2"') + hot(b'"3"') + ORDINARY)
    await shop.inside.wait()
    writer.write(hot(b'"4"') + ORDINARY + hot(b'"5"'))
    await writer.drain()
    assert shop.asked == ['"1"']  # nobody is asked before the one in front has its answer
    shop.gate.set()
    told = [body for _, body in await answers(reader, 8)]
    said = [
        b'{"said":"%b"}' % one
        for one in (b"1", b"/ordinary", b"2", b"3", b"/ordinary", b"4", b"/ordinary", b"5")
    ]
    assert told == said
    writer.close()


async def test_more_requests_at_once_than_the_parser_takes_are_all_answered(server, shop):
    _, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    numbers = range(2_000)
    writer.write(b"".join(hot(b'"%d"' % n) for n in numbers))
    told = [body for _, body in await answers(reader, len(numbers))]
    assert told == [b'{"said":"%d"}' % n for n in numbers]
    assert set(shop.kinds) == {Whole}
    writer.close()


async def test_an_answer_under_way_is_no_idle_connection(shop):
    async with running(shop, keepalive_timeout=KEEP_ALIVE_S) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        idle, control = await asyncio.open_connection("127.0.0.1", port)
        shop.gate.clear()
        writer.write(hot(b'"slow"'))
        await shop.inside.wait()
        assert await ended(idle)  # one that asks nothing is closed by then
        shop.gate.set()
        assert await answers(reader, 1) == [(202, b'{"said":"slow"}')]
        assert await ended(reader)  # and so is this one, once it has its answer
        writer.close()
        control.close()


async def test_a_server_that_ends_gives_the_answer_that_is_under_way(shop, eventually):
    async with running(shop, shutdown_timeout=5) as (made, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        shop.gate.clear()
        writer.write(hot(b'"last"') + hot(b'"too late"'))
        await shop.inside.wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made.cleanup())
            await eventually(lambda: not made.sites)  # it takes no more connections
            shop.gate.set()
            assert await answers(reader, 1) == [(202, b'{"said":"last"}')]
            assert await ended(reader)
        assert shop.asked == ['"last"']
        writer.close()


async def test_a_server_that_ends_waits_no_longer_than_it_may(shop):
    async with running(shop, shutdown_timeout=0.05) as (made, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        shop.gate.clear()
        writer.write(hot(b'"never"'))
        await shop.inside.wait()
        async with asyncio.timeout(5):
            await made.cleanup()
        assert await ended(reader)
        writer.close()


async def test_a_handler_that_ends_without_an_answer_ends_its_connection(server, shop):
    """Else the answer to the next request would be taken for this one's."""
    _, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(hot(b'"cancelled"') + hot(b'"next"'))
    assert await ended(reader)
    assert shop.asked == ['"cancelled"']
    writer.close()


async def test_a_refusal_of_the_library_is_an_answer_too(server):
    _, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(hot(b'"gone"') + hot(b'"next"'))
    (gone, document), after = await answers(reader, 2)
    assert (gone, codec.decode_json(document)["code"]) == (410, "gone")
    assert after == (202, b'{"said":"next"}')
    writer.close()


async def test_a_client_that_left_changes_nothing_for_the_next(server, shop):
    _, port = server
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    shop.gate.clear()
    writer.write(hot(b'"left"'))
    await shop.inside.wait()
    writer.transport.abort()
    shop.gate.set()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(hot(b'"here"'))
    assert await answers(reader, 1) == [(202, b'{"said":"here"}')]
    writer.close()
