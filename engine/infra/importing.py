"""What the commands `tidegate import …` share: how they end, and what they talk to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from engine.infra import migrate, postgres
from engine.infra.postgres import Connection
from engine.kernel.errors import Misconfigured

OK: Final = 0
FAILED: Final = 1  # rows were refused
USAGE: Final = 2  # it is no such file
ACTOR: Final = "tidegate import"

# Postgres went away, or does not let us in.
AWAY: Final[tuple[type[Exception], ...]] = (*postgres.UNAVAILABLE, asyncpg.PostgresError)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Connect to a database of this version's schema.

    Raises:
        Misconfigured: there is none.
    """
    try:
        connection = await postgres.connect(dsn)
    except AWAY as away:
        told = f"no Postgres lets us in there: {str(away) or type(away).__name__}"
        raise Misconfigured(f"TIDEGATE_DATABASE_URL: {told}") from away
    try:
        await migrate.require_head(connection)
        yield connection
    finally:
        await connection.close(timeout=2)
