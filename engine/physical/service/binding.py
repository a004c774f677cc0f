"""Units at nodes for many decisions at once: each has all that it asks for, or nothing.

What `assignments.assign` does for one order, for a batch of them and only as far as units are free.
It changes nothing that may be sold: what an order needs was taken out of the pools when it was
accepted, and moves here from what is free at a node to what is committed there. So no planner is
told.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.service.assignments import Wanted
from engine.physical.store import assignments as store
from engine.physical.store import balances
from engine.physical.types.facts import Assigned, Given, Key

Bid = Sequence[Wanted]  # one whole decision


class Bound(NamedTuple):
    """Which bids have their units, one flag each, and what keys of the others have free now."""

    won: list[bool]
    free: dict[Key, int]


async def bind(tx: Connection, tenant: Tenant, bids: Sequence[Bid], at: datetime) -> Bound:
    """Commit units to bids in their order, each whole or not at all.

    Names are new: no assignment of theirs was ever written. Where nothing was ever counted nothing
    is free. It locks balances, so a transaction makes one such call, or one of `assignments`.
    """
    ids = await balances.find_ids(tx, tenant, {one.key for bid in bids for one in bid})
    free = await balances.lock_free(tx, ids.values())
    won = share_out([_needs(bid, ids) for bid in bids], free)
    given = [
        Given(one.name, ids[one.key], Assigned(one.units))
        for bid, has in zip(bids, won, strict=True)
        if has
        for one in bid
    ]
    taken = Counter[int]()
    for one in given:
        taken[one.key_id] += one.state.units
    await balances.commit(tx, taken)
    await store.append(tx, tenant, given, at)
    lost = {one.key for bid, has in zip(bids, won, strict=True) if not has for one in bid}
    return Bound(won, {key: free[ids[key]] - taken[ids[key]] if key in ids else 0 for key in lost})


def share_out(needs: Sequence[Mapping[int, int] | None], free: Mapping[int, int]) -> list[bool]:
    """Return who gets all it needs of what is free, the first first; None needs what is nowhere."""
    left = dict(free)
    won = []
    for need in needs:
        has = need is not None and all(left[key] >= units for key, units in need.items())
        if need is not None and has:
            for key, units in need.items():
                left[key] -= units
        won.append(has)
    return won


def _needs(bid: Bid, ids: Mapping[Key, int]) -> Mapping[int, int] | None:
    found = Counter[int]()
    for one in bid:
        if one.key not in ids:
            return None
        found[ids[one.key]] += one.units
    return found
