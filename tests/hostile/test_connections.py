"""Clients that are slow, gone, many, or talk out of turn, at a process as it is run."""

import asyncio
import gzip
import resource
import socket
import time
from pathlib import Path

import pytest

from engine.kernel import codec, limits
from tests.conftest import eventually
from tests.fault.engines import an_order, id_of
from tests.hostile.wire import (
    JSON,
    KEY,
    is_problem,
    is_safe,
    order,
    read_all,
    read_one,
    request,
    talk,
)

MEGABYTE = 1_000_000
IDLE = 10_000
IDLE_COSTS_MAX = 40_000  # bytes each; 10,000 of them are 400 MB at the very most


def body(number):
    return codec.encode(an_order(number))


async def accepted(engine, number):
    return (await engine.call("GET", f"/v1/orders/{id_of(number)}"))[0] == 200


async def serves(engine, number):
    """Fail unless a fresh order is accepted, at once."""
    begun = time.monotonic()
    status, document = await engine.buy(number)
    assert status == 202, document
    assert time.monotonic() - begun < 3


async def test_an_order_and_garbage_in_one_segment_is_no_order(engine):
    """The parser tells of the garbage first, so the refusal is the answer to all of it."""
    (one,) = await talk(engine.port, order(body("both")) + b"GARBAGE\r\n\r\n")
    is_safe(one)
    assert one.status == 400
    assert not await accepted(engine, "both")
    (again,) = await talk(engine.port, order(body("both")))
    assert again.status == 202, "and it can be sent again"


async def test_an_order_and_then_garbage_is_an_answer_and_a_refusal(engine):
    first, second = await talk(
        engine.port, order(body("before")), b"GARBAGE\r\n\r\n", pause_s=0.05, half=False
    )
    assert (first.status, second.status) == (202, 400)
    is_problem(second)
    assert await accepted(engine, "before")


async def test_many_orders_in_one_segment_are_answered_in_their_order(engine):
    numbers = [f"piped-{n}" for n in range(200)]
    replies = await talk(engine.port, b"".join(order(body(one)) for one in numbers))
    assert [one.document["order_id"] for one in replies] == [id_of(one) for one in numbers]
    assert {one.status for one in replies} == {202}


async def test_a_refused_order_in_the_middle_does_not_move_the_others(engine):
    wrong = [b"{", b"[]", b'{"channel":1}', b"\xff", b"null", b'"' + b"[" * 40_000]
    raw = b""
    for n, one in enumerate(wrong):
        raw += order(body(f"between-{n}")) + order(one)
    replies = await talk(engine.port, raw)
    assert [one.status for one in replies] == [202, 400] * len(wrong)
    for one in replies:
        is_safe(one)


async def test_bytes_one_by_one_are_an_order_too(engine):
    raw = order(body("dripped"))
    (one,) = await talk(engine.port, *(raw[n : n + 1] for n in range(len(raw))), pause_s=0.0005)
    assert one.status == 202


async def test_a_client_that_stops_sending_gets_its_answer(engine):
    (one,) = await talk(engine.port, order(body("half")))
    assert one.status == 202
    assert await talk(engine.port, order(body("cut"))[:-1]) == []
    assert await talk(engine.port, b"") == []
    assert not await accepted(engine, "cut")


async def test_who_leaves_at_once_leaves_an_order_or_none_and_no_error(engine):
    for n in range(50):
        raw = order(body(f"left-{n}"))
        with socket.create_connection(("127.0.0.1", engine.port)) as one:
            one.sendall(raw[: len(raw) - n % 3])
            if n % 2:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await serves(engine, "after-those-who-left")
    engine.alive()


async def test_100_continue_comes_before_the_body(engine):
    raw = order(body("expected"), "Expect: 100-continue", "Connection: close")
    head, _, rest = raw.partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", engine.port)
    writer.write(head + b"\r\n\r\n")
    assert (await read_one(reader)).status == 100
    writer.write(rest)
    assert (await read_one(reader)).status == 202
    writer.close()


