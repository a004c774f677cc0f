"""Connections to Postgres: a pool for requests, dedicated ones for workers."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg

from engine.infra import metrics

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# What a server that is away, restarting or overloaded says; the statement may be tried again.
UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut while a statement was on its way
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)

# A process that is stopped inside a transaction keeps its row locks, and nobody else can take them
# from it: the server ends its session, in less time than the ownership of a log lapses.
_SESSION: Final = {"idle_in_transaction_session_timeout": "4s"}


class _Kept(asyncpg.Connection):
    """A connection that goes back as it is: nothing here changes a session, or locks for one.

    A transaction that is open is still rolled back. Without this, each use of the pool is one round
    trip more; all roles of an idle worker made 68 of them a second.
    """

    def get_reset_query(self) -> str:
        """Return that nothing is to be said to the server."""
        return ""


class _Pool(asyncpg.Pool):
    """A pool that counts how long it lets wait; all that lends a connection goes through here."""

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - the library's signature
        began = time.monotonic()
        try:
            return await super()._acquire(timeout)  # type: ignore[misc] # the stub leaves it out
        finally:
            metrics.POOL_WAIT.add(time.monotonic() - began)


async def open_pool(dsn: str, *, size_max: int = 10) -> Pool:
    """Open a pool whose statements end after 10 s; connections are made when first needed."""
    return await _Pool(
        dsn, min_size=0, max_size=size_max, max_queries=50_000, loop=None,
        max_inactive_connection_lifetime=300.0, command_timeout=10, timeout=5,
        server_settings=_SESSION, connection_class=_Kept, record_class=asyncpg.Record,
    )  # fmt: skip


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection all of whose statements see the database as it is at the first of them."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def connect(
    dsn: str, *, command_timeout_s: float = 30
) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one dedicated connection, as workers hold it: no reset round trip between statements."""
    return await asyncpg.connect(
        dsn, command_timeout=command_timeout_s, timeout=5, server_settings=_SESSION
    )
