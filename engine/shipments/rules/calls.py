"""The rule: which call a node is to get next for a consignment, and what its answer is a report of.

A create whose outcome is not known is sent again, under the same name, until it was answered; only
then it is cancelled. Whoever cancelled first and took "no such order" for an answer would say
`stopped` of a create that is still on its way.
"""

from typing import Final, Literal

from engine.shipments.types.shipments import Kind, State

Call = Literal["create", "cancel"]
# How a node answers: it did it (or had done it before), it will not, it has no order of that name,
# or nobody knows.
Outcome = Literal["done", "refused", "no_such_order", "unknown"]

_TO_CREATE: Final = frozenset({"planned", "sending", "unknown"})
_TO_CANCEL: Final = frozenset({"sent", "accepted", "picked", "packed", "stopping"})


def due(state: State, *, acknowledged: bool, stopping: bool) -> Call | None:
    """Return the call that is due; None when there is none. `acknowledged`: a create was."""
    if state == "planned":
        return None if stopping else "create"
    if state in _TO_CREATE or (state in _TO_CANCEL and not acknowledged):
        return "create"
    return "cancel" if stopping and state in _TO_CANCEL else None


def said(call: Call, outcome: Outcome) -> Kind | None:
    """Return what an answer reports; None when the call is to be made again.

    A node that knows nothing of what it acknowledged has lost it, or its create is still on the
    way: the create is sent again, never taken for cancelled.
    """
    if outcome == "unknown" or (call == "cancel" and outcome == "no_such_order"):
        return None
    if call == "create":
        return "sent" if outcome == "done" else "rejected"
    return "cancelled" if outcome == "done" else "cancel_failed"
