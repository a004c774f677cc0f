"""Orders beyond the limit, on the lane of hot requests: refused, held, and let go on."""

import asyncio
import contextlib
import socket
import time

import pytest
from aiohttp import web

from engine.infra.http import fast
from engine.infra.http.admission import Admission
from engine.infra.http.problem import problem_bytes
from engine.infra.http.runner import Runner
from engine.infra.http.server import edge
from engine.kernel import codec
from engine.kernel.errors import Overloaded
from tests.unit.http.test_direct import ORDINARY, Shop, answers, ended, hot

PAY = b"POST /hot/o1/payments HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def gate():
    return Admission()


@pytest.fixture
async def server(shop, gate):
    app = web.Application(middlewares=[edge()])
    app.add_routes([web.get("/ordinary", shop.ordinary)])
    made = Runner(app, access_log=None)
    await made.setup()

    async def pay(name, _request):
        return fast.Answer(200, {}, codec.encode({"paid": name}))

    ordinary = made.server.request_handler
    made.server.request_handler = fast.Front(
        "POST", "/hot", shop.hot, ordinary, {"payments": pay}, gate
    )
    await web.TCPSite(made, "127.0.0.1", 0).start()
    try:
        yield made
    finally:
        shop.gate.set()
        await made.cleanup()


@contextlib.asynccontextmanager
async def talking(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.addresses[0][1])
    try:
        yield reader, writer
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def full(server, shop, gate):
    """One order under way that does not end, where only one may be."""
    shop.gate.clear()
    gate.limit = 1
    async with talking(server) as (reader, writer):
        writer.write(hot(b'"first"'))
        await shop.inside.wait()
        yield reader


