"""Waybills in Postgres."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from engine.carriers.types.waybills import State, Wanted, Waybill
from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.carriers")


async def ask(tx: Connection, tenant: Tenant, one: Wanted) -> Waybill:
    """Note that a number is asked for; return what is noted of the request, also from before."""
    await tx.execute(
        SQL["ask_waybill"], tenant, one.request_id, one.shipment_id, one.service, one.carrier
    )
    found = await waybill(tx, tenant, one.request_id)
    assert found is not None, "it was written, or was there"
    return found


async def waybill(db: Connection, tenant: Tenant, request_id: str) -> Waybill | None:
    """Read one request."""
    row = await db.fetchrow(SQL["waybill"], tenant, request_id)
    return None if row is None else _read(row)


async def of_shipments(
    db: "Connection | Pool", tenant: Tenant, shipments: Sequence[str]
) -> list[Waybill]:
    """Read the requests for some shipments, by shipment and request."""
    return [_read(row) for row in await db.fetch(SQL["waybills_of"], tenant, list(shipments))]


async def move(
    tx: Connection, tenant: Tenant, one: Waybill, state: State, before: Sequence[State]
) -> Waybill | None:
    """Move a request to a state, with its number, data and reason; None if it stands elsewhere."""
    data = codec.encode(dict(one.data)).decode()
    row = await tx.fetchrow(
        SQL["move_waybill"], tenant, one.request_id, state, list(before), one.waybill, data,
        one.reason,
    )  # fmt: skip
    return None if row is None else _read(row)


async def use_left(db: "Connection | Pool", tenant: Tenant, limit: int) -> int:
    """Note that parcels left under numbers; return of how many that was not known."""
    return len(await db.fetch(SQL["use_left"], tenant, limit))


async def lease_idle(
    db: "Connection | Pool", tenant: Tenant, limit: int, lasts: timedelta
) -> list[Waybill]:
    """Lease numbers, and requests, that nothing will leave under."""
    rows = await db.fetch(SQL["lease_idle"], tenant, limit, lasts)
    return [_read(row) for row in rows]


def _read(row: asyncpg.Record) -> Waybill:
    return Waybill(**{**row, "data": codec.decode_json(row["data"])})
