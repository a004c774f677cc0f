"""Real servers, started once a session by our own supervisor; an empty world for each test.

TIDEGATE_PG_BIN and TIDEGATE_VALKEY_BIN choose other servers for a whole run; every other
TIDEGATE_* of the caller's environment is taken away, so that no test depends on it.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from inspect import isawaitable
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio
from redis.asyncio import Redis

from engine import settings as settings_of
from engine.infra.migrate import migrate
from engine.infra.servers.supervisor import Supervisor
from engine.settings import Settings

KEPT = {"TIDEGATE_PG_BIN", "TIDEGATE_VALKEY_BIN", "TIDEGATE_TEST_DATA"}
TEMPLATE = "tidegate_template"
MEMORY = "/dev/shm"  # noqa: S108 - our folder in it is made for its owner alone
MEMORY_FREE = 8 << 30

for name in [key for key in os.environ if key.startswith("TIDEGATE_") and key not in KEPT]:
    del os.environ[name]

_numbers = count()
_introspect = asyncpg.Connection._introspect_types  # noqa: SLF001 - what it answers is kept below
_types: dict[frozenset[int], Any] = {}
_FIRST_OWN_TYPE = 16_384  # below are Postgres' own types, the same in every database


async def _introspect_once(connection: Any, oids: Collection[int], within_s: float) -> Any:
    """Ask once a session what Postgres' own array types are.

    The driver asks on each connection, 11 ms each time; a flow of half a second opens a dozen.
    """
    name = frozenset(oids)
    found = _types.get(name)
    if found is None:
        found = await _introspect(connection, oids, within_s)
        if max(name) < _FIRST_OWN_TYPE:
            _types[name] = found
    return found


asyncpg.Connection._introspect_types = _introspect_once  # noqa: SLF001


async def eventually(
    condition: Callable[[], object | Awaitable[object]], within_s: float = 5.0
) -> object:
    """Wait until `condition()`, plain or async, is truthy; return what it returned.

    An AssertionError inside the condition means not yet; at the end the last one is raised.
    """
    deadline = time.monotonic() + within_s
    while True:
        last: AssertionError | None = None
        try:
            found = condition()
            if isawaitable(found):
                found = await found
        except AssertionError as error:
            found, last = None, error
        if found:
            return found
        if time.monotonic() >= deadline:
            raise last or AssertionError(f"not within {within_s:g} s: {condition}")
        await asyncio.sleep(0.01)


@pytest.fixture(name="eventually", scope="session")
def _eventually() -> Callable[..., Awaitable[object]]:
    """The helper as a fixture: test modules cannot import a conftest."""
    return eventually


@pytest.fixture
def asked_for_soak(request: pytest.FixtureRequest) -> None:
    """Skip a long form unless the run asks for such."""
    if "soak" not in request.config.option.markexpr:
        path = request.path.relative_to(request.config.rootpath)
        pytest.skip(f"the long form: pytest -m soak {path}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Supervisor]:
    """One Valkey and one Postgres for the session, with the settings of production."""
    supervisor = Supervisor(settings_of.load(), ephemeral=True, api_processes=0, workers=0)
    with ExitStack() as stack:
        with _in_memory():
            stack.enter_context(supervisor)
        yield supervisor


@contextmanager
def _in_memory() -> Iterator[None]:
    """Put the servers' files into memory, where that has room and nobody chose another place.

    A database for each test is a thousand files: 0.6 s of ext4, 0.04 s of memory. Nothing that
    these servers are asked depends on the disk: power is cut from servers of the test's own.
    """
    roomy = os.path.ismount(MEMORY) and shutil.disk_usage(MEMORY).free >= MEMORY_FREE
    before = tempfile.tempdir
    if roomy and "TMPDIR" not in os.environ:
        tempfile.tempdir = MEMORY
    try:
        yield
    finally:
        tempfile.tempdir = before


@pytest.fixture(scope="session")
def server_settings(servers: Supervisor) -> Settings:
    """Settings with the addresses of the shared servers (its database is not migrated)."""
    return servers.settings


@pytest.fixture(scope="session")
def template_database(server_settings: Settings) -> str:
    """The name of a migrated database that each test's own is copied from."""
    admin = _url(server_settings)

    async def make() -> None:
        await _execute(admin, f"CREATE DATABASE {TEMPLATE}")
        await migrate(_with_database(admin, TEMPLATE))

    asyncio.run(make())
    return TEMPLATE


@pytest.fixture
async def empty_database_url(server_settings: Settings) -> AsyncIterator[str]:
    """A database without any table, for tests of the migrations."""
    async for url in _database(_url(server_settings), "template1"):
        yield url


@pytest.fixture
async def database_url(server_settings: Settings, template_database: str) -> AsyncIterator[str]:
    """A migrated database of this test's own."""
    async for url in _database(_url(server_settings), template_database):
        yield url


@pytest.fixture
async def pg(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to this test's database."""
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def valkey_url(server_settings: Settings) -> str:
    """The shared Valkey, emptied."""
    url = server_settings.valkey_url or ""
    async with redis.asyncio.from_url(url, protocol=2) as client:
        await client.flushall()
    return url


@pytest.fixture
async def valkey(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of the shared Valkey, which was emptied before; answers are bytes."""
    async with redis.asyncio.from_url(valkey_url, protocol=2) as client:
        yield client


@pytest.fixture
def settings(server_settings: Settings, database_url: str, valkey_url: str) -> Settings:
    """Settings of an instance over this test's database and the emptied Valkey."""
    return settings_of.load(
        settings_of.environment(server_settings)
        | {"TIDEGATE_DATABASE_URL": database_url, "TIDEGATE_VALKEY_URL": valkey_url}
    )


def _url(settings: Settings) -> str:
    assert settings.database_url
    return settings.database_url


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def _database(admin: str, template: str) -> AsyncIterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _execute(admin, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _with_database(admin, name)
    await _execute(admin, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
