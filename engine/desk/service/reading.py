"""What waits for a person, read."""

from engine.desk import rules, store
from engine.desk.types import Item, SumView, Wanted
from engine.infra import metrics
from engine.infra.metrics import Values
from engine.infra.postgres import Pool
from engine.infra.runtime import Runtime
from engine.kernel.clock import instant
from engine.kernel.types import Tenant


async def page(runtime: Runtime, wanted: Wanted, limit: int) -> list[Item]:
    """Return items, the most urgent first."""
    return await store.listed(runtime.pool, wanted, instant(runtime.clock.now_ms()), limit)


async def summary(runtime: Runtime, tenant: Tenant, channel: str, code: str) -> list[SumView]:
    """Add up what waits; "" is any channel, any code."""
    now = instant(runtime.clock.now_ms())
    codes = (code,) if code else rules.CODES
    return rules.summed(await store.sums(runtime.pool, tenant, channel, codes, now), now)


async def measures(pool: Pool, tenant: Tenant) -> Values:
    """Return how much waits by code, for who watches it; of each up to the bound of counting."""
    found = await store.counts(pool, tenant, rules.CODES)
    return {metrics.EXCEPTIONS: {(code,): found.get(code, 0) for code in rules.CODES}}
