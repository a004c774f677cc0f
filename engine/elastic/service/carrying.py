"""Carry decisions out, each once, and write down what became of it."""

from typing import Final

from engine.elastic.service.movers import ACTOR, Mover
from engine.elastic.store import lendings
from engine.elastic.types import Decision, State
from engine.infra.postgres import Pool
from engine.kernel.errors import EngineError

AT_ONCE_MAX: Final = 200  # decisions; what is left comes with the next look


async def carry_out(pool: Pool, cell: str, mover: Mover) -> None:
    """Do what was decided, also by a process that has ended since.

    Raises:
        EngineError: the cell is closed or did not answer: what is left is done later.
    """
    async with pool.acquire() as connection:
        waiting = await lendings.waiting(connection, cell, AT_ONCE_MAX)
    for state, decision in waiting:
        await (_begin if state == "decided" else _ask)(pool, mover, decision)


async def _begin(pool: Pool, mover: Mover, decision: Decision) -> None:
    try:
        if decision.lending.how == "drain":
            await mover.request_drain(decision)
            await _end(pool, decision, "requested", units=decision.lending.units)
        else:
            await _end(pool, decision, "done", units=await mover.move(decision))
    except EngineError as refusal:
        if refusal.retryable:
            raise
        await _end(pool, decision, "refused", detail=_why(refusal))


async def _ask(pool: Pool, mover: Mover, decision: Decision) -> None:
    match await mover.drained(decision):
        case None:
            pass
        case int(units):
            await _end(pool, decision, "done", units=units)
        case reason:
            await _end(pool, decision, "refused", detail=reason)


async def _end(
    pool: Pool, decision: Decision, state: State, *, units: int = 0, detail: str = ""
) -> None:
    lending = decision.lending
    async with pool.acquire() as connection, connection.transaction():
        fresh = await lendings.end(
            connection, decision, state, units=units or lending.units, detail=detail
        )
        if fresh and state == "done":
            await lendings.tell(
                connection,
                "quota_moved",
                ACTOR,
                {
                    "campaign": decision.campaign, "sku": decision.sku, "units": units,
                    "from": lending.source, "to": lending.target,
                    "move_id": decision.move_id, "reason": lending.reason,
                },
            )  # fmt: skip


def _why(refusal: EngineError) -> str:
    free = refusal.extra.get("available")
    return f"only {free} units were free by then" if free is not None else refusal.detail
