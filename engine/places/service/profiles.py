"""Keep and find profiles of nodes."""

from engine.infra import versioned
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel import codec, urls
from engine.kernel.types import Tenant
from engine.physical.service import nodes
from engine.places.rules import profiles as rules
from engine.places.service import daysoff
from engine.places.store import profiles as store
from engine.places.types.profiles import ProfileFields


async def put(
    runtime: Runtime, tenant: Tenant, node: str, fields: ProfileFields, match: Match, actor: str
) -> Saved[ProfileFields]:
    """Create or change what a node can do and when.

    Raises:
        NotFound: there is no such node.
        ValidationFailed: with everything that is wrong with it.
    """
    wanted = rules.normal(fields, urls.hosts(runtime.settings.plain_http_hosts))
    if wanted.holidays and not daysoff.known(wanted.holidays):
        codec.refuse("/holidays", "no days off are known of this country: use exceptions")
    await nodes.get(runtime, tenant, node)
    async with runtime.pool.acquire() as connection, connection.transaction():
        return await versioned.put(
            connection, store.PROFILES, tenant, node, wanted, match=match, actor=actor
        )


async def get(runtime: Runtime, tenant: Tenant, node: str) -> Kept[ProfileFields]:
    """Return the profile of a node.

    Raises:
        NotFound: nobody wrote one.
    """
    async with runtime.pool.acquire() as connection:
        return await store.PROFILES.get(connection, tenant, node)


async def page(
    runtime: Runtime, tenant: Tenant, after: str, limit: int
) -> list[Kept[ProfileFields]]:
    """Return profiles after one, in the order of their nodes."""
    async with runtime.pool.acquire() as connection:
        return await store.PROFILES.page(connection, tenant, after, limit)
