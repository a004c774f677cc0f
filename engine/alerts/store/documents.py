"""Alert rules."""

from dataclasses import dataclass
from typing import Any, Final

from engine.alerts.types.documents import AlertRuleFields
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.versioned import Kept, packed
from engine.kernel import codec
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.alerts")
_decode: Final = codec.Decoder(AlertRuleFields)
_ALL: Final = 10_000  # rules of a tenant that are applied; people write them by hand


@dataclass(frozen=True, slots=True)
class Rules:
    """The table of rules, as `infra.versioned` writes to it."""

    kind: str = "alert_rule"

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[AlertRuleFields] | None:
        """Read one rule and keep others from changing it."""
        return _kept(await tx.fetchrow(SQL["lock_rule"], tenant, key))

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: AlertRuleFields, actor: str
    ) -> Kept[AlertRuleFields] | None:
        """Write a new rule; None when it was made meanwhile."""
        return _kept(await tx.fetchrow(SQL["insert_rule"], tenant, key, packed(value), actor))

    async def update(
        self,
        tx: Connection,
        tenant: Tenant,
        kept: Kept[AlertRuleFields],
        value: AlertRuleFields,
        actor: str,
    ) -> Kept[AlertRuleFields]:
        """Write the next version."""
        changed = _kept(
            await tx.fetchrow(SQL["update_rule"], tenant, kept.id, packed(value), actor)
        )
        assert changed is not None, "the row is locked"
        return changed


async def rule(db: Connection, tenant: Tenant, key: str) -> Kept[AlertRuleFields] | None:
    """Read one rule."""
    return _kept(await db.fetchrow(SQL["get_rule"], tenant, key))


async def rules(
    db: Connection, tenant: Tenant, after: str = "", limit: int = _ALL
) -> list[Kept[AlertRuleFields]]:
    """Read rules in the order of their ids."""
    rows = await db.fetch(SQL["list_rules"], tenant, after, limit)
    return [kept for row in rows if (kept := _kept(row))]


def _kept(row: Any) -> Kept[AlertRuleFields] | None:
    if row is None:
        return None
    value = _decode(row["document"].encode())
    return Kept(row["rule"], row["version"], row["updated_at"], value)
