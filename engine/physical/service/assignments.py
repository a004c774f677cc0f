"""Units of order lines that a node is to ship: given, accepted, shipped, or cancelled.

For slices that come later, inside their transactions. Each call may come again and in any order:
of an instant the earliest that was told counts, and the state follows by rules/folding.py.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from engine.infra.postgres import Connection
from engine.kernel.errors import IdempotencyConflict, NotFound
from engine.kernel.types import Tenant
from engine.physical.rules.folding import share
from engine.physical.store import assignments as store
from engine.physical.store import balances
from engine.physical.types.facts import Assigned, Assignment, Given, Key, Share

_Stamp = Literal["accepted_at", "shipped_at", "cancelled_at"]


class Wanted(NamedTuple):
    """Units to give to a node; its key is that of goods without a batch."""

    name: Assignment
    owner: str
    sku: str
    units: int
    condition: Literal["good", "defective", "carrier_damaged", "box_damaged", "in_transit"] = "good"

    @property
    def key(self) -> Key:
        """What the units are of."""
        return Key(self.name.node, self.owner, self.sku, self.condition, "")


async def assign(tx: Connection, tenant: Tenant, wanted: Sequence[Wanted], at: datetime) -> None:
    """Give units to nodes; they are committed from now on. The same again changes nothing.

    Raises:
        IdempotencyConflict: an assignment of that name is of other units.
    """
    ids = await balances.key_ids(tx, tenant, {one.key for one in wanted})
    given = [Given(one.name, ids[one.key], Assigned(one.units)) for one in wanted]
    locked = await balances.lock(tx, ids.values())
    new = {one.name: one for one in await store.insert(tx, tenant, given, at)}
    there = await store.find(tx, tenant, [one.name for one in given])
    for one in given:
        found = there[one.name]
        if (found.key_id, found.state.units) != (one.key_id, one.state.units):
            raise IdempotencyConflict("an assignment of that name is of other units")
    await _add(tx, tenant, locked, {}, new)


async def accept(
    tx: Connection, tenant: Tenant, names: Sequence[Assignment], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that nodes took assignments over, and return what is known of each now.

    Raises:
        NotFound: there is no such assignment.
    """
    return await _stamp(tx, tenant, names, "accepted_at", at)


async def ship(
    tx: Connection, tenant: Tenant, names: Sequence[Assignment], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that the units left, as `accept` does; that wins over a cancel."""
    return await _stamp(tx, tenant, names, "shipped_at", at)


async def cancel(
    tx: Connection, tenant: Tenant, names: Sequence[Assignment], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that the units are free again, as `accept` does.

    `at` is when the node let go of what it had accepted, by its clock. What has `shipped_at` in the
    answer was not cancelled.
    """
    return await _stamp(tx, tenant, names, "cancelled_at", at)


async def _stamp(
    tx: Connection, tenant: Tenant, names: Sequence[Assignment], stamp: _Stamp, at: datetime
) -> dict[Assignment, Assigned]:
    wanted = list(dict.fromkeys(names))
    found = await store.find(tx, tenant, wanted)
    if missing := [name for name in wanted if name not in found]:
        raise NotFound("there is no such assignment", assignment=list(missing[0]))
    locked = await balances.lock(tx, [one.key_id for one in found.values()])
    before = await store.find(tx, tenant, wanted)  # as it is under the locks
    after = {name: one._replace(state=_told(one.state, stamp, at)) for name, one in before.items()}
    changed = {name: one for name, one in after.items() if one != before[name]}
    if changed:
        await store.stamp(tx, tenant, {name: one.state for name, one in changed.items()})
        await _add(tx, tenant, locked, before, changed)
    return {name: one.state for name, one in after.items()}


def _told(state: Assigned, stamp: _Stamp, at: datetime) -> Assigned:
    known = getattr(state, stamp)
    return state if known is not None and known <= at else state._replace(**{stamp: at})  # type: ignore[arg-type]  # an instant


async def _add(
    tx: Connection,
    tenant: Tenant,
    locked: Mapping[int, balances.Locked],
    before: Mapping[Assignment, Given],
    after: Mapping[Assignment, Given],
) -> None:
    shares: dict[int, Share] = {}
    for name, one in after.items():
        last = locked[one.key_id].last
        as_of = last and last.as_of
        change = share(one.state, as_of)
        if name in before:
            change = change.minus(share(before[name].state, as_of))
        shares[one.key_id] = shares.get(one.key_id, Share()).plus(change)
    await balances.add(tx, tenant, shares)
