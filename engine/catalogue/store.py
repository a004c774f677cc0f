"""SKUs in Postgres."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from engine.catalogue.types import SkuFields, Stocked
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.versioned import Kept, packed
from engine.kernel import codec
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.catalogue")
_decode: Final = codec.Decoder(SkuFields)


@dataclass(frozen=True, slots=True)
class Skus:
    """The table of SKUs, as `infra.versioned` writes to it."""

    kind: str = "sku"

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[SkuFields] | None:
        """Read one SKU and keep others from changing it."""
        return _kept(await tx.fetchrow(SQL["lock_sku"], tenant, key))

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: SkuFields, actor: str
    ) -> Kept[SkuFields] | None:
        """Write a new SKU; None when it was made meanwhile."""
        document = packed(value)
        return _kept(
            await tx.fetchrow(SQL["insert_sku"], tenant, key, value.owner, document, actor)
        )

    async def update(
        self, tx: Connection, tenant: Tenant, kept: Kept[SkuFields], value: SkuFields, actor: str
    ) -> Kept[SkuFields]:
        """Write the next version."""
        document = packed(value)
        row = await tx.fetchrow(SQL["update_sku"], tenant, kept.id, value.owner, document, actor)
        changed = _kept(row)
        assert changed is not None, "the row is locked"
        return changed


async def get(db: Connection, tenant: Tenant, sku: str) -> Kept[SkuFields] | None:
    """Read one SKU."""
    return _kept(await db.fetchrow(SQL["get_sku"], tenant, sku))


async def page(db: Connection, tenant: Tenant, after: str, limit: int) -> list[Kept[SkuFields]]:
    """Read SKUs in the order of their ids."""
    rows = await db.fetch(SQL["list_skus"], tenant, after, limit)
    return [kept for row in rows if (kept := _kept(row))]


async def owners_of(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, str]:
    """Return the owner of each SKU that exists; none changes until the transaction ends."""
    rows = await tx.fetch(SQL["owners_of"], tenant, list(skus))
    return {row["sku"]: row["owner"] for row in rows}


async def stocked(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, Stocked]:
    """Return owner and units of each SKU that exists; none changes until the transaction ends."""
    rows = await tx.fetch(SQL["stocked"], tenant, list(skus))
    return {
        row["sku"]: Stocked(row["owner"], codec.decode_json(row["units"]) if row["units"] else {})
        for row in rows
    }


async def has_pools(tx: Connection, tenant: Tenant, owner: str, sku: str) -> bool:
    """Tell whether stock of this owner's SKU was ever counted, moved or given out."""
    return bool(await tx.fetchval(SQL["sku_has_pools"], tenant, owner, sku))


def _kept(row: Any) -> Kept[SkuFields] | None:
    if row is None:
        return None
    value = _decode(row["document"].encode())
    return Kept(row["sku"], row["version"], row["updated_at"], value)
