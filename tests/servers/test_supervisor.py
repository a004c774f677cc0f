"""The supervisor from Python: restarts, refusals, what lasts and what does not."""

import asyncio
import signal
import socket
import time
from dataclasses import replace

import asyncpg
import pytest
import redis.asyncio

from engine import settings as settings_of
from engine.infra import runfile
from engine.infra.servers import postgres
from engine.infra.servers.errors import CannotStart, Missing
from engine.infra.servers.keeper import Keeper
from engine.infra.servers.process import Recipe
from engine.infra.servers.supervisor import Supervisor

BACK_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """Settings with a data directory that this module's tests share."""
    home = tmp_path_factory.mktemp("instance") / "data"
    return replace(settings_of.load(), data_dir=home)


def servers_only(settings, **more):
    return Supervisor(settings, api_processes=0, workers=0, **more)


async def value_of(url, name):
    async with redis.asyncio.from_url(url, protocol=2) as client:
        return await client.get(name)


async def rows_of(url):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM kept")
    finally:
        await connection.close()


async def write(settings):
    async with redis.asyncio.from_url(settings.valkey_url, protocol=2) as client:
        await client.set("kept", "yes")
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (at int)")
    await connection.execute("INSERT INTO kept VALUES (1)")
    await connection.close()


async def test_a_killed_server_is_back_in_time_at_the_same_address_with_its_data(lasting):
    told = []
    with servers_only(lasting, ephemeral=True, tell=told.append) as supervisor:
        await write(supervisor.settings)
        for name in ("valkey", "postgres"):
            began = time.monotonic()
            pid = supervisor.kill(name)
            assert supervisor.wait_replaced(name, pid, within_s=BACK_WITHIN_S) != pid
            supervisor.wait_ready(within_s=BACK_WITHIN_S)
            assert time.monotonic() - began < BACK_WITHIN_S
            assert supervisor.restarts_of(name) == 1
        assert await value_of(supervisor.settings.valkey_url, "kept") == b"yes"
        assert await rows_of(supervisor.settings.database_url) == 1
    assert told == [
        f"{name} {what}"
        for name in ("valkey", "postgres")
        for what in ("was ended by SIGKILL.", "was started again.")
    ]


async def test_a_supervisor_is_usable_from_asyncio(lasting, eventually):
    """The thread that started it has ended before the servers are asked: they must live on."""
    supervisor = servers_only(lasting, ephemeral=True)
    started = await asyncio.to_thread(supervisor.start)
    await asyncio.get_running_loop().shutdown_default_executor()
    pid = supervisor.kill("valkey")
    await eventually(lambda: supervisor.pid_of("valkey") not in {None, pid})
    await eventually(lambda: value_of_or_none(started.valkey_url))
    assert await value_of(started.valkey_url, "none") is None
    supervisor.stop()


async def value_of_or_none(url):
    try:
        await value_of(url, "none")
    except redis.exceptions.ConnectionError:
        return False
    return True


async def test_a_child_can_be_held_down(lasting):
    with servers_only(lasting, ephemeral=True) as supervisor:
        pid = supervisor.kill("valkey", restart=False)
        with pytest.raises(TimeoutError):
            supervisor.wait_replaced("valkey", pid, within_s=0.5)
        assert supervisor.pid_of("valkey") is None
        assert supervisor.start_again("valkey") != pid
        supervisor.wait_ready(within_s=BACK_WITHIN_S)


async def test_a_lasting_directory_keeps_data_and_passwords_and_ends_cleanly(lasting):
    with servers_only(lasting) as supervisor:
        await write(supervisor.settings)
        first = supervisor.settings
        mode = (lasting.data_dir / "postgres.password").stat().st_mode & 0o777
        assert mode == 0o600
        home = supervisor.home.path
    assert "database system is shut down" in (home / "log" / "postgres.log").read_text()
    assert "bye bye" in (home / "log" / "valkey.log").read_text()
    with servers_only(lasting) as supervisor:
        assert await value_of(supervisor.settings.valkey_url, "kept") == b"yes"
        assert await rows_of(supervisor.settings.database_url) == 1
        assert supervisor.settings.valkey_url.split("@")[0] == first.valkey_url.split("@")[0]


async def test_a_directory_in_use_is_refused(lasting):
    with (
        servers_only(lasting),
        pytest.raises(CannotStart, match=r"is in use by another Tidegate: stop that one, or set"),
    ):
        servers_only(lasting).start()


async def test_a_directory_we_may_not_write_is_refused(lasting, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="set TIDEGATE_DATA_DIR to one you may write to"):
        servers_only(replace(lasting, data_dir=tmp_path / "file" / "data")).start()


async def test_a_taken_port_is_refused_before_anything_starts(lasting, tmp_path):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        settings = replace(lasting, http_port=port, data_dir=tmp_path / "data")
        with pytest.raises(CannotStart, match=f"Port {port} .*set TIDEGATE_HTTP_PORT"):
            Supervisor(settings).start()
    assert not settings.data_dir.exists()


