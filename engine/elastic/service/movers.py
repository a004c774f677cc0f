"""How units get from one shop to another: at once, or once a marketplace has confirmed."""

from typing import Final, Protocol

from engine.elastic.types import Decision
from engine.infra.runtime import Runtime
from engine.inventory.service import controls
from engine.inventory.types import MoveFields, PoolName
from engine.kernel.errors import InConflict

ACTOR: Final = "rebalancer"
_NOBODY_ASKED: Final = "is a marketplace, which cannot be asked for units here"


class Mover(Protocol):
    """The port by which decisions are carried out; the same one again does nothing more."""

    drains: bool  # whether a marketplace can be asked; if not, none lends

    async def move(self, decision: Decision) -> int:
        """Move the units at once and return how many.

        Raises:
            EngineError: Short and the like, and nothing was moved; OutcomeUnknown or Closed, and
                it is to be tried again.
        """
        ...

    async def request_drain(self, decision: Decision) -> None:
        """Ask a marketplace to show less; nothing is lent before it is done.

        Raises:
            EngineError: it cannot be asked.
        """
        ...

    async def drained(self, decision: Decision) -> int | str | None:
        """Return the units that came of a drain, the reason why none did, or None: not yet."""
        ...


class Direct:
    """Moves by the script `move`; no marketplace can be asked yet."""

    drains: bool = False

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def move(self, decision: Decision) -> int:
        """Move the units; the lender's floor is kept by the script itself."""
        return await controls.move(self._runtime, decision.tenant, wanted(decision), ACTOR)

    async def request_drain(self, decision: Decision) -> None:
        """Refuse: nobody can be asked."""
        raise InConflict(f"{decision.lending.source} {_NOBODY_ASKED}")

    async def drained(self, decision: Decision) -> int | str | None:
        """Refuse what another version asked for."""
        return f"{decision.lending.source} {_NOBODY_ASKED}"


def wanted(decision: Decision) -> MoveFields:
    """Return the move that a decision comes to."""
    lending = decision.lending
    return MoveFields(
        decision.move_id,
        decision.sku,
        lending.units,
        PoolName(lending.source, decision.campaign),
        PoolName(lending.target, decision.campaign),
        lending.keep,
    )
