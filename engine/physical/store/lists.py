"""Balances and movements as they are shown."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant
from engine.physical.types.stock import BalanceView, MovedView

SQL: Final = queries.load("engine.physical")
_INSTANTS: Final = frozenset({"as_of", "updated_at", "happened_at", "received_at"})
_DATES: Final = frozenset({"produced_on", "expires_on"})
_FIRST: Final = ("", "", "", "", "")


class Wanted(NamedTuple):
    """What a list shall hold; "" is no limitation."""

    tenant: Tenant
    node: str
    sku: str
    limit: int


async def balances_of(db: Connection, key_ids: Collection[int]) -> dict[int, BalanceView]:
    """Read balances by the numbers of their keys."""
    rows = await db.fetch(SQL["balances_of"], list(key_ids))
    return {row["key_id"]: _balance(row) for row in rows}


async def balances(
    db: Connection, wanted: Wanted, condition: str, after: Sequence[str] | None
) -> list[BalanceView]:
    """Read balances in the order of node, owner, SKU, condition, batch."""
    rows = await db.fetch(
        SQL["list_balances"], wanted.tenant, wanted.node, wanted.sku, condition,
        *(after or _FIRST), wanted.limit,
    )  # fmt: skip
    return [_balance(row) for row in rows]


async def movements(
    db: Connection, wanted: Wanted, since: datetime | None, after: tuple[datetime, int] | None
) -> list[tuple[datetime, MovedView]]:
    """Read movements in the order in which they came, each with the instant that it did."""
    rows = await db.fetch(
        SQL["list_movements"], wanted.tenant, wanted.node, wanted.sku, since,
        *(after or (None, None)), wanted.limit,
    )  # fmt: skip
    return [(row["received_at"], MovedView(**_shown(row))) for row in rows]


def _balance(row: Any) -> BalanceView:
    shown = _shown(row)
    del shown["key_id"]
    return BalanceView(**shown)


def _shown(row: Any) -> dict[str, Any]:
    shown = dict(row)
    for name in shown.keys() & _INSTANTS:
        shown[name] = shown[name] and rfc3339(to_ms(_floor(shown[name])))
    for name in shown.keys() & _DATES:
        shown[name] = shown[name] and shown[name].isoformat()
    return shown


def _floor(moment: datetime) -> datetime:
    """Whoever asks for what came since an instant we told must not miss what came at it."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
