"""Plans by version, in Postgres."""

import hashlib
from datetime import datetime
from typing import Final

import asyncpg

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.versioned import Statements, Table, packed
from engine.kernel import codec
from engine.kernel.errors import NotFound
from engine.kernel.types import Tenant
from engine.routing.types.answers import PlanVersion, Status
from engine.routing.types.plans import PlanFields

SQL: Final = queries.load("engine.routing")
_decode: Final = codec.Decoder(PlanFields)
_NONE: Final = "there is no such routing plan"


def _columns(fields: PlanFields) -> tuple[object, ...]:
    return (hashlib.sha256(packed(fields).encode()).hexdigest(),)


PLANS: Final = Table(
    kind="routing_plan",
    word="plan",
    noun="routing plan",
    decode=_decode,
    sql=Statements(
        SQL["get_plan"], SQL["get_plan"], SQL["plans"], SQL["insert_plan"], SQL["update_plan"]
    ),
    columns=_columns,
)


async def lock(tx: Connection, tenant: Tenant) -> None:
    """Keep everybody else from changing plans until the transaction ends."""
    await tx.execute(SQL["lock_plans"], tenant)


async def drop_drafts(tx: Connection, tenant: Tenant, plan: str, before: int) -> None:
    """Delete the drafts that a version took the place of."""
    await tx.execute(SQL["drop_drafts"], tenant, plan, before)


async def version(db: Connection, tenant: Tenant, plan: str, number: int | None) -> PlanVersion:
    """Read one version, or the last one.

    Raises:
        NotFound: there is none.
    """
    row = await db.fetchrow(SQL["plan_version"], tenant, plan, number)
    if row is None:
        raise NotFound(_NONE if number is None else "there is no such version of a routing plan")
    return _version(row)


async def versions(
    db: Connection, tenant: Tenant, plan: str, below: int, limit: int
) -> list[PlanVersion]:
    """Read versions below one, the last one first, without what they say.

    Raises:
        NotFound: there is no plan of that name.
    """
    if await db.fetchrow(SQL["get_plan"], tenant, plan) is None:
        raise NotFound(_NONE)
    return [_told(row) for row in await db.fetch(SQL["plan_versions"], tenant, plan, below, limit)]


async def page(db: Connection, tenant: Tenant, after: str, limit: int) -> list[PlanVersion]:
    """Read the last versions of plans after one, without what they say."""
    return [_told(row) for row in await db.fetch(SQL["plans"], tenant, after, limit)]


async def any_active(db: Connection, tenant: Tenant) -> bool:
    """Tell whether a plan decides."""
    return bool(await db.fetchval(SQL["any_active_plan"], tenant))


async def in_use(db: Connection, tenant: Tenant) -> list[PlanVersion]:
    """Read the ACTIVE version, if there is one, and then those that are SHADOW."""
    return [_version(row) for row in await db.fetch(SQL["plans_in_use"], tenant)]


async def used(db: Connection, tenant: Tenant) -> list[tuple[Status, str, int]]:
    """Read (status, plan, version) of what `in_use` returns, without what they say."""
    return [tuple(row) for row in await db.fetch(SQL["used_plans"], tenant)]


async def move(  # noqa: PLR0913 - who moves what, where to and when
    tx: Connection, tenant: Tenant, plan: str, number: int, status: Status, *, by: str, at: datetime
) -> None:
    """Give a version another status."""
    await tx.execute(SQL["move_plan"], tenant, plan, number, status, by, at)


def _version(row: asyncpg.Record) -> PlanVersion:
    return _told(row)._replace(fields=_decode(row["document"].encode()))


def _told(row: asyncpg.Record) -> PlanVersion:
    names = (name for name in PlanVersion._fields if name != "fields")
    return PlanVersion(*(row[name] for name in names))