async def head_and_body(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    lines = dict(line.split(": ", 1) for line in head[1:])
    return head[0], lines, await reader.readexactly(int(lines["Content-Length"]))


async def test_a_refusal_is_a_problem_like_any_other(server, shop, gate):
    """Its bytes were made beforehand; they say and have what an answer to `Overloaded` has."""
    seen = []
    async with full(server, shop, gate), talking(server) as (reader, writer):
        for more in (
            [],
            ["X-Request-Id: mine"],
            ["traceparent: 00-" + "a" * 32 + "-" + "b" * 16 + "-01"],
        ):
            gate.limit = 1
            writer.write(hot(b'"no"', *more))
            seen.append(await head_and_body(reader))
    status, headers, body = problem_bytes(Overloaded())
    for first, lines, told in seen:
        assert first == f"HTTP/1.1 {status} Service Unavailable"
        assert lines["Content-Type"] == headers["Content-Type"]
        assert lines["Retry-After"] in {"1", "2", "3"}
        assert codec.decode_json(told).keys() == codec.decode_json(body).keys()
        assert codec.decode_json(told)["code"] == "overloaded"
        assert {"X-Content-Type-Options", "Cache-Control", "Server", "Date"} <= lines.keys()
    assert len({lines["Retry-After"] for _, lines, _ in seen}) > 1, "they do not come back together"
    assert seen[0][1]["X-Request-Id"]
    assert seen[1][1]["X-Request-Id"] == "mine"
    assert seen[2][1]["traceparent"].startswith("00-a")
    assert shop.asked == ['"first"']


async def test_payments_and_all_else_are_not_turned_away(server, shop, gate):
    async with full(server, shop, gate), talking(server) as (reader, writer):
        writer.write(PAY + ORDINARY)
        assert [status for status, _ in await answers(reader, 2)] == [200, 200]


async def test_who_was_refused_is_not_read_until_his_turn(server, shop, gate):
    async with full(server, shop, gate), talking(server) as (reader, writer):
        gate._tick = lambda: None  # noqa: SLF001 - nobody's turn comes
        writer.write(hot(b'"no"'))
        assert (await answers(reader, 1))[0][0] == 503
        assert gate.held == 1
        writer.write(ORDINARY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answers(reader, 1)
        gate.end()
        assert (await answers(reader, 1))[0][0] == 200


async def test_what_waited_meanwhile_is_refused_and_the_next_is_judged(server, shop, gate):
    async with full(server, shop, gate) as first, talking(server) as (reader, writer):
        tick, gate._tick = gate._tick, lambda: None  # noqa: SLF001
        writer.write(hot(b'"no"'))
        assert (await answers(reader, 1))[0][0] == 503
        writer.write(hot(b'"waited"'))
        shop.gate.set()
        assert (await answers(first, 1))[0][0] == 202, "there is room now"
        tick()
        assert (await answers(reader, 1))[0][0] == 503, "its time is over all the same"
        writer.write(hot(b'"next"'))
        assert (await answers(reader, 1))[0][0] == 202
    assert shop.asked == ['"first"', '"next"']


async def test_without_budget_nobody_is_answered_before_his_turn(server, shop, gate):
    async with full(server, shop, gate), talking(server) as (reader, writer):
        granted, gate.may_refuse = gate.may_refuse, lambda _now: False
        writer.write(hot(b'"no"') + hot(b'"no"'))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answers(reader, 1)
        gate.may_refuse = granted
        assert [status for status, _ in await answers(reader, 2)] == [503, 503]
    assert shop.asked == ['"first"']


async def test_who_leaves_while_held_is_forgotten(server, shop, gate, eventually):
    async with full(server, shop, gate) as first:
        async with talking(server) as (reader, writer):
            writer.write(hot(b'"no"'))
            assert (await answers(reader, 1))[0][0] == 503
        await eventually(lambda: gate.held == 0)
        shop.gate.set()
        assert (await answers(first, 1))[0][0] == 202
    assert gate.in_flight == 0


async def test_the_ordinary_way_has_the_same_limit(server, shop, gate):
    async with full(server, shop, gate), talking(server) as (reader, writer):
        writer.write(hot(b'"no"', "Connection: close"))
        assert (await answers(reader, 1))[0][0] == 503
        assert await ended(reader)


async def test_what_is_under_way_is_counted_whatever_becomes_of_it(server, gate):
    for body, status in ((b'"ok"', 202), (b'"gone"', 410)):
        async with talking(server) as (reader, writer):
            writer.write(hot(body))
            assert (await answers(reader, 1))[0][0] == status
        assert gate.in_flight == 0
    async with talking(server) as (reader, writer):
        writer.write(hot(b'"cancelled"'))
        assert await ended(reader)
    assert gate.in_flight == 0


async def test_at_the_end_the_next_answer_is_the_last_and_says_so(server, shop, gate):
    async with (
        talking(server) as (kept, writes),
        talking(server) as (plain, asks),
        full(server, shop, gate) as under_way,
    ):
        asks.write(ORDINARY)
        await answers(plain, 1)
        gate.end()
        draining = asyncio.create_task(server.drain(5))
        shop.gate.set()
        writes.write(hot(b'"k"'))
        asks.write(ORDINARY)
        for reader in (under_way, kept, plain):
            first, lines, _ = await head_and_body(reader)
            assert first.split(" ")[1] in {"200", "202"}
            assert lines["Connection"] == "close"
            assert await ended(reader)
        async with asyncio.timeout(2):
            await draining


async def test_who_had_been_accepted_by_the_kernel_is_served(server, gate):
    """Connections in the queue of a listener that is closed are reset; these were taken over."""
    port = server.addresses[0][1]
    made = [
        socket.create_connection(("127.0.0.1", port)) for _ in range(20)
    ]  # nobody runs meanwhile
    time.sleep(0.1)  # noqa: ASYNC251 - a busy kernel has the last of them a moment later
    gate.end()
    draining = asyncio.create_task(server.drain(5))
    for one in made:
        one.settimeout(0)
        reader, writer = await asyncio.open_connection(sock=one)
        writer.write(ORDINARY)
        assert (await answers(reader, 1))[0][0] == 200
        writer.close()
    async with asyncio.timeout(2):
        await draining
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
