"""Keep and find stock rules."""

from engine.infra import versioned
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant
from engine.logical.rules import documents as rules
from engine.logical.store import documents as store
from engine.logical.types.documents import RuleFields


async def put(
    runtime: Runtime, tenant: Tenant, rule: str, fields: RuleFields, match: Match, actor: str
) -> Saved[RuleFields]:
    """Create or change a rule; SKUs that it bore on, or does now, are planned anew.

    Raises:
        ValidationFailed: also for a SKU or node that does not exist.
    """
    wanted = rules.normal(fields)
    async with runtime.pool.acquire() as connection, connection.transaction():
        await _check_names(connection, tenant, wanted)
        before = await store.RULES.lock(connection, tenant, rule)
        saved = await versioned.put(
            connection, store.RULES, tenant, rule, wanted, match=match, actor=actor
        )
        was, now = before and rules.effect(before.value), rules.effect(wanted)
        if was != now:
            touched = [rules.compiled(rule, one) for one in (was, now) if one]
            await store.changed(connection, tenant, touched)
        return saved


async def get(runtime: Runtime, tenant: Tenant, rule: str) -> Kept[RuleFields]:
    """Return one rule.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.RULES.get(connection, tenant, rule)


async def page(runtime: Runtime, tenant: Tenant, after: str, limit: int) -> list[Kept[RuleFields]]:
    """Return rules after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.RULES.page(connection, tenant, after, limit)


async def _check_names(tx: Connection, tenant: Tenant, rule: RuleFields) -> None:
    match = rule.match
    sku, node = await store.named(tx, tenant, match.sku or "", match.node or "")
    if faults := rules.unknown(match, sku=sku, node=node):
        raise ValidationFailed(faults)
