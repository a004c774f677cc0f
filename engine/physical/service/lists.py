"""Find balances and movements."""

from collections.abc import Sequence
from datetime import datetime

from engine.infra.runtime import Runtime
from engine.physical.store import lists as store
from engine.physical.store.lists import Moved, Wanted
from engine.physical.types.stock import BalanceView

__all__ = ["Moved", "Wanted", "balances", "movements"]


async def balances(
    runtime: Runtime, wanted: Wanted, condition: str, after: Sequence[str] | None
) -> list[BalanceView]:
    """Return balances in the order of node, owner, SKU, condition, batch."""
    async with runtime.pool.acquire() as connection:
        return await store.balances(connection, wanted, condition, after)


async def movements(
    runtime: Runtime, wanted: Wanted, since: datetime | None, after: tuple[int, int] | None
) -> Moved:
    """Return movements in the order in which their transactions began to write."""
    async with runtime.pool.acquire() as connection:
        return await store.movements(connection, wanted, since, after)
