"""Keep and find alert rules, and list alerts."""

from engine.alerts.rules import documents as rules
from engine.alerts.store import documents as store
from engine.alerts.store import standing
from engine.alerts.store.standing import Wanted
from engine.alerts.types.documents import AlertRuleFields, AlertView
from engine.infra import versioned
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel.types import Tenant

__all__ = ["Wanted", "alerts", "get", "page", "put"]


async def put(
    runtime: Runtime, tenant: Tenant, rule: str, fields: AlertRuleFields, match: Match, actor: str
) -> Saved[AlertRuleFields]:
    """Create or change a rule; stock is judged by it with the next look.

    It may name what does not exist yet.

    Raises:
        ValidationFailed: it says what its kind does not take, or lacks what it needs.
    """
    wanted = rules.normal(fields)
    async with runtime.pool.acquire() as connection, connection.transaction():
        return await versioned.put(
            connection, store.RULES, tenant, rule, wanted, match=match, actor=actor
        )


async def get(runtime: Runtime, tenant: Tenant, rule: str) -> Kept[AlertRuleFields]:
    """Return one rule.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.RULES.get(connection, tenant, rule)


async def page(
    runtime: Runtime, tenant: Tenant, after: str, limit: int
) -> list[Kept[AlertRuleFields]]:
    """Return rules after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.RULES.page(connection, tenant, after, limit)


async def alerts(runtime: Runtime, wanted: Wanted) -> list[AlertView]:
    """Return alerts, the oldest first."""
    async with runtime.pool.acquire() as connection:
        return await standing.alerts(connection, wanted)
