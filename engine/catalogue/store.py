"""SKUs in Postgres."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from engine.catalogue.types import Carried, Component, SkuFields, Stocked
from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.infra.versioned import Statements, Table
from engine.kernel import codec
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.catalogue")
_decode_components: Final = msgspec.json.Decoder(list[Component]).decode


class Bundle(NamedTuple):
    """What a bundle stands for; no components for a SKU that is one no more."""

    tenant: Tenant
    sku: str
    components: list[Component]


SKUS: Final = Table(
    kind="sku",
    word="sku",
    noun="SKU",
    decode=codec.Decoder(SkuFields),
    sql=Statements(
        SQL["get_sku"], SQL["lock_sku"], SQL["list_skus"], SQL["insert_sku"], SQL["update_sku"]
    ),
    columns=lambda sku: (sku.owner,),
)


async def owners_of(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, str]:
    """Return the owner of each SKU that exists; none changes until the transaction ends."""
    rows = await tx.fetch(SQL["owners_of"], tenant, list(skus))
    return {row["sku"]: row["owner"] for row in rows}


async def stocked(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> dict[str, Stocked]:
    """Return owner and units of each SKU that exists; none changes until the transaction ends."""
    rows = await tx.fetch(SQL["stocked"], tenant, list(skus))
    return {
        row["sku"]: Stocked(
            row["owner"], codec.decode_json(row["units"]) if row["units"] else {}, row["is_bundle"]
        )
        for row in rows
    }


async def carried(
    db: "Connection | Pool", tenant: Tenant, skus: Iterable[str]
) -> dict[str, Carried]:
    """Return what is sent of each SKU that exists."""
    rows = await db.fetch(SQL["carried"], tenant, list(skus))
    return {
        row["sku"]: Carried(
            row["owner"], row["category"], row["brand"], row["grams"], row["cm3"],
            frozenset(codec.decode_json(row["tags"]) if row["tags"] else ()),
        )
        for row in rows
    }  # fmt: skip


async def has_pools(tx: Connection, tenant: Tenant, owner: str, sku: str) -> bool:
    """Tell whether stock of this owner's SKU was ever counted, moved or given out."""
    return bool(await tx.fetchval(SQL["sku_has_pools"], tenant, owner, sku))


async def lock_bundles(tx: Connection, tenant: Tenant) -> None:
    """Wait for other writers of this tenant's bundles, until the transaction ends."""
    await tx.execute(SQL["lock_bundles"], tenant)


async def bundle_with(tx: Connection, tenant: Tenant, sku: str) -> str | None:
    """Return a bundle that has this component."""
    found: str | None = await tx.fetchval(SQL["bundle_with"], tenant, sku)
    return found


async def write_bundle(tx: Connection, one: Bundle) -> None:
    """Keep what a SKU stands for from now on."""
    components = codec.encode(one.components).decode()
    await tx.execute(SQL["write_bundle"], one.tenant, one.sku, components)


async def components_of(
    db: Connection, tenant: Tenant, skus: Iterable[str]
) -> dict[str, list[Component]]:
    """Return the components of those of these SKUs that are bundles."""
    rows = await db.fetch(SQL["components_of"], tenant, list(skus))
    return {row["sku"]: _decode_components(row["components"]) for row in rows}


async def take_changed(tx: Connection, limit: int) -> list[tuple[Tenant, str]]:
    """Return bundles that changed, each once."""
    rows = await tx.fetch(SQL["take_changed_bundles"], limit)
    return [(row["tenant"], row["sku"]) for row in rows]


class Changed(NamedTuple):
    """Bundles that a snapshot of the database has not seen; `anew`: they are all there are."""

    seen: str
    anew: bool
    bundles: list[Bundle]


async def changed(tx: Connection, since: str | None) -> Changed:
    """Return what this repeatable-read transaction sees, and what an earlier one did not."""
    seen = str(await tx.fetchval(SQL["seen_bundles"]))
    if since is not None and _end(seen) < _end(since):
        since = None  # a database that was restored: what it forgot has to be forgotten here, too
    rows = await tx.fetch(SQL["changed_bundles"], since)
    found = [
        Bundle(row["tenant"], row["sku"], _decode_components(row["components"])) for row in rows
    ]
    return Changed(seen, since is None, found)


def _end(snapshot: str) -> int:
    """The first transaction that had not begun: `xmin:xmax:running,…`."""
    return int(snapshot.split(":")[1])
