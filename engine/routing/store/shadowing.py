"""What plans decided beside the active one, in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant
from engine.routing.types.comparing import Compared, Group, Sent, Side, Sums

SQL: Final = queries.load("engine.routing")
_encode: Final = msgspec.json.Encoder().encode
_decode_sent: Final = msgspec.json.Decoder(tuple[tuple[Sent, ...], tuple[Sent, ...]]).decode


class Name(NamedTuple):
    """A version of a plan."""

    plan: str
    version: int


class Kept(NamedTuple):
    """One order, compared: the version that was tried, and the one that decided."""

    tried: Name
    decided: Name
    same: bool
    order: Compared


class Omitted(NamedTuple):
    """How many orders a version did not decide; `reason` is the kind of the last error."""

    skipped: int = 0
    failed: int = 0
    reason: str = ""


async def keep(db: "Connection | Pool", tenant: Tenant, rows: Sequence[Kept]) -> None:
    """Keep comparisons, each in the place of an older one of its order."""
    ordered = sorted(rows, key=lambda one: (one.tried, one.order.order_id))
    await db.execute(
        SQL["keep_shadow_decisions"], tenant, _encode(list(map(_row, ordered))).decode()
    )


async def omit(db: "Connection | Pool", tenant: Tenant, of: Name, more: Omitted) -> None:
    """Add to what a version did not decide."""
    await db.execute(SQL["omit_shadow_decisions"], tenant, *of, *more)


async def groups(
    db: "Connection | Pool", tenant: Tenant, of: Name, limit: int
) -> list[tuple[Group, Sums]]:
    """Return what the last comparisons of a version add up to, by what they have in common."""
    rows = await db.fetch(SQL["shadow_groups"], tenant, *of, limit)
    return [(_group(row), Sums(*(row[name] for name in Sums._fields))) for row in rows]


async def span(
    db: "Connection | Pool", tenant: Tenant, of: Name, limit: int
) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last instant of these comparisons, None without any."""
    row = await db.fetchrow(SQL["shadow_span"], tenant, *of, limit)
    return (row["since"], row["until"]) if row else (None, None)


async def largest(
    db: "Connection | Pool", tenant: Tenant, of: Name, limit: int, most: int
) -> list[Compared]:
    """Return those of these comparisons that differ most."""
    rows = await db.fetch(SQL["largest_shadow_differences"], tenant, *of, limit, most)
    return [_compared(row) for row in rows]


async def omitted(db: "Connection | Pool", tenant: Tenant, of: Name) -> Omitted:
    """Return what a version did not decide."""
    row = await db.fetchrow(SQL["shadow_omissions"], tenant, *of)
    return Omitted(*row) if row else Omitted()


async def forget(db: "Connection | Pool", before: datetime, limit: int) -> int:
    """Delete comparisons of before; return how many."""
    done = await db.execute(SQL["forget_shadow_decisions"], before, limit)
    return int(done.rpartition(" ")[2])


def _row(one: Kept) -> dict[str, Any]:
    order = one.order
    sides = order.decided, order.tried
    return {
        "plan": one.tried.plan,
        "version": one.tried.version,
        "order_id": order.order_id,
        "at": rfc3339(order.at_ms),
        "same": one.same,
        "parcels": [len(side.parcels) for side in sides],
        "freight": [side.freight for side in sides],
        "deliver_by": [rfc3339(s.deliver_at) if s.deliver_at else None for s in sides],
        "nodes": [side.parcels for side in sides],
        "active_plan": one.decided.plan,
        "active_version": one.decided.version,
        "stages": [side.stage for side in sides],
        "rules": [side.rule for side in sides],
        "queues": [side.queue for side in sides],
        "unplaced": [side.unplaced for side in sides],
        "late": [side.late for side in sides],
        "region": order.region,
        "currency": order.currency,
    }


def _group(row: Any) -> Group:
    decided, tried = zip(row["stages"], row["rules"], strict=True)
    return Group(
        row["active_plan"], row["active_version"], decided, tried, row["region"], row["currency"]
    )


def _compared(row: Any) -> Compared:
    sent = _decode_sent(row["nodes"])
    decided, tried = (
        Side(
            row["stages"][n], row["rules"][n], row["queues"][n], sent[n], row["freight"][n],
            to_ms(row["deliver_by"][n]) if row["deliver_by"][n] else 0, row["late"][n],
            row["unplaced"][n],
        )
        for n in (0, 1)
    )  # fmt: skip
    return Compared(
        row["order_id"], to_ms(row["at"]), row["region"], row["currency"], decided, tried
    )
