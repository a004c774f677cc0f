"""The load client against a server that answers as it is told."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from engine.simulation.http import NO_ANSWER, LoadClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@asynccontextmanager
async def serving(respond):
    """Serve each request head with `respond(writer, number of the request on this connection)`."""
    seen = {"connections": 0, "requests": []}
    writers = []

    async def serve(reader, writer):
        seen["connections"] += 1
        writers.append(writer)
        number = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                seen["requests"].append(head + await reader.readexactly(length))
                number += 1
                await respond(writer, number)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
        for writer in writers:
            with suppress(ConnectionError):
                await writer.wait_closed()


async def answer(writer, _number):
    writer.write(OK)


async def test_a_connection_is_used_again():
    async with serving(answer) as (url, seen), LoadClient(url, "k", connections=1) as client:
        for _ in range(3):
            told = await client.request(client.compose("POST", "/x", b"{}"))
            assert (told.status, told.body) == (200, b"hi")
    assert seen["connections"] == 1
    assert seen["requests"][0].startswith(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer k\r\n" in seen["requests"][0]
    assert seen["requests"][0].endswith(b"\r\n\r\n{}")


async def test_no_more_connections_than_allowed_and_everybody_is_served():
    async with serving(answer) as (url, seen), LoadClient(url, "k", connections=4) as client:
        raw = client.compose("GET", "/")
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(client.request(raw)) for _ in range(100)]
    assert {one.result().status for one in asked} == {200}
    assert seen["connections"] <= 4


async def test_an_answer_in_pieces_is_one_answer():
    async def dribble(writer, _number):
        for place in range(len(OK)):
            writer.write(OK[place : place + 1])
            await writer.drain()

    async with serving(dribble) as (url, _), LoadClient(url, "k") as client:
        assert (await client.request(client.compose("GET", "/"))).body == b"hi"


async def test_a_closed_connection_is_no_answer_and_the_next_request_opens_another():
    async def close_first(writer, _number):
        if seen["connections"] == 1:
            writer.close()
        else:
            writer.write(OK)

    async with serving(close_first) as (url, seen), LoadClient(url, "k", connections=1) as client:
        raw = client.compose("GET", "/")
        assert (await client.request(raw)).status == NO_ANSWER
        assert (await client.request(raw)).status == 200


async def test_a_server_that_announces_its_close_is_not_asked_on_that_connection_again():
    async def last(writer, _number):
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    async with serving(last) as (url, seen), LoadClient(url, "k", connections=1) as client:
        raw = client.compose("GET", "/")
        assert [(await client.request(raw)).status for _ in range(2)] == [200, 200]
    assert seen["connections"] == 2


async def test_an_overdue_answer_is_no_answer():
    async def never(_writer, _number):
        return

    async with serving(never) as (url, _), LoadClient(url, "k", deadline_s=0.1) as client:
        told = await client.request(client.compose("GET", "/"))
    assert told.status == NO_ANSWER
    assert 0.1 <= told.seconds < 2


async def test_who_hangs_up_gets_no_answer_and_the_request_was_sent(eventually):
    async def late(writer, _number):
        await asyncio.sleep(0.2)
        writer.write(OK)

    async with serving(late) as (url, seen), LoadClient(url, "k") as client:
        told = await client.request(client.compose("GET", "/"), hang_up=True)
        assert told.status == NO_ANSWER
        await eventually(lambda: seen["requests"])


async def test_nobody_listens():
    async with LoadClient("http://127.0.0.1:1", "k") as client:
        assert (await client.request(client.compose("GET", "/"))).status == NO_ANSWER


@pytest.mark.parametrize(
    ("status", "seconds"), [(b"503 Busy", 2), (b"429 Slow", 2), (b"200 OK", 0)]
)
async def test_retry_after_is_read_where_it_means_something(status, seconds):
    async def busy(writer, _number):
        writer.write(b"HTTP/1.1 " + status + b"\r\nretry-after: 2\r\nContent-Length: 0\r\n\r\n")

    async with serving(busy) as (url, _), LoadClient(url, "k") as client:
        told = await client.request(client.compose("GET", "/"))
    assert told.retry_after_s == seconds


async def test_a_cancelled_caller_never_shifts_answers_to_the_next():
    async def numbered(writer, _number):
        count = len(seen["requests"])
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % count)

    async with serving(numbered) as (url, seen), LoadClient(url, "k", connections=1) as client:
        raw = client.compose("GET", "/")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.request(raw)
        assert (await client.request(raw)).body == b"2"
