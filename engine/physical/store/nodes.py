"""Nodes in Postgres."""

from collections.abc import Iterable
from typing import Final

from engine.infra import publishing, queries
from engine.infra.postgres import Connection, Pool
from engine.infra.versioned import Statements, Table
from engine.kernel import codec
from engine.kernel.types import Tenant
from engine.physical.types.nodes import NodeFields

SQL: Final = queries.load("engine.physical")
_HEARD_WITHIN_S: Final = 5
NODES: Final = Table(
    kind="node",
    word="node",
    noun="node",
    decode=codec.Decoder(NodeFields),
    sql=Statements(
        SQL["get_node"], SQL["lock_node"], SQL["list_nodes"], SQL["insert_node"], SQL["update_node"]
    ),
)


async def known(db: Connection, tenant: Tenant, names: Iterable[str]) -> set[str]:
    """Return those of these nodes that exist."""
    rows = await db.fetch(SQL["known_nodes"], tenant, list(names))
    return {row["node"] for row in rows}


async def announce(tx: Connection, tenant: Tenant) -> None:
    """Wait until nobody plans by what is there, before anything is locked that others wait for."""
    await publishing.change_inputs(tx, tenant)


async def changed(tx: Connection, tenant: Tenant, node: str) -> None:
    """Have every SKU that was ever at a node planned anew; to be announced before."""
    await tx.execute(SQL["node_changed"], tenant, node)
    await publishing.wake(tx)


async def ever_assigned(tx: Connection, tenant: Tenant, node: str) -> bool:
    """Tell whether units of a node are, or were, an order's; none becomes one meanwhile."""
    await tx.execute(SQL["lock_node_scopes"], tenant, node)
    await tx.execute(SQL["lock_node_balances"], tenant, node)
    return bool(await tx.fetchval(SQL["ever_assigned"], tenant, node))


async def hear(db: "Connection | Pool", tenant: Tenant, names: Iterable[str]) -> None:
    """Note that these nodes told something of their stock, to within a few seconds.

    To be called after what they told is committed: it shall make no writer wait for another.
    """
    await db.execute(SQL["hear"], tenant, sorted(set(names)), _HEARD_WITHIN_S)
