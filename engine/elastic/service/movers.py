"""How units get from one shop to another: at once, or once a marketplace has confirmed."""

from typing import Final, Protocol

from engine.elastic.types import Decision
from engine.infra.runtime import Runtime
from engine.inventory.service import controls as inventory
from engine.inventory.types import MoveFields, PoolName
from engine.publications.service import controls as publications

ACTOR: Final = "rebalancer"


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


class Publishing:
    """Moves as people's: at once, or as a drain where a marketplace shows the units."""

    drains: bool = True

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def move(self, decision: Decision) -> int:
        """Move the units; the lender's floor is kept by the script itself."""
        return await inventory.move(self._runtime, decision.tenant, wanted(decision), ACTOR)

    async def request_drain(self, decision: Decision) -> None:
        """Have the marketplace show less; what no listing shows is moved at once."""
        await publications.move(self._runtime, decision.tenant, wanted(decision), ACTOR)

    async def drained(self, decision: Decision) -> int | str | None:
        """Tell what became of it."""
        found = await publications.get_move(self._runtime, decision.tenant, decision.move_id)
        if found.drain is None:
            return found.moved
        if found.drain.state == "refused":
            return f"{found.reason}: {found.told}" if found.told else found.reason
        return found.drain.units if found.drain.state == "done" else None


def wanted(decision: Decision) -> MoveFields:
    """Return the move that a decision comes to."""
    lending = decision.lending
    return MoveFields(
        decision.move_id,
        decision.sku,
        lending.units,
        PoolName(lending.source, decision.campaign, decision.node_group),
        PoolName(lending.target, decision.campaign, decision.node_group),
        lending.keep,
    )
