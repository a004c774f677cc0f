"""Units of order lines that a node is to ship: given, accepted, shipped, or cancelled.

For slices that come later, inside their transactions, of which each makes one such call: a second
one would take its locks out of turn. Each call may come again and in any order: of an instant the
earliest that was told counts, and the state follows by rules/folding.py.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Literal, NamedTuple

from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.errors import IdempotencyConflict, InConflict, NotFound
from engine.kernel.types import Tenant
from engine.physical.rules.folding import pieces, share
from engine.physical.store import assignments as store
from engine.physical.store import balances
from engine.physical.types.facts import Assigned, Assignment, Given, Key, Part, Share

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


class Some(NamedTuple):
    """A part of an assignment: what it is called, a parcel's number say, and how many units."""

    part: str
    units: int


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


async def again(
    tx: Connection, tenant: Tenant, renewed: Mapping[Assignment, Assignment], at: datetime
) -> None:
    """Give the units of assignments, by their names, to the same nodes once more, by new names.

    The same again changes nothing.

    Raises:
        NotFound: there is no such assignment.
    """
    found = await store.find(tx, tenant, renewed)
    if missing := [name for name in renewed if name not in found]:
        raise NotFound("there is no such assignment", assignment=list(missing[0]))
    locked = await balances.lock(tx, [one.key_id for one in found.values()])
    given = [
        Given(new, found[old].key_id, Assigned(found[old].state.units))
        for old, new in renewed.items()
    ]
    added = {one.name: one for one in await store.insert(tx, tenant, given, at)}
    await _add(tx, tenant, locked, {}, added)


async def accept(
    tx: Connection, tenant: Tenant, names: Sequence[Assignment], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that nodes took assignments over, and return what is known of each now.

    Raises:
        NotFound: there is no such assignment.
    """
    return await _change(tx, tenant, dict.fromkeys(names, partial(_told, "accepted_at", at)))


async def ship(
    tx: Connection, tenant: Tenant, names: Sequence[Assignment], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that the units left, as `accept` does; that wins over a cancel.

    Of an assignment with parts it is the rest that left.
    """
    return await _change(tx, tenant, dict.fromkeys(names, partial(_told, "shipped_at", at)))


async def cancel(
    tx: Connection, tenant: Tenant, names: Sequence[Assignment], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that the units are free again, as `accept` does.

    `at` is when the node let go of what it had accepted, by its clock. What has `shipped_at` in the
    answer was not cancelled. Of an assignment with parts it is the rest that is free.
    """
    return await _change(tx, tenant, dict.fromkeys(names, partial(_told, "cancelled_at", at)))


async def ship_part(
    tx: Connection, tenant: Tenant, parts: Mapping[Assignment, Some], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that some units of assignments left, and return what is known of each now.

    A part that was told before changes nothing. Units that were cancelled before have left all the
    same.

    Raises:
        NotFound: there is no such assignment.
        ValidationFailed: the name of a part is none, or it is of no units.
        IdempotencyConflict: a part of that name is of other units.
        InConflict: more units would have left than were assigned.
    """
    changes = {name: partial(_parted, "ship", some, at) for name, some in parts.items()}
    return await _change(tx, tenant, changes)


async def cancel_part(
    tx: Connection, tenant: Tenant, parts: Mapping[Assignment, Some], at: datetime
) -> dict[Assignment, Assigned]:
    """Note that some units are free again, as `ship_part` does; `at` as in `cancel`.

    Where more of them have left than then remain, fewer are free: rules/folding.py says how many.
    """
    changes = {name: partial(_parted, "cancel", some, at) for name, some in parts.items()}
    return await _change(tx, tenant, changes)


async def _change(
    tx: Connection, tenant: Tenant, changes: Mapping[Assignment, Callable[[Assigned], Assigned]]
) -> dict[Assignment, Assigned]:
    wanted = list(changes)
    found = await store.find(tx, tenant, wanted)
    if missing := [name for name in wanted if name not in found]:
        raise NotFound("there is no such assignment", assignment=list(missing[0]))
    locked = await balances.lock(tx, [one.key_id for one in found.values()])
    before = await store.find(tx, tenant, wanted)  # as it is under the locks
    after = {name: one._replace(state=changes[name](one.state)) for name, one in before.items()}
    changed = {name: one for name, one in after.items() if one != before[name]}
    if changed:
        await store.stamp(tx, tenant, [(one, pieces(one.state)) for one in changed.values()])
        await _add(tx, tenant, locked, before, changed)
    return {name: one.state for name, one in after.items()}


def _told(stamp: _Stamp, at: datetime, state: Assigned) -> Assigned:
    known = getattr(state, stamp)
    return state if known is not None and known <= at else state._replace(**{stamp: at})  # type: ignore[arg-type]  # an instant


def _parted(verb: Literal["ship", "cancel"], some: Some, at: datetime, state: Assigned) -> Assigned:
    name, units = codec.identifier(some.part, "/part"), some.units
    if units < 1:
        codec.refuse("/units", "must be at least 1")
    same = [one for one in state.parts if (one.verb, one.name) == (verb, name)]
    if any(one.units != units for one in same):
        raise IdempotencyConflict("a part of that name is of other units")
    others = [one for one in state.parts if one not in same]
    if units + sum(one.units for one in others if one.verb == verb) > state.units:
        raise InConflict("the parts would be of more units than were assigned", part=name)
    part = Part(verb, name, units, min((at, *(one.at for one in same))))
    after = state._replace(parts=tuple(sorted([*others, part])))
    return _told("accepted_at", part.at, after) if verb == "ship" else after


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