BOMB = gzip.compress(b"[" + b" " * 10 * MEGABYTE + b"]")
LARGE = b'{"channel":"' + b"x" * 10 * MEGABYTE + b'"}'
# fmt: off
TOO_LARGE = {
    "its length told":  ("/v1/orders",  413, [f"Content-Length: {len(LARGE)}"], LARGE),
    "in chunks":        ("/v1/orders",  413, ["Transfer-Encoding: chunked"],
                         b"%x\r\n%s\r\n0\r\n\r\n" % (len(LARGE), LARGE)),
    "packed":           ("/v1/orders",  413, ["Content-Encoding: gzip",
                                              f"Content-Length: {len(BOMB)}"], BOMB),
    "only promised":    ("/v1/orders",  413, ["Content-Length: 10000000000000"], b""),
    "elsewhere":        ("/v1/keys",    413, [f"Content-Length: {len(LARGE)}"], LARGE),
    "elsewhere packed": ("/v1/keys",    413, ["Content-Encoding: gzip",
                                              f"Content-Length: {len(BOMB)}"], BOMB),
    "without a key":    ("/v1/orders",  401, [f"Content-Length: {len(LARGE)}"], LARGE),
    "where nothing is": ("/nowhere",    404, [f"Content-Length: {len(LARGE)}"], LARGE),
    "a wrong packing":  ("/v1/orders",  400, ["Content-Encoding: gzip", "Content-Length: 9"],
                         b"not a zip"),
}
# fmt: on


@pytest.mark.parametrize(("path", "status", "headers", "raw"), TOO_LARGE.values(), ids=TOO_LARGE)
async def test_ten_megabytes_are_refused_and_never_held(engine, path, status, headers, raw):
    key = [] if status == 401 else [KEY]
    head = request(f"POST {path} HTTP/1.1", *key, JSON, *headers)

    async def send():
        reader, writer = await asyncio.open_connection("127.0.0.1", engine.port)
        writer.write(head + raw)
        one = await read_one(reader)
        writer.transport.abort()
        return one

    await send()  # what is needed once is there now
    before = engine.rss()
    for one in await asyncio.gather(*(send() for _ in range(8))):
        is_safe(one)
        assert one.status == status, one
    grown = engine.rss() - before
    assert grown < 20 * MEGABYTE, f"{grown:,} bytes more for eight bodies of 10 MB"


# fmt: off
HEADS = {
    "a long header":     ["X-A: " + "a" * 9_000],
    "a long name":       ["X-" + "A" * 9_000 + ": a"],
    "many headers":      [f"X-{n}: 1" for n in range(200)],
    "a megabyte":        ["X-A: " + "a" * MEGABYTE],
    "many long headers": [f"X-{n}: {'a' * 8_000}" for n in range(130)],
}
# fmt: on


@pytest.mark.parametrize("lines", HEADS.values(), ids=HEADS)
async def test_a_head_without_end_is_refused(engine, lines):
    (one,) = await talk(engine.port, request("GET /healthz HTTP/1.1", *lines))
    is_safe(one)
    assert one.status == 400


async def test_a_long_target_is_refused(engine):
    (one,) = await talk(engine.port, request(f"GET /v1/orders?cursor={'a' * 20_000} HTTP/1.1"))
    is_safe(one)
    assert one.status == 400


@pytest.fixture
def somaxconn():
    """How long a queue the kernel lets anybody have."""
    return int(Path("/proc/sys/net/core/somaxconn").read_text())


async def test_the_backlog_takes_a_crowd_that_comes_at_once(engine, somaxconn):
    """While the process does not run, nobody is turned away: what the queue holds is served."""
    assert limits.LISTEN_BACKLOG >= 4_096
    crowd = min(2_000, somaxconn)
    api = engine.processes["api"]
    api.send_signal(19)  # SIGSTOP
    try:
        async with asyncio.timeout(20):
            pairs = await asyncio.gather(
                *(asyncio.open_connection("127.0.0.1", engine.port) for _ in range(crowd))
            )
        for _, writer in pairs:
            writer.write(request("GET /healthz HTTP/1.1", "Connection: close"))
    finally:
        api.send_signal(18)  # SIGCONT
    replies = [await read_all(reader) for reader, _ in pairs]
    assert [[one.status for one in each] for each in replies] == [[200]] * crowd
    for _, writer in pairs:
        writer.close()


