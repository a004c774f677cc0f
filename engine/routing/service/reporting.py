"""Report what a version of a plan decided beside the active one."""

from typing import Final

from engine.infra.runtime import Runtime
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant
from engine.routing.rules import comparing
from engine.routing.store import plans, shadowing
from engine.routing.store.shadowing import Name
from engine.routing.types.comparing import ShadowReport

_ORDERS_MAX: Final = 100_000


async def report(runtime: Runtime, tenant: Tenant, plan: str, number: int) -> ShadowReport:
    """Return it, of the last orders; of a version that was never SHADOW it has none.

    Raises:
        NotFound: there is no such version.
    """
    of = Name(plan, number)
    async with (
        runtime.pool.acquire() as db,
        db.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await plans.version(db, tenant, plan, number)
        groups = await shadowing.groups(db, tenant, of, _ORDERS_MAX)
        span = await shadowing.span(db, tenant, of, _ORDERS_MAX)
        largest = await shadowing.largest(db, tenant, of, _ORDERS_MAX, comparing.LARGEST_MAX)
        omitted = await shadowing.omitted(db, tenant, of)
    since, until = (rfc3339(to_ms(at)) if at else None for at in span)
    return ShadowReport(
        plan=plan,
        version=number,
        status=found.status,
        since=since,
        until=until,
        total=comparing.total(groups),
        against=comparing.against(groups),
        rules=comparing.rules(groups),
        regions=comparing.regions(groups),
        largest=[comparing.told(one) for one in largest],
        skipped=omitted.skipped,
        failed=omitted.failed,
        last_failure=omitted.reason,
    )
