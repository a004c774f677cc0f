"""Connections to Postgres: a pool for requests, dedicated ones for workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg

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


async def open_pool(dsn: str, *, size_max: int = 10) -> Pool:
    """Open a pool whose statements end after 10 s; connections are made when first needed."""
    return await asyncpg.create_pool(
        dsn, min_size=0, max_size=size_max, command_timeout=10, timeout=5,
        server_settings=_SESSION, connection_class=_Kept,
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
