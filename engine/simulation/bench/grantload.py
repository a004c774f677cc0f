"""Grants alone: written down for many pools, brought to the cell by the publisher, and recorded.

Every other one takes away what the one before it gave, so that nothing is left to plan again.
"""

import asyncio
from time import monotonic
from typing import Final

from engine.infra import publishing, queries
from engine.infra.postgres import Pool
from engine.simulation.bench.types import BenchFailed, Job, Tally

SQL: Final = queries.load("engine.simulation.bench")

_RECORDED_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.005
_ACCEPTED: Final = "202"


async def run(pool: Pool, job: Job) -> Tally:
    """Write down about as many grants as a job has orders, and wait until all are recorded.

    Raises:
        BenchFailed: they were not in time.
    """
    pools = await pool.fetchval(SQL["pools_to_grant"], job.campaign)
    each = 2 * max(1, round(job.orders / pools / 2))
    began = monotonic()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(SQL["write_grants"], job.campaign, each)
        await publishing.wake(connection)
    while await pool.fetchval(SQL["grants_are_open"]):
        if monotonic() > began + _RECORDED_WITHIN_S:
            raise BenchFailed(f"grants were not recorded within {_RECORDED_WITHIN_S:.0f} s")
        await asyncio.sleep(_POLL_S)
    seconds = monotonic() - began
    return Tally(
        answers=pools * each,
        accepted=pools * each,
        statuses={_ACCEPTED: pools * each},
        began=began,
        seconds=seconds,
        p50_ms=seconds * 1_000,
        p99_ms=seconds * 1_000,
        late_p99_ms=0.0,
        cpu_s=0.0,
    )
