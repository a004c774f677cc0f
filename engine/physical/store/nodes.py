"""Nodes in Postgres."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from engine.infra import publishing, queries
from engine.infra.postgres import Connection, Pool
from engine.infra.versioned import Kept, packed
from engine.kernel import codec
from engine.kernel.types import Tenant
from engine.physical.types.nodes import NodeFields

SQL: Final = queries.load("engine.physical")
_HEARD_WITHIN_S: Final = 5
_decode: Final = codec.Decoder(NodeFields)


@dataclass(frozen=True, slots=True)
class Nodes:
    """The table of nodes, as `infra.versioned` writes to it."""

    kind: str = "node"

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[NodeFields] | None:
        """Read one node and keep others from changing it."""
        return _node(await tx.fetchrow(SQL["lock_node"], tenant, key))

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: NodeFields, actor: str
    ) -> Kept[NodeFields] | None:
        """Write a new node; None when it was made meanwhile."""
        return _node(await tx.fetchrow(SQL["insert_node"], tenant, key, packed(value), actor))

    async def update(
        self, tx: Connection, tenant: Tenant, kept: Kept[NodeFields], value: NodeFields, actor: str
    ) -> Kept[NodeFields]:
        """Write the next version."""
        row = await tx.fetchrow(SQL["update_node"], tenant, kept.id, packed(value), actor)
        changed = _node(row)
        assert changed is not None, "the row is locked"
        return changed


async def node(db: Connection, tenant: Tenant, key: str) -> Kept[NodeFields] | None:
    """Read one node."""
    return _node(await db.fetchrow(SQL["get_node"], tenant, key))


async def nodes(db: Connection, tenant: Tenant, after: str, limit: int) -> list[Kept[NodeFields]]:
    """Read nodes in the order of their ids."""
    rows = await db.fetch(SQL["list_nodes"], tenant, after, limit)
    return [kept for row in rows if (kept := _node(row))]


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


def _node(row: Any) -> Kept[NodeFields] | None:
    if row is None:
        return None
    value = _decode(row["document"].encode())
    return Kept(row["node"], row["version"], row["updated_at"], value)