async def test_who_never_reads_is_not_answered_without_end(engine):
    """1,000 requests whose answers nobody reads: they wait in the kernel, not in the process."""
    before = engine.rss()
    crowd = [socket.create_connection(("127.0.0.1", engine.port)) for _ in range(20)]
    raw = request("GET /openapi.json HTTP/1.1") * 1_000
    for one in crowd:
        one.setblocking(False)  # noqa: FBT003 - as the socket has it
    loop = asyncio.get_running_loop()
    sends = [asyncio.ensure_future(loop.sock_sendall(one, raw)) for one in crowd]
    await asyncio.wait(sends, timeout=3)
    await serves(engine, "beside-those-who-never-read")
    grown = engine.rss() - before
    told = f"{grown / MEGABYTE:.1f} MB for 20 clients that never read"
    print(told)  # noqa: T201 - the figure, with -s
    assert grown < 20 * 4 * MEGABYTE, told
    for send in sends:
        send.cancel()
    await asyncio.gather(*sends, return_exceptions=True)
    for one in crowd:
        one.close()


def room():
    """How many connections this process may open, after asking for all it can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft - 300


async def test_ten_thousand_idle_connections_cost_little_and_slow_nobody(engine):
    many = min(IDLE, room(), limits.CONNECTIONS_MAX)
    before = engine.rss()
    crowd = []
    try:
        for n in range(many):
            one = socket.create_connection(("127.0.0.1", engine.port), timeout=10)
            if n % 3 == 1:
                one.sendall(request("GET /healthz HTTP/1.1"))
            crowd.append(one)
        for n, one in enumerate(crowd):
            if n % 3 == 1:
                assert one.recv(4_096).startswith(b"HTTP/1.1 200 OK\r\n")
        await serves(engine, "in-a-crowd")
        grown = engine.rss() - before
        told = f"{many:,} idle connections: {grown / MEGABYTE:.0f} MB, {grown // many:,} B each"
        print(told)  # noqa: T201 - the figure, with -s
        assert grown < many * IDLE_COSTS_MAX, told
    finally:
        for one in crowd:
            one.close()

    descriptors = Path(f"/proc/{engine.processes['api'].pid}/fd")
    await eventually(lambda: len(list(descriptors.iterdir())) < 200, within_s=20)
    await serves(engine, "after-the-crowd")


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_a_thousand_that_drip_are_ended_in_time(engine):
    """With the deadlines as they are: 15 s for a head, 30 s for a body."""
    pairs = [await asyncio.open_connection("127.0.0.1", engine.port) for _ in range(1_000)]
    begun = time.monotonic()
    for n, (_, writer) in enumerate(pairs):
        head = request("POST /v1/orders HTTP/1.1", KEY, JSON, "Content-Length: 500")
        writer.write(head if n % 2 else head[:-2])

    async def drip():
        while True:
            await asyncio.sleep(1)
            for n, (_, writer) in enumerate(pairs):
                if not writer.is_closing():
                    writer.write(b" " if n % 2 else b"X-A: b\r\n")

    dripping = asyncio.create_task(drip())
    replies = await asyncio.gather(*(read_one(reader, 60) for reader, _ in pairs))
    dripping.cancel()
    assert [one.status for one in replies] == [408, 400] * 500
    assert time.monotonic() - begun < limits.BODY_WITHIN_S + 15
    await serves(engine, "after-those-who-drip")
    for _, writer in pairs:
        writer.close()


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_who_never_reads_is_cut_off(engine):
    """It takes a minute; a second process' worth of memory is back afterwards."""
    one = socket.create_connection(("127.0.0.1", engine.port))
    one.setblocking(False)  # noqa: FBT003 - as the socket has it
    raw = request("GET /openapi.json HTTP/1.1") * 1_000
    loop = asyncio.get_running_loop()
    begun = time.monotonic()

    async def send():
        async with asyncio.timeout(120):
            while True:
                await loop.sock_sendall(one, raw)

    with pytest.raises(ConnectionError):
        await send()
    assert time.monotonic() - begun > limits.ANSWER_READ_WITHIN_S - 2
    one.close()
