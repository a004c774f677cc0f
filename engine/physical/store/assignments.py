"""Units given to nodes for orders, in Postgres."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.types.facts import Assigned, Assignment, Given

SQL: Final = queries.load("engine.physical")


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


async def find(
    tx: Connection, tenant: Tenant, names: Iterable[Assignment]
) -> dict[Assignment, Given]:
    """Read those of these that there are."""
    rows = await tx.fetch(SQL["find_assignments"], tenant, *_names(list(names)))
    return {
        _name(row): Given(
            _name(row),
            row["key_id"],
            Assigned(row["units"], row["accepted_at"], row["shipped_at"], row["cancelled_at"]),
        )
        for row in rows
    }


async def stamp(tx: Connection, tenant: Tenant, states: Mapping[Assignment, Assigned]) -> None:
    """Write what is known of assignments now."""
    told = list(states.values())
    await tx.execute(
        SQL["stamp_assignments"],
        tenant,
        *_names(list(states)),
        [one.accepted_at for one in told],
        [one.shipped_at for one in told],
        [one.cancelled_at for one in told],
    )


def _names(names: Sequence[Assignment]) -> tuple[list[Any], ...]:
    return (
        [one.order_id for one in names],
        [one.line_no for one in names],
        [one.node for one in names],
        [one.attempt for one in names],
    )


def _name(row: Any) -> Assignment:
    return Assignment(row["order_id"], row["line_no"], row["node"], row["attempt"])
