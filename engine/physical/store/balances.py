"""Keys, balances and movements in Postgres.

Every writer takes its locks in one order: its report, scopes, new keys, then balances by key_id.
So no two of them wait for each other, and what a balance is made of is read after it is locked.
Each change of what may be sold, or of what was ever assigned, says so to whoever plans pools, in
the same transaction; units that only go from the one to the other change no pool.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from engine.infra import publishing, queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.types.facts import Basis, Count, Key, Share

SQL: Final = queries.load("engine.physical")


class Locked(NamedTuple):
    """A balance as it stands under its lock; `last` is None when it was never counted."""

    key_id: int
    last: Count | None
    on_hand: int
    locked: int


class Counted(NamedTuple):
    """A count of one key, and the dates of its batch where it told them."""

    key_id: int
    what: Count
    produced_on: date | None = None
    expires_on: date | None = None


class Move(NamedTuple):
    """One row of the movements."""

    key_id: int
    n: int
    quantity: int
    locked: int
    happened_at: datetime
    applied: bool


class Told(NamedTuple):
    """By what name movements were told, and by whom."""

    reference: str
    kind: str
    reason: str
    actor: str


async def key_ids(tx: Connection, tenant: Tenant, keys: Collection[Key]) -> dict[Key, int]:
    """Return the number of each key; those that are new are made, with a balance of 0."""
    wanted = sorted(set(keys))
    found = await find_ids(tx, tenant, wanted)
    missing = [key for key in wanted if key not in found]
    if missing:
        scopes = sorted({(key.node, key.owner) for key in missing})
        await tx.execute(SQL["make_scopes"], tenant, *_split(scopes, 2))
        await tx.execute(SQL["share_scopes"], tenant, *_split(scopes, 2))
        await tx.execute(SQL["make_keys"], tenant, *_split(missing, 5))
        found |= await find_ids(tx, tenant, missing)
        await publishing.changed(tx, tenant, (key.sku for key in missing))
    return found


async def find_ids(tx: Connection, tenant: Tenant, keys: Iterable[Key]) -> dict[Key, int]:
    """Return the number of each of these keys that there is."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(SQL["find_keys"], tenant, *_split(wanted, 5))
    return {wanted[row["place"] - 1]: row["key_id"] for row in rows}


async def lock_scope(tx: Connection, tenant: Tenant, node: str, owner: str) -> None:
    """Let nobody make keys of an owner at a node until the transaction ends."""
    await tx.execute(SQL["make_scopes"], tenant, [node], [owner])
    await tx.execute(SQL["lock_scope"], tenant, node, owner)


async def complete_scope(
    tx: Connection, tenant: Tenant, scope: tuple[str, str], count: Count, report: str
) -> None:
    """Note that everything of an owner at a node was counted, unless a later count did so."""
    await tx.execute(
        SQL["complete_scope"], tenant, *scope, count.as_of, count.sequence, count.basis, report
    )


async def older_keys(
    tx: Connection, tenant: Tenant, scope: tuple[str, str], count: Count
) -> set[int]:
    """Return the keys of an owner at a node that were counted before this count, or never."""
    rows = await tx.fetch(SQL["older_keys"], tenant, *scope, *count.rank)
    return {row["key_id"] for row in rows}


async def lock(tx: Connection, wanted: Iterable[int]) -> dict[int, Locked]:
    """Keep others from writing these balances, and return them."""
    rows = await tx.fetch(SQL["lock_balances"], sorted(set(wanted)))
    return {row["key_id"]: _locked(row) for row in rows}


async def lock_free(tx: Connection, wanted: Iterable[int]) -> dict[int, int]:
    """Lock balances as `lock` does, and return how many units of each are free to be committed."""
    rows = await tx.fetch(SQL["lock_free"], sorted(set(wanted)))
    return {row["key_id"]: row["sellable"] for row in rows}


async def commit(tx: Connection, units: Mapping[int, int]) -> None:
    """Commit so many free units of each of these keys, which are locked.

    Nobody is told: what may be sold of pools does not change by it (service/binding.py).
    """
    if units:
        done = await tx.execute(SQL["commit_balances"], list(units), list(units.values()))
        assert done == f"UPDATE {len(units)}", "they were locked, and so many were free"


