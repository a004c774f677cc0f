"""Units at nodes for many decisions at once: each has all that it asks for, or nothing.

What `assignments.assign` does for one order, for a batch of them and only as far as units are free.
It changes nothing that may be sold: what an order needs was taken out of the pools when it was
accepted, and moves here from what is free at a node to what is committed there. So no planner is
told.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.store import assignments as store
from engine.physical.store import balances
from engine.physical.types.facts import Asked, Key

# Of keys whose units lie on other keys, too, how many are free; asked when all of those are locked.
Guard = Callable[[], Awaitable[Mapping[Key, int]]]
Also = Callable[[list[bool]], Awaitable[list[bool]]]  # of who has units, who has all else, too
_K = TypeVar("_K", bound=Hashable)


Bid = Sequence[Asked]  # one whole decision


class Apart(NamedTuple):
    """Keys of goods without a batch that are not all there is, or not all free; with their guard.

    So it is where stock is kept by batch, and where some of it is held back or past its window.
    """

    ids: Mapping[Key, int]  # by `keys_of`
    guard: Guard


class Bound(NamedTuple):
    """Which bids have their units, one flag each, and what their keys have free now."""

    won: list[bool]
    free: dict[int, int]


async def bind(
    tx: Connection,
    tenant: Tenant,
    bids: Sequence[Bid],
    at: datetime,
    also: Also | None = None,
    apart: Apart | None = None,
) -> Bound:
    """Commit units to bids in their order, each whole or not at all.

    Names are new: no assignment of theirs was ever written. Where nothing was ever counted nothing
    is free. It locks balances, so a transaction makes one such call, or one of `assignments`.
    `also` is asked while they are locked, before anything is written: a bid that lacks something
    else takes no units either. Units of an order stand on the key without a batch, whichever they
    are taken from, so of what is `apart` that key may fall below 0.
    """
    needs = [_needs(bid) for bid in bids]
    wanted = {key_id for need in needs for key_id in need or ()}
    free = await _locked(tx, wanted, apart)
    won = share_out(needs, free)
    if also is not None:
        won = await also(won)
    taken: dict[int, int] = {}
    rows: list[store.Row] = []
    for bid, need, has in zip(bids, needs, won, strict=True):
        if need is None or not has:
            continue
        for key_id, units in need.items():
            taken[key_id] = taken.get(key_id, 0) + units
        for order_id, node, attempt, lines in bid:
            rows += [
                (tenant, order_id, line_no, node, attempt, key_id, units, at)
                for line_no, key_id, units in lines
            ]
    loose = set(apart.ids.values()) & taken.keys() if apart else set[int]()
    await balances.commit_apart(tx, {n: taken[n] for n in loose})
    if loose:
        await balances.commit(tx, {n: units for n, units in taken.items() if n not in loose})
    else:
        await balances.commit(tx, taken)
    await store.append(tx, rows)
    return Bound(won, {key: free.get(key, 0) - taken.get(key, 0) for key in wanted})


async def keys_of(tx: Connection, tenant: Tenant, keys: Collection[Key]) -> dict[Key, int]:
    """Return those of keys that are apart; of a SKU that is kept by batch alone it is made.

    An order needs it. To be called before `bind`, which locks their balances.
    """
    ids = await balances.find_ids(tx, tenant, keys)
    if new := await balances.kept_otherwise(tx, tenant, set(keys) - ids.keys()):
        ids |= await balances.key_ids(tx, tenant, new)
    return ids


async def _locked(tx: Connection, wanted: Collection[int], apart: Apart | None) -> dict[int, int]:
    """Lock what units of these keys may be taken from, and return what is free of each."""
    if apart is None or not apart.ids:
        return await balances.lock_free(tx, wanted)
    together = await balances.same_goods(tx, apart.ids.values())
    free = await balances.lock_free(tx, {*wanted, *together})
    guarded = await apart.guard()
    return free | {key_id: guarded.get(key, 0) for key, key_id in apart.ids.items()}


def share_out(needs: Sequence[Mapping[_K, int] | None], free: Mapping[_K, int]) -> list[bool]:
    """Return who gets all it needs of what is free, the first first; None needs what is nowhere."""
    left = dict(free)
    won = []
    for need in needs:
        has = need is not None
        for key, units in need.items() if need is not None else ():
            if left.get(key, 0) < units:
                has = False
                break
        if need is not None and has:
            for key, units in need.items():
                left[key] -= units
        won.append(has)
    return won


def _needs(bid: Bid) -> Mapping[int, int] | None:
    found: dict[int, int] = {}
    for asked in bid:
        for _, key_id, units in asked.lines:
            if key_id is None:
                return None
            found[key_id] = found.get(key_id, 0) + units
    return found
