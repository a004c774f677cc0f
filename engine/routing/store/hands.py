"""What is decided of orders by hand, or until somebody looks at them, in Postgres."""

from collections.abc import Collection
from typing import Final

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.routing.types.hands import Hand

SQL: Final = queries.load("engine.routing")


async def read(tx: Connection, order_ids: Collection[str]) -> dict[str, Hand]:
    """Return what is decided of each of these."""
    rows = await tx.fetch(SQL["hands"], sorted(order_ids))
    return {row["order_id"]: Hand(row["hold"], row["node"], row["hops"]) for row in rows}


async def to_look_at(tx: Connection, tenant: Tenant, order_ids: Collection[str]) -> dict[str, str]:
    """Return why a person has to look at those of which nothing is to be routed."""
    rows = await tx.fetch(SQL["to_look_at"], tenant, sorted(order_ids))
    return {row["order_id"]: row["reason"] for row in rows}


async def hold(
    tx: Connection, tenant: Tenant, order_ids: Collection[str], why: str, actor: str
) -> None:
    """Have locked orders wait in MANUAL, also those that are in no queue yet."""
    await tx.execute(SQL["hold_orders"], tenant, sorted(order_ids), why, actor)


async def take(tx: Connection, tenant: Tenant, order_id: str, node: str, actor: str) -> None:
    """Note that a locked order is tried again, from there where it is named."""
    await tx.execute(SQL["take_in_hand"], tenant, order_id, node, actor)
