"""What the cell is to be told: pools, grants and rules, written down before they are sent."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.inventory.types import Dimensions, Given, Grant, Rule

SQL: Final = queries.load("engine.inventory")


async def lock_planning(tx: Connection, cell: str) -> None:
    """Wait until no other planner of this cell is at work, until the transaction ends."""
    await tx.execute(SQL["lock_planning"], cell)


async def make_pools(
    tx: Connection, cell: str, wanted: Collection[Dimensions]
) -> dict[Dimensions, str]:
    """Return the ids of pools by their names; those that do not exist are made, without units."""
    columns = _columns(sorted(wanted))
    await tx.execute(SQL["make_pools"], cell, *columns)
    return await pools_by_name(tx, wanted)


async def pools_by_name(db: Connection, wanted: Iterable[Dimensions]) -> dict[Dimensions, str]:
    """Return the ids of those of these pools that exist."""
    rows = await db.fetch(SQL["pools_by_name"], *_columns(sorted(wanted)))
    return {dimensions(row): row["pool_id"] for row in rows}


async def given(tx: Connection, pools: Iterable[str]) -> list[Given]:
    """Return what the grants of pools amount to; the planning lock keeps others out."""
    rows = await tx.fetch(SQL["given"], list(pools))
    return [Given(row["pool_id"], row["last_seq"], row["units"]) for row in rows]


async def write_grants(tx: Connection, grants: Sequence[Grant]) -> None:
    """Write intentions down; at most one a pool."""
    if grants:
        await tx.execute(SQL["write_grants"], *(list(column) for column in zip(*grants)))  # noqa: B905 - rows of one type


async def stored_rules(
    tx: Connection, cell: str, fields: Iterable[str]
) -> dict[str, tuple[int, bytes]]:
    """Return version and body of those of these rules that were ever written."""
    rows = await tx.fetch(SQL["stored_rules"], cell, list(fields))
    return {row["field"]: (row["version"], row["body"]) for row in rows}


async def write_rules(tx: Connection, cell: str, rules: Sequence[Rule]) -> None:
    """Write rules down, to be sent."""
    if rules:
        columns = (list(column) for column in zip(*rules))  # noqa: B905 - rows of one type
        await tx.execute(SQL["write_rules"], cell, *columns)


async def forget_sent(db: Connection) -> None:
    """Have every grant that is not folded sent again."""
    await db.execute(SQL["forget_sent"])


async def pending_grants(db: Connection, again_after_s: float, limit: int) -> list[Grant]:
    """Return grants to send, those of one pool in their order."""
    rows = await db.fetch(SQL["pending_grants"], again_after_s, limit)
    return [Grant(*row.values()) for row in rows]


async def mark_sent(db: Connection, grants: Sequence[Grant]) -> None:
    """Note that the cell has these."""
    pools, seqs = [one.pool_id for one in grants], [one.seq for one in grants]
    await db.execute(SQL["mark_sent"], pools, seqs)


async def send_again(db: Connection, expected: Mapping[str, int]) -> None:
    """Have a pool's grants sent again from the number that the cell expects."""
    await db.execute(SQL["send_again"], list(expected.keys()), list(expected.values()))


async def unsent_pools(db: Connection) -> set[str]:
    """Return pools with a grant that the cell does not have."""
    return {row["pool_id"] for row in await db.fetch(SQL["unsent_pools"])}


async def pending_rules(db: Connection, cell: str, after: str, limit: int) -> list[Rule]:
    """Return rules to send, in the order of their fields."""
    rows = await db.fetch(SQL["pending_rules"], cell, after, limit)
    return [Rule(*row.values()) for row in rows]


async def mark_rules(db: Connection, cell: str, rules: Sequence[Rule]) -> None:
    """Note that the cell has these versions, and that marketplaces may sell by them now."""
    fields, versions = [one.field for one in rules], [one.version for one in rules]
    await db.execute(SQL["tell_marketplaces"], fields)
    await db.execute(SQL["mark_rules"], cell, fields, versions)


async def open_pools(db: Connection, pools: Iterable[str]) -> dict[str, Dimensions]:
    """Return those of these pools that have not ended, by id."""
    rows = await db.fetch(SQL["open_pools"], list(pools))
    return {row["pool_id"]: dimensions(row) for row in rows}


def dimensions(row: Any) -> Dimensions:
    """Return what names the pool of a row."""
    return Dimensions(*(row[column] for column in Dimensions._fields))


def _columns(wanted: Sequence[Dimensions]) -> list[list[str]]:
    return [[one[column] for one in wanted] for column in range(len(Dimensions._fields))]
