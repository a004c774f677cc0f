"""What nodes and services have taken of a day, in Postgres."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.routing.types.capacity import Cell, Room

SQL: Final = queries.load("engine.routing")


async def lock(
    tx: Connection, tenant: Tenant, limits: Mapping[Cell, int | None]
) -> dict[Cell, Room]:
    """Lock these, in the order of their names, with limits as they are now; return their room."""
    cells = sorted(limits)
    if not cells:
        return {}
    rows = await tx.fetch(
        SQL["lock_capacity"], tenant, *_columns(cells), [limits[cell] for cell in cells]
    )
    return {_cell(row): Room(row["used"], row["limit"]) for row in rows}


async def take(tx: Connection, tenant: Tenant, units: Mapping[Cell, int]) -> None:
    """Take so much of each of these, which are locked and have it."""
    if units:
        done = await tx.execute(
            SQL["take_capacity"], tenant, *_columns(list(units)), list(units.values())
        )
        assert done == f"UPDATE {len(units)}", "they were locked, and had so much room"


async def give_back(tx: Connection, tenant: Tenant, units: Mapping[Cell, int]) -> None:
    """Lock these and give so much of each back; of a day that was forgotten nothing."""
    cells = sorted(units)
    columns = _columns(cells)
    await tx.fetch(SQL["lock_capacity_given_back"], tenant, *columns)
    await tx.execute(SQL["give_capacity_back"], tenant, *columns, [units[one] for one in cells])


async def since(db: "Connection | Pool", tenant: Tenant, day: date) -> dict[Cell, Room]:
    """Return what is taken of a day and of those after it."""
    rows: Iterable[Any] = await db.fetch(SQL["capacity_from"], tenant, day)
    return {_cell(row): Room(row["used"], row["limit"]) for row in rows}


async def forget(db: "Connection | Pool", before: date) -> None:
    """Delete the days before this one."""
    await db.execute(SQL["forget_capacity"], before)


def _cell(row: Any) -> Cell:
    return Cell(row["scope"], row["id"], row["day"], row["dim"])


def _columns(cells: Sequence[Cell]) -> list[list[Any]]:
    return [list(column) for column in zip(*cells, strict=True)] or [[], [], [], []]
