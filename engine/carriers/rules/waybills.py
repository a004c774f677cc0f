"""How a waybill's state moves; no I/O."""

from typing import Final

from engine.carriers.types.waybills import Reply, State

# From which states one leads to another. What is used, cancelled or failed stays so.
BEFORE: Final[dict[State, tuple[State, ...]]] = {
    "asked": (),
    "got": ("asked",),
    "used": ("got",),
    "cancelled": ("got",),
    "failed": ("asked",),
}


def answered(reply: Reply) -> State:
    """Return what a request becomes by a carrier's answer; `asked` is to be asked again.

    An answer that has no number though it says `DONE` is no answer.
    """
    if reply.outcome == "DONE" and reply.waybill:
        return "got"
    if reply.outcome == "REFUSED" and reply.permanent:
        return "failed"
    return "asked"
