"""Keep and find SKUs."""

from collections.abc import Iterable

from engine.catalogue import rules, store
from engine.catalogue.store import Bundle
from engine.catalogue.types import Carried, Component, SkuFields, Stocked
from engine.infra import publishing, versioned
from engine.infra.postgres import Connection, Pool
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel.errors import InConflict, ValidationFailed
from engine.kernel.types import Tenant


async def put(
    runtime: Runtime, tenant: Tenant, sku: str, fields: SkuFields, match: Match, actor: str
) -> Saved[SkuFields]:
    """Create or change a SKU; other components count for orders that come from now on.

    Raises:
        ValidationFailed: components that cannot be, with the place.
        InConflict: another owner, after there was stock: it is kept by owner; components, where
            there is stock; or either, where it is a component itself.
    """
    rules.check(fields)
    rules.check_components(sku, fields)
    async with runtime.pool.acquire() as connection, connection.transaction():
        if fields.components:
            await store.lock_bundles(connection, tenant)
        before = await store.SKUS.lock(connection, tenant, sku)
        owner = before.value.owner if before else fields.owner
        had = before.value.components if before else []
        if owner != fields.owner or fields.components:
            await _require_free(connection, tenant, sku, owner, fields)
        saved = await versioned.put(
            connection, store.SKUS, tenant, sku, fields, match=match, actor=actor
        )
        if had != fields.components:
            await store.write_bundle(connection, Bundle(tenant, sku, fields.components))
            await publishing.wake(connection)
        if before is None or rules.scope(before.value) != rules.scope(fields):
            await publishing.changed(connection, tenant, [sku])
        return saved


async def get(runtime: Runtime, tenant: Tenant, sku: str) -> Kept[SkuFields]:
    """Return one SKU.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await find(connection, tenant, sku)


async def find(db: Connection, tenant: Tenant, sku: str) -> Kept[SkuFields]:
    """Return one SKU, as this connection sees it.

    Raises:
        NotFound: there is none of that name.
    """
    return await store.SKUS.get(db, tenant, sku)


async def page(runtime: Runtime, tenant: Tenant, after: str, limit: int) -> list[Kept[SkuFields]]:
    """Return SKUs after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.SKUS.page(connection, tenant, after, limit)


async def owners_of(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, str]:
    """Return the owner of each SKU that exists; none changes until the transaction ends."""
    return await store.owners_of(tx, tenant, skus)


async def stocked(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, Stocked]:
    """Return owner and units of each SKU that exists; none changes until the transaction ends."""
    return await store.stocked(tx, tenant, skus)


async def carried(
    db: "Connection | Pool", tenant: Tenant, skus: Iterable[str]
) -> dict[str, Carried]:
    """Return what whoever sends them has to know of those of these SKUs that exist."""
    return await store.carried(db, tenant, skus)


async def components_of(
    db: Connection, tenant: Tenant, skus: Iterable[str]
) -> dict[str, list[Component]]:
    """Return the components of those of these SKUs that are bundles."""
    return await store.components_of(db, tenant, skus)


async def take_changed_bundles(tx: Connection, limit: int) -> list[tuple[Tenant, str]]:
    """Return bundles whose components have changed since they were last returned."""
    return await store.take_changed(tx, limit)


async def _require_free(
    tx: Connection, tenant: Tenant, sku: str, owner: str, fields: SkuFields
) -> None:
    """Refuse another owner, or components, where what there is already stands against it."""
    if await store.has_pools(tx, tenant, owner, sku):
        if owner != fields.owner:
            raise InConflict("its stock is kept under its present owner")
        raise InConflict("it has stock of its own, and a bundle has none: make another SKU")
    bundle = await store.bundle_with(tx, tenant, sku)
    if bundle is not None:
        raise InConflict(f"it is a component of the bundle {bundle}", bundle=bundle)
    found = await store.stocked(tx, tenant, [one.sku for one in fields.components])
    if faults := list(rules.unfit(fields.owner, fields, found)):
        raise ValidationFailed(faults)