async def commit_apart(tx: Connection, units: Mapping[int, int]) -> None:
    """Commit as `commit` does where units lie on other keys, which are locked and looked at."""
    if units:
        await tx.execute(SQL["commit_apart"], list(units), list(units.values()))


async def same_goods(tx: Connection, ids: Collection[int]) -> set[int]:
    """Return all keys of the same SKUs of the same owners at the same nodes."""
    return {row["key_id"] for row in await tx.fetch(SQL["same_goods"], sorted(ids))}


async def kept_otherwise(tx: Connection, tenant: Tenant, keys: Collection[Key]) -> set[Key]:
    """Return those of these keys of whose SKU, owner and node there is another key."""
    if not keys:
        return set()
    wanted = sorted(keys)
    columns = _split([(key.node, key.owner, key.sku) for key in wanted], 3)
    rows = await tx.fetch(SQL["kept_otherwise"], tenant, *columns)
    return {wanted[row["place"] - 1] for row in rows}


async def count(
    tx: Connection, tenant: Tenant, counted: Sequence[Counted], report: str
) -> dict[int, tuple[int, int]]:
    """Set what was counted, on locked balances; return their units on hand and locked ones."""
    rows = await tx.fetch(
        SQL["count_balances"],
        report,
        [one.key_id for one in counted],
        [one.what.basis for one in counted],
        [one.what.quantity for one in counted],
        [one.what.locked for one in counted],
        [one.what.as_of for one in counted],
        [one.what.sequence for one in counted],
    )
    await publishing.changed(tx, tenant, (row["sku"] for row in rows))
    return {row["key_id"]: (row["on_hand"], row["locked"]) for row in rows}


async def date_batches(
    tx: Connection, tenant: Tenant, counted: Sequence[Counted], newer: Collection[int]
) -> None:
    """Keep the dates of batches; of keys in `newer` they replace what is there."""
    dated = [one for one in counted if one.produced_on or one.expires_on]
    if dated:
        rows = await tx.fetch(
            SQL["date_keys"],
            [one.key_id for one in dated],
            [one.produced_on for one in dated],
            [one.expires_on for one in dated],
            [one.key_id in newer for one in dated],
        )
        await publishing.changed(tx, tenant, (row["sku"] for row in rows))


async def move(tx: Connection, tenant: Tenant, moves: Iterable[Move]) -> None:
    """Change locked balances by what applies."""
    sums: dict[int, tuple[int, int]] = {}
    for one in moves:
        if one.applied:
            quantity, locked = sums.get(one.key_id, (0, 0))
            sums[one.key_id] = quantity + one.quantity, locked + one.locked
    if sums:
        quantities, locks = _split(list(sums.values()), 2)
        rows = await tx.fetch(SQL["move_balances"], list(sums), quantities, locks)
        await publishing.changed(tx, tenant, (row["sku"] for row in rows))


async def record(tx: Connection, tenant: Tenant, told: Told, moves: Sequence[Move]) -> None:
    """Append movements."""
    if moves:
        await tx.execute(SQL["insert_movements"], tenant, *told, *_split(moves, 6))


async def add(tx: Connection, tenant: Tenant, shares: Mapping[int, Share]) -> None:
    """Change locked balances by what assignments add to them.

    Units that are given, accepted, shipped or cancelled are mostly the same sum of what may be sold
    and what was ever assigned, of which pools are made: nothing is planned anew for them.
    """
    changed = {key_id: share for key_id, share in shares.items() if any(share)}
    if changed:
        columns = _split(list(changed.values()), 5)
        rows = await tx.fetch(SQL["share_balances"], list(changed), *columns)
        await publishing.changed(tx, tenant, (row["sku"] for row in rows if row["rings"]))


def _split(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]


def _locked(row: Any) -> Locked:
    basis: Basis = row["basis"]
    counted = None
    if row["as_of"] is not None:
        counted = Count(row["as_of"], row["sequence"], basis, row["counted"], row["counted_locked"])
    return Locked(row["key_id"], counted, row["on_hand"], row["locked"])
