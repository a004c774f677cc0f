"""The profile `replica`: an answer counts only when a second machine has it on its disk."""

import dataclasses
import os
import signal

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from engine.infra import cell as cells
from engine.infra.cell import Cell
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import SystemClock
from engine.kernel.errors import OutcomeUnknown
from engine.kernel.types import CellId
from tests.lua.builders import DATABASE


@pytest.fixture
def replica_server(server_settings):
    """A second Valkey; Postgres is the session's, so only this server is started."""
    own = dataclasses.replace(server_settings, valkey_url=None, http_port=0)
    with Supervisor(own, ephemeral=True, api_processes=0, workers=0) as started:
        yield started


@pytest.fixture
async def follower(valkey, replica_server, eventually):
    """The second server as a replica of the first that has caught up, until the test ends."""
    primary = valkey.connection_pool.connection_kwargs
    async with redis.asyncio.from_url(replica_server.settings.valkey_url, protocol=2) as client:
        await client.config_set("masterauth", primary["password"])
        await client.execute_command("REPLICAOF", primary["host"], primary["port"])

        async def caught_up():
            return (await client.info("replication")).get("master_link_status") == "up"

        await eventually(caught_up, within_s=15)
        yield client
        await client.execute_command("REPLICAOF", "NO", "ONE")


async def opened(url, *, replicated):
    cell = Cell(cells.client(url), CellId("1"), SystemClock(), replicated=replicated)
    for step in ("restoring", "open"):
        await cell.call("open", [DATABASE, "0-0"], argument=step, epoch=1)
    await cell.refresh()
    return cell


async def test_an_answer_is_on_the_replica(valkey, valkey_url, follower):
    try:
        await valkey.execute_command("WAITAOF", 0, 0, 1)
    except ResponseError:
        pytest.skip("this server has no WAITAOF: the profile needs Valkey, or Redis 7.2")
    cell = await opened(valkey_url, replicated=True)
    await cell.call("grant", [["p", 1, 5, "load", ""]])
    assert await follower.hexists("tg:{c1}:pools", "p")
    await valkey.script_flush()
    assert (await cell.call("grant", [["p", 1, 5, "load", ""]])).results == [["REPEATED"]]
    await cell.redis.aclose()


@pytest.mark.usefixtures("follower")
async def test_without_the_replica_nothing_is_promised(valkey, valkey_url, replica_server):
    try:
        await valkey.execute_command("WAITAOF", 0, 0, 1)
    except ResponseError:
        pytest.skip("this server has no WAITAOF: the profile needs Valkey, or Redis 7.2")
    safe = await opened(valkey_url, replicated=True)
    control = Cell(cells.client(valkey_url), CellId("1"), SystemClock())
    await control.refresh()
    os.kill(replica_server.pid_of("valkey"), signal.SIGSTOP)
    try:
        assert (await control.call("grant", [["p", 1, 5, "load", ""]])).results == [["GRANTED", 5]]
        with pytest.raises(OutcomeUnknown, match="replica"):
            await safe.call("grant", [["q", 1, 5, "load", ""]])
    finally:
        os.kill(replica_server.pid_of("valkey"), signal.SIGCONT)
    assert (await safe.call("grant", [["q", 1, 5, "load", ""]])).results == [["REPEATED"]]
    await safe.redis.aclose()
    await control.redis.aclose()


@pytest.mark.usefixtures("valkey")
async def test_a_refusal_to_wait_says_nothing_about_what_was_done(replica_server):
    """`Closed` would tell the caller that nothing was taken."""
    url = replica_server.settings.valkey_url
    cell = await opened(url, replicated=False)
    safe = Cell(cells.client(url), CellId("1"), SystemClock(), replicated=True)
    await safe.refresh()
    await cell.redis.config_set("appendonly", "no")  # then WAITAOF is an error
    with pytest.raises(OutcomeUnknown):
        await safe.call("grant", [["p", 1, 5, "load", ""]])
    assert (await cell.call("grant", [["p", 1, 5, "load", ""]])).results == [["REPEATED"]]
    await safe.redis.aclose()
    await cell.redis.aclose()
