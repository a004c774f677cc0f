"""The bell between whoever changes what the cell must know and the publisher that tells it."""

from typing import Final

from engine.infra.postgres import Connection

CHANNEL: Final = "tidegate_publish"


async def wake(tx: Connection) -> None:
    """Ring when the caller's transaction commits; several rings are one."""
    await tx.execute("SELECT pg_notify($1, '')", CHANNEL)
