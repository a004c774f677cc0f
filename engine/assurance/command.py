"""`tidegate cell`: look at the cell, close it on purpose, open one that stays closed."""

import sys
from collections.abc import Callable
from typing import Final

from engine.assurance import rules
from engine.assurance.keeper import Keeper
from engine.assurance.store import SQL
from engine.infra.cell import Cell, State
from engine.infra.runtime import Runtime
from engine.kernel import codec
from engine.kernel.errors import EngineError, ValidationFailed

DONE: Final = 0
REFUSED: Final = 1
_BY_HAND: Final = "closed by hand: "
_ACTOR: Final = "operator"
_REASON_MAX: Final = 256

Say = Callable[[str], None]


async def show(process: Runtime, *, as_json: bool) -> int:
    """Say whether the cell is open, if not why, and what to do; 1 if it is not."""
    cell = _cell(process)
    state = await cell.refresh()
    row = await process.pool.fetchrow(SQL["cell"], cell.id)
    phase, reason = (state.phase, state.reason) if state else ("", "")
    reason = reason or (row["closed_reason"] if row and phase != "open" else "")
    told = {
        "cell": cell.id,
        "phase": phase or "empty",
        "reason": reason,
        "next": rules.what_next(phase, reason),
        "epoch": state.epoch if state else 0,
        "accepted": state.accepted if state else 0,
        "log_id": state.last_id if state else "",
        "recorded": row["recorded"] if row else 0,
        "recorded_to": row["last_id"] if row else "",
    }
    if as_json:
        sys.stdout.write(codec.encode_pretty(told).decode())
    else:
        width = max(map(len, told))
        for name, value in told.items():
            if value != "":
                sys.stdout.write(f"{name:<{width}}  {value}\n")
    return DONE if phase == "open" else REFUSED


async def close(process: Runtime, reason: str, say: Say) -> int:
    """Close an open cell: from the next call on nothing is taken; 1 if it was not open."""
    _require_reason(reason)
    cell = _cell(process)
    state = await cell.refresh()
    if state is None or state.phase != "open":
        why = state.reason or state.phase if state else "it is empty"
        say(f"the cell is not open: {why}")
        return REFUSED
    await Keeper(cell, process.pool, process.clock).close(_BY_HAND + reason)
    await _tell(process, "cell_closed", reason, "")
    say("the cell is closed, and stays so until `tidegate cell open --reason TEXT`")
    return DONE


async def open_again(process: Runtime, reason: str, say: Say, *, rebuild: bool) -> int:
    """Open a cell that stays closed; 1, with what to do, if it is not open after that.

    It is compared with Postgres as at any opening; with `rebuild` it is made anew from Postgres.
    """
    _require_reason(reason)
    state = await _cell(process).refresh()
    phase, was = (state.phase, state.reason) if state else ("", "")
    if phase == "open":
        say("the cell is open")
        return DONE
    why = rules.why_not_open(phase, was, rebuild=rebuild)
    if not why:
        say(f"it was closed: {was}")
        why = await _try(process, state, reason, rebuild=rebuild)
    if why:
        say(why)
        return REFUSED
    say(f"the cell is open, epoch {_cell(process).epoch}; its pools are as Postgres has them")
    return DONE


async def _try(process: Runtime, state: State | None, reason: str, *, rebuild: bool) -> str:
    """Open the cell and compare it; return why it is not open, with what to do."""
    keeper = Keeper(_cell(process), process.pool, process.clock)
    try:
        if why := await keeper.open(state, f"asked for by hand: {reason}" if rebuild else ""):
            return f"the cell stays closed: {why}"
        await _tell(process, "cell_opened", reason, state.reason if state else "")
        if why := await keeper.check_opening():
            return f"closed again: {why}; if Postgres is right, repeat it with --rebuild"
    except EngineError as away:
        return f"{away.detail}: look at `tidegate cell show`, and try again"
    return ""


def _require_reason(reason: str) -> None:
    if not (1 <= len(reason.strip()) <= _REASON_MAX and reason.isprintable()):
        raise ValidationFailed([], f"--reason must be 1 to {_REASON_MAX} characters, in one line")


async def _tell(process: Runtime, kind: str, reason: str, was: str) -> None:
    cell = _cell(process)
    told = {"cell": cell.id, "epoch": cell.epoch, "reason": reason, "closed_reason": was}
    await process.pool.execute(SQL["tell"], kind, _ACTOR, codec.encode(told).decode())


def _cell(process: Runtime) -> Cell:
    assert isinstance(process.cell, Cell)
    return process.cell
