"""What the HTTP server does with a request that is none, or that ends before its body does."""

import asyncio
import gzip
import logging
import re
from http import HTTPStatus

import pytest
from aiohttp import web

from engine.infra.http import fast
from engine.infra.http.runner import Runner
from engine.infra.http.server import edge, json_response, raw_body

JSON = "Content-Type: application/json"
CHUNKED = f"{JSON}\r\nTransfer-Encoding: chunked"
KEY = "Authorization: Bearer tgk_k_SECRET"


class Echo:
    """A handler of both ways; `reading` is set while one waits for a body."""

    def __init__(self):
        self.reading = asyncio.Event()
        self.done = asyncio.Event()
        self.gate = asyncio.Event()  # nobody waits at it unless a test shuts it
        self.gate.set()

    async def raw(self, request):
        self.reading.set()
        try:
            body = await raw_body(request)
            await self.gate.wait()
            return body
        finally:
            self.done.set()

    async def ordinary(self, request):
        return json_response({"bytes": len(await self.raw(request))})

    async def hot(self, request):
        return fast.Answer(200, {}, b'{"bytes":%d}' % len(await self.raw(request)))


async def _early(_request):
    return json_response({"early": True})


async def _broken(request):
    raise KeyError(request.headers["Authorization"])


@pytest.fixture
async def echo():
    return Echo()


@pytest.fixture
async def runner(echo):
    app = web.Application(middlewares=[edge()])
    app.add_routes([web.post("/ordinary", echo.ordinary), web.post("/early", _early)])
    made = Runner(app, access_log=None)
    await made.setup()
    serving = made.server
    front = fast.Front("POST", "/hot", echo.hot, serving.request_handler)

    async def answer(request):
        return await (_broken(request) if request.path == "/broken" else front(request))

    serving.request_handler = answer
    await web.TCPSite(made, "127.0.0.1", 0).start()
    yield made
    await made.cleanup()


@pytest.fixture
def port(runner):
    return runner.addresses[0][1]


@pytest.fixture
def logged(capsys, caplog):
    """Return every line that went to a log of ours, of aiohttp's or of asyncio's so far."""
    caplog.set_level(logging.DEBUG)

    def lines():
        ours = [one for one in capsys.readouterr().out.splitlines() if one]
        theirs = [one for one in caplog.text.splitlines() if "selector" not in one]
        caplog.clear()
        return ours + theirs

    return lines


def head(path, *lines):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *lines, "", ""]).encode("latin-1")


async def answers(reader):
    """Read to the end of the connection; return the statuses and all of it."""
    async with asyncio.timeout(5):
        told = (await reader.read()).decode()
    return [int(one) for one in re.findall(r"HTTP/1\.[01] (\d+)", told)], told


async def ask(port, *segments, waiting=None):
    """Send segments, each after the one before has arrived, and read what comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for n, segment in enumerate(segments):
            if n and waiting:
                await waiting.wait()
            writer.write(segment)
            await writer.drain()
        return await answers(reader)
    finally:
        writer.close()


# fmt: off
BAD = {
    "a forbidden byte":    (f"{KEY}\x00",                "BadHttpMessage"),
    "too long":            (f"{KEY}{'y' * 20_000}",      "LineTooLong"),
    "after it, no header": (f"{KEY}\r\nSECRET bad",      "BadHttpMessage"),
    "no header at all":    (KEY.replace(":", ""),        "BadHttpMessage"),
}
# fmt: on


@pytest.mark.parametrize(("line", "kind"), BAD.values(), ids=BAD)
async def test_a_bad_request_is_one_line_without_its_bytes(port, logged, line, kind):
    statuses, told = await ask(port, head("/ordinary", line))
    assert statuses == [400]
    (found,) = logged()
    assert "not_http" in found
    assert "info" in found
    assert kind in found
    assert "SECRET" not in found + told


async def test_what_a_handler_let_through_is_logged_without_its_bytes(port, logged):
    statuses, told = await ask(port, head("/broken", KEY, "Connection: close"))
    assert statuses == [500]
    found = "\n".join(logged())
    assert "unexpected" in found
    assert "KeyError" in found
    assert "_broken" in found, "it says where"
    assert "SECRET" not in found + told


async def test_an_expect_that_is_no_text_is_one_that_nobody_knows(port, logged):
    statuses, told = await ask(port, head("/ordinary", "Expect: SECRET\xff", "Connection: close"))
    assert statuses == [417]
    assert "SECRET" not in told
    assert logged() == []


@pytest.mark.parametrize("path", ["/hot", "/ordinary"])
async def test_a_body_that_breaks_later_is_refused_at_once(port, echo, logged, path):
    statuses, told = await ask(
        port, head(path, CHUNKED) + b"5\r\nSECRE\r\n", b"SECRET\r\n\r\n", waiting=echo.reading
    )
    assert statuses == [HTTPStatus.BAD_REQUEST], "one request, one answer, and the end"
    assert "application/problem+json" in told
    assert "the body could not be read to its end" in told
    assert logged() == []


async def test_a_body_that_breaks_before_anybody_reads_it_is_refused_too(
    runner, port, echo, eventually, logged
):
    """Its request waits behind another one, and more comes after what broke it."""
    echo.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("/hot", JSON, "Content-Length: 2") + b"{}")
    await echo.reading.wait()
    (one,) = runner.server.connections
    writer.write(head("/hot", CHUNKED) + b"5\r\nSECRE\r\n")
    waiting = one._messages  # noqa: SLF001 - nothing else tells that it has arrived
    await eventually(lambda: waiting)
    ((_, body),) = waiting
    writer.write(b"XYZ\r\n\r\n")
    await eventually(body.exception)
    first = body.exception()
    writer.write(head("/hot"))
    await eventually(lambda: body.exception() is not first)
    echo.gate.set()
    statuses, _ = await answers(reader)
    assert statuses == [200, 400]
    assert logged() == []
    writer.close()


async def test_a_body_that_breaks_after_the_answer_ends_the_connection(port, logged):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("/early", CHUNKED))
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SECRET\r\n\r\n")
    assert await answers(reader) == ([], '{"early":true}')
    assert logged() == []
    writer.close()


async def test_a_packed_body_that_breaks_after_the_answer_is_nobodys_error(port, logged):
    packed = gzip.compress(b"x" * 100)
    lines = (JSON, "Content-Encoding: gzip", f"Content-Length: {len(packed) + 9}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("/early", *lines))
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SECRET" + packed)
    assert await answers(reader) == ([], '{"early":true}')
    assert logged() == []
    writer.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("path", ["/hot", "/ordinary"])
async def test_a_client_that_leaves_in_its_body_is_nobodys_error(port, echo, logged, path, reset):
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(path, JSON, "Content-Length: 30") + b'{"a":')
    await echo.reading.wait()
    if reset:
        writer.transport.abort()
    else:
        writer.close()
    await echo.done.wait()
    # another request is served after whatever the first one still had to do
    statuses, _ = await ask(
        port, head(path, JSON, "Connection: close", "Content-Length: 2") + b"{}"
    )
    assert statuses == [200]
    assert logged() == []
