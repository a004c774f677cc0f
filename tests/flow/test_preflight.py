"""A process that would lose orders does not start: a sentence says what to set, no traceback."""

import asyncio
import sys
from dataclasses import replace

import pytest

from engine import settings as settings_of
from engine.infra import keys
from engine.infra.servers import ports
from tests.fault.engines import ADMIN, house, open_sale

# fmt: off
WRONG = {
    "appendonly":                ("no",          "yes"),
    "appendfsync":               ("everysec",    "always"),
    "no-appendfsync-on-rewrite": ("yes",         "no"),
    "maxmemory":                 ("0",           "64mb"),
    "maxmemory-policy":          ("allkeys-lru", "noeviction"),
}
# fmt: on


async def refusal(command, settings, **changed):
    """Start a process as an operator does and return its exit code and what it said."""
    changed = {"http_port": ports.free_port(), "admin_key": ADMIN} | changed
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "engine", command,
        env=settings_of.environment(replace(settings, **changed)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            told, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"`tidegate {command}` started all the same") from None
    words = told.decode()
    assert process.returncode not in {0, None}, words
    assert "Traceback" not in words, words
    return words


@pytest.mark.parametrize("name", WRONG)
async def test_no_process_starts_over_a_valkey_that_forgets(settings, valkey, name):
    wrong, right = WRONG[name]
    await valkey.config_set(name, wrong)
    try:
        words = await asyncio.gather(refusal("api", settings), refusal("worker", settings))
    finally:
        await valkey.config_set(name, right)
    for told in words:
        assert f"Valkey {name} is {wrong}" in told
        assert f"CONFIG SET {name} " in told


async def test_no_process_starts_over_a_database_that_forgets(settings, pg):
    database = await pg.fetchval("SELECT current_database()")
    await pg.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    words = await asyncio.gather(refusal("api", settings), refusal("worker", settings))
    for told in words:
        assert "Postgres synchronous_commit is off" in told
        assert "ALTER SYSTEM SET synchronous_commit = on" in told


async def test_no_process_starts_over_a_database_without_our_tables(settings, empty_database_url):
    words = await asyncio.gather(
        *(refusal(one, settings, database_url=empty_database_url) for one in ("api", "worker"))
    )
    for told in words:
        assert "tidegate migrate" in told


async def test_no_process_starts_over_the_cell_of_another_database(settings, pg, valkey):
    async with house(settings) as here:
        await here.worker()
        await open_sale(await here.api(), A=1)
    await pg.execute("UPDATE cells SET identity = 'another'")
    before = await valkey.hgetall(keys.of("1", "cell"))
    words = await asyncio.gather(refusal("api", settings), refusal("worker", settings))
    for told in words:
        assert "belongs to another database" in told
        assert "TIDEGATE_DATABASE_URL" in told
    after = await valkey.hgetall(keys.of("1", "cell"))
    assert {k: v for k, v in after.items() if k != b"now"} == {
        k: v for k, v in before.items() if k != b"now"
    }


async def test_the_profile_of_two_machines_is_refused_on_one(settings):
    words = await refusal("api", settings, durability="replica")
    assert "min-replicas-to-write" in words


@pytest.mark.parametrize("server", ["valkey", "postgres"])
async def test_a_server_that_is_not_there_is_named(settings, server):
    port = ports.free_port()
    changed = {
        "valkey": {"valkey_url": f"redis://:secret@127.0.0.1:{port}/0"},
        "postgres": {"database_url": f"postgresql://postgres:secret@127.0.0.1:{port}/postgres"},
    }[server]
    words = await refusal("api", settings, **changed)
    assert f"TIDEGATE_{'VALKEY' if server == 'valkey' else 'DATABASE'}_URL" in words
    assert "secret" not in words


async def test_a_process_starts_when_all_is_right(settings, eventually):
    """Else every refusal above could have another reason."""
    changed = replace(settings, http_port=ports.free_port(), admin_key=ADMIN)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "engine", "api", env=settings_of.environment(changed),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    base = ports.base_url(changed.http_host, changed.http_port)
    await eventually(lambda: ports.get(base, "/healthz")[0] == 200, within_s=20)
    process.terminate()
    assert await process.wait() == 0
