"""Calls to nodes, put down with what decides them; whoever makes one asks `begin` which it is.

A job says only that a consignment is to be looked at: so one too many does no harm, and one that is
late makes the call that is due by then.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from engine.infra import jobs
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant

QUEUES: Final = "wms:"  # what the queues of nodes begin with
CALL: Final = "call"
INTERCEPT: Final = "intercept"  # of a shipment whose carrier is to turn its parcels round
SETTLE: Final = "settle"  # what lacks in a final confirm; no call, and in nobody's way
RECALL: Final = "recall"  # of what was sent in place of units that left after all; as above
CANCEL_AGAIN: Final = "cancel_again"  # of a consignment that is cancelled here, and lives there

_APART: Final = frozenset({SETTLE, RECALL})  # not in turn with the calls of their consignment


# When calls are due that time runs away from: of those that are due the longest one is made first,
# and a cancel that waits for hundreds of creates finds its parcel packed.
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Call(NamedTuple):
    """A consignment to be looked at, at its node, not before an instant."""

    consignment_id: str
    node: str
    due_at: datetime | None = None
    kind: str = CALL


async def put(tx: Connection, tenant: str, calls: Iterable[Call]) -> None:
    """Put calls down; the rows of their orders are locked by the caller, so they come in turn."""
    await jobs.put(
        tx,
        Tenant(tenant),
        [
            jobs.New(
                f"{QUEUES}{one.node}", one.kind,
                one.consignment_id + (f":{one.kind}" if one.kind in _APART else ""),
                {"consignment_id": one.consignment_id, "node": one.node}, one.due_at,
            )
            for one in dict.fromkeys(calls)
        ],
    )  # fmt: skip
