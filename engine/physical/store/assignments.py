"""Units given to nodes for orders, in Postgres."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.types.facts import Assigned, Assignment, Given, Part, Piece

SQL: Final = queries.load("engine.physical")
_COLUMNS: Final = (
    "tenant", "order_id", "line_no", "node", "attempt", "key_id", "units", "assigned_at",
)  # fmt: skip

# One assignment, by those columns.
Row = tuple[Tenant, str, int, str, int, int | None, int, datetime]


async def insert(
    tx: Connection, tenant: Tenant, given: Sequence[Given], assigned_at: datetime
) -> list[Given]:
    """Write those that are not there yet, and return them."""
    rows = await tx.fetch(
        SQL["insert_assignments"],
        tenant,
        assigned_at,
        *_names([one.name for one in given]),
        [one.key_id for one in given],
        [one.state.units for one in given],
    )
    return [Given(_name(row), row["key_id"], Assigned(row["units"])) for row in rows]


async def append(tx: Connection, rows: Sequence[Row]) -> None:
    """Write assignments of which none is there; if one is, the transaction is lost."""
    if rows:
        await tx.copy_records_to_table("stock_assignments", records=rows, columns=_COLUMNS)


async def find(
    tx: Connection, tenant: Tenant, names: Iterable[Assignment]
) -> dict[Assignment, Given]:
    """Read those of these that there are."""
    rows = await tx.fetch(SQL["find_assignments"], tenant, *_names(list(names)))
    parts: dict[Assignment, list[Part]] = defaultdict(list)
    if divided := [_name(row) for row in rows if row["apart"]]:
        for row in await tx.fetch(SQL["find_parts"], tenant, *_names(divided)):
            parts[_name(row)].append(Part(row["verb"], row["part"], row["told"], row["at"]))
    return {
        name: Given(
            name,
            row["key_id"],
            Assigned(
                row["units"],
                row["accepted_at"],
                row["shipped_at"],
                row["cancelled_at"],
                tuple(sorted(parts[name])),
            ),
        )
        for row in rows
        for name in [_name(row)]
    }


async def stamp(
    tx: Connection, tenant: Tenant, changed: Sequence[tuple[Given, Sequence[Piece]]]
) -> None:
    """Write what is known of assignments now, each with its pieces by the rule, the rest last."""
    rests = [found[-1].state for _, found in changed]
    told = [given.state for given, _ in changed]
    await tx.execute(
        SQL["stamp_assignments"],
        tenant,
        *_names([given.name for given, _ in changed]),
        [one.accepted_at for one in rests],
        [one.shipped_at for one in told],
        [one.cancelled_at for one in told],
        [one.units - rest.units for one, rest in zip(told, rests, strict=True)],
    )
    parts = [
        (*given.name, *piece.part, given.key_id, piece.state.units, piece.state.accepted_at)
        for given, found in changed
        for piece in found
        if piece.part
    ]
    if parts:
        await tx.execute(SQL["keep_parts"], tenant, *map(list, zip(*parts, strict=True)))


def _names(names: Sequence[Assignment]) -> tuple[list[Any], ...]:
    return (
        [one.order_id for one in names],
        [one.line_no for one in names],
        [one.node for one in names],
        [one.attempt for one in names],
    )


def _name(row: Any) -> Assignment:
    return Assignment(row["order_id"], row["line_no"], row["node"], row["attempt"])