async def test_a_cluster_of_another_major_version_is_refused(lasting):
    with servers_only(lasting) as supervisor:
        version = supervisor.home.path / postgres.NAME / "PG_VERSION"
    found = version.read_text()
    version.write_text("9\n")
    try:
        with pytest.raises(CannotStart, match=r"made by Postgres 9 .*set TIDEGATE_PG_BIN"):
            servers_only(lasting).start()
    finally:
        version.write_text(found)


async def test_the_replica_profile_has_no_embedded_server(lasting):
    with pytest.raises(CannotStart, match="set TIDEGATE_VALKEY_URL"):
        servers_only(replace(lasting, durability="replica"), ephemeral=True).start()


async def test_a_server_whose_address_is_given_is_not_started(lasting, server_settings):
    given = replace(
        lasting, valkey_url=server_settings.valkey_url, database_url=server_settings.database_url
    )
    with servers_only(given, ephemeral=True) as supervisor:
        assert supervisor.names() == []
        assert supervisor.settings.valkey_url == server_settings.valkey_url


async def test_a_child_that_keeps_dying_is_told_with_its_last_words(tmp_path, eventually):
    told = []
    keeper = Keeper(told.append)
    command = ("/bin/sh", "-c", "echo no such thing; exit 7")
    keeper.launch(Recipe(name="w", command=command, log=tmp_path / "w.log", environment={}))
    await eventually(lambda: any("3. time in a row" in sentence for sentence in told))
    keeper.stop(["w"])
    keeper.close()
    assert told[0] == "w ended with 7."
    pattern = next(sentence for sentence in told if "in a row" in sentence)
    assert pattern.endswith("ends: no such thing")


async def test_a_child_deaf_to_its_signal_is_killed_in_the_end(tmp_path, eventually):
    told = []
    keeper = Keeper(told.append)
    command = ("/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    recipe = Recipe(
        name="w", command=command, log=tmp_path / "w.log", environment={}, stop_seconds=0.2
    )
    keeper.launch(recipe)
    await eventually(lambda: "up" in recipe.log.read_text())
    keeper.stop(["w"])
    keeper.close()
    assert told == ["w did not stop when asked and was killed."]


async def test_a_stopped_child_can_go_on(lasting):
    with servers_only(lasting, ephemeral=True) as supervisor:
        pid = supervisor.kill("valkey", signal.SIGSTOP)
        supervisor.kill("valkey", signal.SIGCONT)
        supervisor.wait_ready(within_s=BACK_WITHIN_S)
        assert supervisor.pid_of("valkey") == pid


RUNNING = {"database_url": "postgresql://u:p@h/d", "valkey_url": "redis://h/0", "http_port": 81}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A machine where nothing runs yet."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return replace(settings_of.load(), data_dir=tmp_path / "data")


def test_a_command_attaches_to_the_running_instance(elsewhere):
    elsewhere.data_dir.mkdir()
    runfile.write(elsewhere.data_dir, replace(elsewhere, **RUNNING))
    attached = runfile.attach(elsewhere)
    assert {name: getattr(attached, name) for name in RUNNING} == RUNNING
    assert (elsewhere.data_dir / "run.json").stat().st_mode & 0o777 == 0o600
    given = runfile.attach(replace(elsewhere, database_url="postgresql://mine"))
    assert (given.database_url, given.valkey_url) == ("postgresql://mine", "redis://h/0")


def test_an_ephemeral_instance_is_found_by_its_port(elsewhere):
    running = replace(elsewhere, **RUNNING, ephemeral=True)
    runfile.write(elsewhere.data_dir, running)
    with pytest.raises(Missing, match="set TIDEGATE_DATABASE_URL and TIDEGATE_VALKEY_URL"):
        runfile.attach(elsewhere)
    assert runfile.attach(replace(elsewhere, http_port=81)).valkey_url == "redis://h/0"
    runfile.remove(elsewhere.data_dir, running)
    with pytest.raises(Missing):
        runfile.attach(replace(elsewhere, http_port=81))


def test_the_run_file_of_a_dead_instance_does_not_count(elsewhere, monkeypatch):
    elsewhere.data_dir.mkdir()
    runfile.write(elsewhere.data_dir, replace(elsewhere, **RUNNING))

    def gone(_pid, _signal):
        raise ProcessLookupError

    monkeypatch.setattr("os.kill", gone)
    with pytest.raises(Missing, match="start one with `tidegate up`"):
        runfile.attach(elsewhere)


def test_a_command_that_needs_one_server_asks_for_one(elsewhere):
    only = replace(elsewhere, database_url="postgresql://mine")
    assert runfile.attach(only, valkey=False) == only
    with pytest.raises(Missing, match=r"or set TIDEGATE_VALKEY_URL\."):
        runfile.attach(only)
