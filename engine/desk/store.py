"""What waits, and what was done of it, in Postgres."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from engine.desk.types import COUNT_MAX, Item, Sum, Target, Wanted
from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.desk")
_targets: Final = msgspec.json.Decoder(list[Target])


class Run(NamedTuple):
    """A bulk run: whose, its id, and who asked for it."""

    tenant: Tenant
    remedy_id: str
    actor: str


class Known(NamedTuple):
    """A bulk run that was begun before; `answer` None: it runs, or was broken off."""

    asked: str
    answer: str | None


async def listed(pool: Pool, wanted: Wanted, now: datetime, limit: int) -> list[Item]:
    """Return items by urgency."""
    ship_by, since, last = wanted.after or (None, None, "")
    async with pool.acquire() as db, db.transaction(readonly=True):
        await db.execute(SQL["plan_each"])
        rows = await db.fetch(
            SQL["list_exceptions"], wanted.tenant, wanted.channel, _array(wanted.codes),
            wanted.sku, wanted.overdue, now, wanted.since_before, wanted.ship_by_before,
            _array(wanted.ids), ship_by, since, last, limit,
        )  # fmt: skip
    return [Item(*row.values()) for row in rows]


async def sums(
    pool: Pool, tenant: Tenant, channel: str, codes: Sequence[str], now: datetime
) -> list[Sum]:
    """Add up by code, channel and currency; of a code at most one more than is counted."""
    async with pool.acquire() as db, db.transaction(readonly=True):
        await db.execute(SQL["plan_each"])
        rows = await db.fetch(
            SQL["sum_exceptions"], tenant, channel, list(codes), COUNT_MAX + 1, now
        )
    return [Sum(*row.values()) for row in rows]


async def counts(pool: Pool, tenant: Tenant, codes: Sequence[str]) -> dict[str, int]:
    """Count by code, each up to `COUNT_MAX`."""
    rows = await pool.fetch(SQL["count_exceptions"], tenant, list(codes), COUNT_MAX)
    return {row["code"]: row["count"] for row in rows}


async def still_waits(pool: Pool, tenant: Tenant, one: Target) -> bool:
    """Tell whether an item is there as it was selected; of an order another may have its place."""
    async with pool.acquire() as db, db.transaction(readonly=True):
        await db.execute(SQL["plan_each"])
        found: bool = await db.fetchval(SQL["still_waits"], tenant, one.order_id, one.id)
    return found


async def begin(
    db: "Connection | Pool",
    run: Run,
    asked: str,
    targets: Sequence[Target],
    lasts: timedelta,
) -> list[Target] | None:
    """Write down what is to be touched; return that, or what a run that was broken off wrote.

    None: it is known, and either answered, or run by somebody, or another request.
    """
    kept = await db.fetchval(
        SQL["begin_remedy"], run.tenant, run.remedy_id, asked,
        msgspec.json.encode(targets).decode(), run.actor, lasts,
    )  # fmt: skip
    return None if kept is None else _targets.decode(kept)


async def known(db: "Connection | Pool", tenant: Tenant, remedy_id: str) -> Known | None:
    """Return what is known of a run, None before it began."""
    row = await db.fetchrow(SQL["remedy"], tenant, remedy_id)
    return None if row is None else Known(*row.values())


async def end(tx: Connection, run: Run, answer: str, told: str) -> None:
    """Keep the answer of a run, and tell of it."""
    await tx.execute(SQL["end_remedy"], run.tenant, run.remedy_id, answer)
    await tx.execute(SQL["tell_remedy"], run.actor, told)


def _array(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
