"""What every check of a pass is given."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engine.assurance.reconciling import store
from engine.assurance.reconciling.counting import Counted
from engine.assurance.reconciling.settled import Settled
from engine.assurance.reconciling.types import Drift
from engine.assurance.rules import position
from engine.infra.cell import Cell
from engine.infra.postgres import Pool
from engine.kernel.clock import Clock
from engine.kernel.errors import OutcomeUnknown

_FOLD_POLL_S: Final = 0.02
_FOLD_WITHIN_S: Final = 15.0

Steps: TypeAlias = AsyncIterator[list[Drift]]


@dataclass(slots=True)
class Looking:
    """What a pass needs, and what its checks leave for each other."""

    cell: Cell
    db: Pool
    clock: Clock
    checks: frozenset[str] = frozenset()
    turn: int = 0
    settled: Settled = field(default_factory=Settled)
    listed: int = -1  # how many holds of this pass the sweeper's list named
    counted: Counted = field(default_factory=Counted)

    async def folded(self, log_id: str) -> str:
        """Wait until Postgres is behind a position of the log; return where it is.

        Raises:
            OutcomeUnknown: nobody records: nothing can be compared.
        """
        until = self.clock.monotonic() + _FOLD_WITHIN_S
        while True:
            _, at = await store.recorded_to(self.db, self.cell.id)
            if position(at) >= position(log_id):
                return at
            if self.clock.monotonic() > until:
                raise OutcomeUnknown(f"the recorder is at {at} and does not come to {log_id}")
            await asyncio.sleep(_FOLD_POLL_S)
