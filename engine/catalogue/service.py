"""Keep and find SKUs."""

from collections.abc import Iterable

from engine.catalogue import rules, store
from engine.catalogue.types import SkuFields, Stocked
from engine.infra import publishing, versioned
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel.errors import InConflict, NotFound
from engine.kernel.types import Tenant


async def put(
    runtime: Runtime, tenant: Tenant, sku: str, fields: SkuFields, match: Match, actor: str
) -> Saved[SkuFields]:
    """Create or change a SKU.

    Raises:
        InConflict: another owner, after there was stock: it is kept by owner.
    """
    rules.check(fields)
    async with runtime.pool.acquire() as connection, connection.transaction():
        before = await store.Skus().lock(connection, tenant, sku)
        owner = before.value.owner if before else fields.owner
        if owner != fields.owner and await store.has_pools(connection, tenant, owner, sku):
            raise InConflict("its stock is kept under its present owner")
        saved = await versioned.put(
            connection, store.Skus(), tenant, sku, fields, match=match, actor=actor
        )
        if before is None or rules.scope(before.value) != rules.scope(fields):
            await publishing.changed(connection, tenant, [sku])
        return saved


async def get(runtime: Runtime, tenant: Tenant, sku: str) -> Kept[SkuFields]:
    """Return one SKU.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        kept = await store.get(connection, tenant, sku)
    if kept is None:
        raise NotFound("there is no such SKU")
    return kept


async def page(runtime: Runtime, tenant: Tenant, after: str, limit: int) -> list[Kept[SkuFields]]:
    """Return SKUs after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.page(connection, tenant, after, limit)


async def owners_of(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, str]:
    """Return the owner of each SKU that exists; none changes until the transaction ends."""
    return await store.owners_of(tx, tenant, skus)


async def stocked(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, Stocked]:
    """Return owner and units of each SKU that exists; none changes until the transaction ends."""
    return await store.stocked(tx, tenant, skus)
