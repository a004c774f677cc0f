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
_PLACE: Final = frozenset({"key_id", "xid", "settled"})
_DATES: Final = frozenset({"produced_on", "expires_on"})
_FIRST: Final = ("", "", "", "", "")


class Moved(NamedTuple):
    """Movements, each with its place in the list; `settled` is the last place that stays as it is.

    Behind that one a movement may yet come that is not shown; None: nothing shown is settled.
    """

    rows: list[tuple[tuple[int, int], MovedView]]
    settled: tuple[int, int] | None


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
    db: Connection, wanted: Wanted, since: datetime | None, after: tuple[int, int] | None
) -> Moved:
    """Read movements in the order in which their transactions began to write."""
    rows = await db.fetch(
        SQL["list_movements"], wanted.tenant, wanted.node, wanted.sku, since,
        *(after or (None, None)), wanted.limit,
    )  # fmt: skip
    places = [(row["xid"], row["movement_id"]) for row in rows]
    settled = [place for place, row in zip(places, rows, strict=True) if row["settled"]]
    views = [MovedView(**_shown(row)) for row in rows]
    return Moved(list(zip(places, views, strict=True)), settled[-1] if settled else None)


def _balance(row: Any) -> BalanceView:
    return BalanceView(**_shown(row))


def _shown(row: Any) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in _PLACE}
    for name in shown.keys() & _INSTANTS:
        shown[name] = shown[name] and rfc3339(to_ms(_floor(shown[name])))
    for name in shown.keys() & _DATES:
        shown[name] = shown[name] and shown[name].isoformat()
    return shown


def _floor(moment: datetime) -> datetime:
    """Whoever asks for what came since an instant we told must not miss what came at it."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
