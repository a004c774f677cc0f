"""Work that one process of a cell does at a time: a row that is renewed, and lapses.

It avoids work and proves nothing: a process that was stopped in the middle of its duty goes on with
it when it wakes, beside the one that took it over. What a duty does must be safe to do twice.
"""

from datetime import timedelta
from typing import Final

from engine.infra import queries
from engine.infra.postgres import Connection, Pool

SQL: Final = queries.load("engine.infra")
DUTY_SECONDS: Final = 5  # after which another process takes over from one that died


async def take(db: "Connection | Pool", cell: str, duty: str, process: str) -> bool:
    """Take or renew a duty; False while another process has it.

    To be called more often than `DUTY_SECONDS` pass, by the name of a process that no other has.
    """
    lasts = timedelta(seconds=DUTY_SECONDS)
    return await db.fetchval(SQL["take_duty"], cell, duty, process, lasts) is not None


async def leave(db: "Connection | Pool", cell: str, duty: str, process: str) -> None:
    """Give a duty back at the end, so that nobody has to wait for it; one of others stays."""
    await db.execute(SQL["leave_duty"], cell, duty, process)
