"""The small certificate: made all the time, of what one checkpoint says of both sides' pools.

`tidegate verify` reads all that was ever recorded; this reads no order. A checkpoint costs the cell
about 1 ms per 1,000 pools and the recorder a row a pool, so with many pools it is made less often.
"""

import structlog

from engine.assurance import store
from engine.assurance.store import SQL
from engine.infra.cell import Cell
from engine.infra.postgres import Pool
from engine.infra.tasks import sleep
from engine.kernel import limits
from engine.kernel.clock import Clock
from engine.kernel.ids import token

_PREFIX = "auto-"
_POLL_S = 0.5
_FOLDED_WITHIN_S = 60.0
_log = structlog.get_logger()


async def certify(cell: Cell, db: Pool, clock: Clock) -> float:
    """Write a checkpoint, wait until it is recorded, keep what it says; return when to go on.

    A recorder that does not come to it in time leaves the last verdict, which grows old.

    Raises:
        Closed: the cell is closed.
        OutcomeUnknown: the cell does not answer.
    """
    await db.execute(SQL["forget_checkpoints"], _PREFIX)
    checkpoint_id = _PREFIX + token(8)
    await store.checkpoint(cell, checkpoint_id)
    deadline = clock.monotonic() + _FOLDED_WITHIN_S
    while clock.monotonic() < deadline:
        row = await db.fetchrow(SQL["checkpoint"], checkpoint_id)
        if row is not None and row["parts_seen"] == row["parts"]:
            said = await db.fetchrow(SQL["write_certificate"], checkpoint_id)
            if said is not None and not said["holds"]:
                _log.error("certificate_broken", **said)
            parts: int = row["parts"]
            return max(limits.CERTIFY_EVERY_S, parts * limits.CERTIFY_PART_EVERY_S)
        await sleep(_POLL_S)
    return limits.CERTIFY_EVERY_S
