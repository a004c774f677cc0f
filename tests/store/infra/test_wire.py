"""The lean way to the server: replies in order, refusals as themselves, nothing read by another."""

import asyncio
import contextlib

import pytest
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError

from engine.infra import cell
from engine.infra.wire import Wires


@contextlib.asynccontextmanager
async def wires_to(url, *, most=4, timeout_s=5.0):
    async with cell.client(url) as redis:
        made = Wires(redis.connection_pool.make_connection, most=most, timeout_s=timeout_s)
        yield made
        made.close()


@pytest.fixture
async def wires(valkey_url):
    async with wires_to(valkey_url) as made:
        yield made


async def connections(valkey):
    """How many connections there are besides the one that asks."""
    return len(await valkey.client_list()) - 1


async def test_replies_come_in_the_order_of_their_commands(wires):
    big = b"x" * 300_000
    asked = (("SET", "a", big), ("GET", "a"), ("HMGET", "h", "1", "2"), ("INCRBY", "n", 7))
    assert await wires.ask(*asked) == [b"OK", big, [None, None], 7]


async def test_refusals_are_values_with_the_types_of_the_library(wires):
    found = await wires.ask(("EVALSHA", "0" * 40, 0), ("SET", "a", 1), ("HGET", "a", "b"))
    assert isinstance(found[0], NoScriptError)
    assert found[1] == b"OK"
    assert isinstance(found[2], ResponseError)
    (loading,) = await wires.ask((
        "EVAL", "return redis.error_reply('LOADING Redis is loading the dataset in memory')", 0,
    ))  # fmt: skip
    assert isinstance(loading, BusyLoadingError)


async def test_one_connection_serves_one_caller_after_another(wires, valkey):
    before = await connections(valkey)
    for n in range(20):
        assert await wires.ask(("ECHO", str(n))) == [str(n).encode()]
    assert await connections(valkey) == before + 1


async def test_callers_at_once_are_apart_and_bounded(valkey_url, valkey):
    async with wires_to(valkey_url, most=3) as wires:
        before = await connections(valkey)
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(wires.ask(("ECHO", str(n)))) for n in range(200)]
        assert [task.result() for task in asked] == [[str(n).encode()] for n in range(200)]
        assert await connections(valkey) <= before + 3


async def test_who_leaves_takes_the_reply_along(wires, valkey, eventually):
    """Whoever comes next must never read what was not for him."""
    waits = asyncio.create_task(wires.ask(("BLPOP", "never", 0)))

    async def blocked():
        return (await valkey.info("clients"))["blocked_clients"] == 1

    await eventually(blocked)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits

    async def left():
        return (await valkey.info("clients"))["blocked_clients"] == 0

    await eventually(left)  # else the reply goes to whoever left
    await valkey.rpush("never", "late")
    assert await wires.ask(("ECHO", "mine")) == [b"mine"]
    assert await valkey.lrange("never", 0, -1) == [b"late"]


async def test_no_reply_in_time_is_an_error_and_the_next_call_has_its_own(valkey_url):
    async with wires_to(valkey_url, timeout_s=0.1) as wires:
        with pytest.raises(TimeoutError):
            await wires.ask(("BLPOP", "never", 0))
        assert await wires.ask(("ECHO", "mine")) == [b"mine"]


async def test_the_wait_for_a_free_connection_is_bounded_too(valkey_url):
    async with wires_to(valkey_url, most=1, timeout_s=0.2) as wires:
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(late(wires)) for _ in range(20)]
        assert {call.result() for call in calls} == {
            "late"
        }  # the last one too: none queued for 4 s


async def late(wires):
    try:
        async with asyncio.timeout(1):
            await wires.ask(("BLPOP", "never", 0))
    except TimeoutError as error:
        return "late" if error.__cause__ is None or asyncio.current_task().cancelling() == 0 else ""


async def test_a_connection_that_the_server_ended_is_not_used_again(wires, valkey, eventually):
    await wires.ask(("CLIENT", "SETNAME", "wire"))

    async def named():
        return [one for one in await valkey.client_list() if one["name"] == "wire"]

    (ours,) = await named()
    await valkey.client_kill_filter(_id=ours["id"])
    await eventually(lambda: not wires.idle)
    assert await wires.ask(("ECHO", "again")) == [b"again"]
    waits = asyncio.create_task(wires.ask(("CLIENT", "SETNAME", "wire"), ("BLPOP", "never", 0)))
    await eventually(named)
    (ours,) = await named()
    await valkey.client_kill_filter(_id=ours["id"])
    with pytest.raises(RedisError):
        await waits


async def test_a_client_that_is_closed_closes_them(valkey_url, valkey, eventually):
    before = await connections(valkey)
    client = cell.client(valkey_url)
    wires = client.connection_pool.wires
    assert await wires.ask(("ECHO", "a")) == [b"a"]
    assert await connections(valkey) == before + 1
    waits = asyncio.create_task(wires.ask(("BLPOP", "never", 0)))

    async def blocked():
        return (await valkey.info("clients"))["blocked_clients"] == 1

    await eventually(blocked)
    await client.aclose()
    with pytest.raises(RedisError):
        await waits
    assert await connections(valkey) == before


async def test_no_server_is_an_error_of_the_library(free_port):
    async with wires_to(f"redis://127.0.0.1:{free_port}/0") as wires:
        with pytest.raises((RedisError, OSError)):
            await wires.ask(("PING",))


@pytest.fixture
def free_port(unused_tcp_port):
    return unused_tcp_port


class Babbler(asyncio.Protocol):
    """A server that answers everything twice."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, _data):
        self.transport.write(b"+OK\r\n+OK\r\n")


async def test_a_reply_nobody_asked_for_ends_the_connection(unused_tcp_port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Babbler, "127.0.0.1", unused_tcp_port)
    async with server, wires_to(f"redis://127.0.0.1:{unused_tcp_port}/0", timeout_s=0.5) as wires:
        with pytest.raises((RedisError, OSError)):
            await wires.ask(("PING",))
