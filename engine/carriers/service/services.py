"""Keep and find services of carriers, and switch regions off and on."""

from engine.carriers.rules import documents as rules
from engine.carriers.store import documents as store
from engine.carriers.store.documents import Off
from engine.carriers.types.documents import ServiceFields
from engine.infra import outbox, versioned
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel import urls
from engine.kernel.types import Tenant


async def put(
    runtime: Runtime, tenant: Tenant, service: str, fields: ServiceFields, match: Match, actor: str
) -> Saved[ServiceFields]:
    """Create or change a service.

    Raises:
        ValidationFailed: with everything that is wrong with it.
    """
    wanted = rules.normal_service(fields, urls.hosts(runtime.settings.plain_http_hosts))
    async with runtime.pool.acquire() as connection, connection.transaction():
        return await versioned.put(
            connection, store.SERVICES, tenant, service, wanted, match=match, actor=actor
        )


async def get(runtime: Runtime, tenant: Tenant, service: str) -> Kept[ServiceFields]:
    """Return one service.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.SERVICES.get(connection, tenant, service)


async def page(
    runtime: Runtime, tenant: Tenant, after: str, limit: int
) -> list[Kept[ServiceFields]]:
    """Return services after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.SERVICES.page(connection, tenant, after, limit)


async def switch_off(
    runtime: Runtime, tenant: Tenant, service: str, region: str, told: tuple[str, str]
) -> Off:
    """Let a service go to a region, and to what lies in it, no more; `told` is why and who says so.

    Whoever routes reads it anew within seconds; parcels that have their service keep it. The event
    `carrier.region_off` tells of it once.

    Raises:
        NotFound: there is no such service.
    """
    async with runtime.pool.acquire() as connection, connection.transaction():
        await store.SERVICES.get(connection, tenant, service)
        off = await store.switch_off(connection, tenant, service, region, told)
        if off.made:
            said = {"tenant": tenant, "service": service, "region": region, "reason": off.reason}
            await outbox.write(connection, "carrier.region_off", off.by, [said])
        return off


async def switch_on(
    runtime: Runtime, tenant: Tenant, service: str, region: str, actor: str
) -> bool:
    """Let a service go to a region again; return whether it was switched off.

    Raises:
        NotFound: there is no such service.
    """
    async with runtime.pool.acquire() as connection, connection.transaction():
        await store.SERVICES.get(connection, tenant, service)
        was_off = await store.switch_on(connection, tenant, service, region)
        if was_off:
            said = {"tenant": tenant, "service": service, "region": region}
            await outbox.write(connection, "carrier.region_on", actor, [said])
        return was_off


async def regions_off(runtime: Runtime, tenant: Tenant, service: str) -> list[Off]:
    """Return the regions that a service does not go to, by code.

    Raises:
        NotFound: there is no such service.
    """
    async with runtime.pool.acquire() as connection:
        await store.SERVICES.get(connection, tenant, service)
        return await store.regions_off(connection, tenant, service)
