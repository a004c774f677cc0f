"""Stock rules in Postgres, and the SKUs they speak of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from engine.infra import publishing, queries
from engine.infra.postgres import Connection
from engine.infra.versioned import Kept, packed
from engine.kernel import codec
from engine.kernel.types import Tenant
from engine.logical.types.bases import Rule
from engine.logical.types.documents import RuleFields

SQL: Final = queries.load("engine.logical")
decode: Final = codec.Decoder(RuleFields)


@dataclass(frozen=True, slots=True)
class Rules:
    """The table of rules, as `infra.versioned` writes to it."""

    kind: str = "stock_rule"

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[RuleFields] | None:
        """Read one rule and keep others from changing it."""
        return _kept(await tx.fetchrow(SQL["lock_rule"], tenant, key))

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: RuleFields, actor: str
    ) -> Kept[RuleFields] | None:
        """Write a new rule; None when it was made meanwhile."""
        row = await tx.fetchrow(SQL["insert_rule"], tenant, key, packed(value), actor, value.until)
        return _kept(row)

    async def update(
        self, tx: Connection, tenant: Tenant, kept: Kept[RuleFields], value: RuleFields, actor: str
    ) -> Kept[RuleFields]:
        """Write the next version."""
        row = await tx.fetchrow(
            SQL["update_rule"], tenant, kept.id, packed(value), actor, value.until
        )
        changed = _kept(row)
        assert changed is not None, "the row is locked"
        return changed


async def rule(db: Connection, tenant: Tenant, key: str) -> Kept[RuleFields] | None:
    """Read one rule."""
    return _kept(await db.fetchrow(SQL["get_rule"], tenant, key))


async def rules(db: Connection, tenant: Tenant, after: str, limit: int) -> list[Kept[RuleFields]]:
    """Read rules in the order of their ids."""
    rows = await db.fetch(SQL["list_rules"], tenant, after, limit)
    return [kept for row in rows if (kept := _kept(row))]


async def named(db: Connection, tenant: Tenant, sku: str, node: str) -> tuple[bool, bool]:
    """Tell whether there is such a SKU, and such a node."""
    row = await db.fetchrow(SQL["named"], tenant, sku, node)
    assert row is not None, "a SELECT of two values has one row"
    return row["sku"], row["node"]


async def changed(tx: Connection, tenant: Tenant, rules: Iterable[Rule]) -> None:
    """Have every SKU planned anew that one of these rules speaks of and that ever had stock."""
    of = [
        (one.sku, one.category, one.brand, one.owner, one.node, one.node_group, one.batch,
         one.condition)
        for one in rules
    ]  # fmt: skip
    if of:
        columns = [list(column) for column in zip(*of, strict=True)]
        await publishing.change_inputs(tx, tenant)
        await tx.execute(SQL["rules_changed"], tenant, *columns)
    await publishing.wake(tx)


def _kept(row: Any) -> Kept[RuleFields] | None:
    if row is None:
        return None
    value = decode(row["document"].encode())
    return Kept(row["rule"], row["version"], row["updated_at"], value)
