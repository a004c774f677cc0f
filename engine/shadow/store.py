"""Facts of the shadow in Postgres."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from engine.catalogue import service as catalogue
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.shadow.types import Counted, Facts, OrderLine, Shown

SQL: Final = queries.load("engine.shadow")
_FORGET: Final = {
    "order lines": SQL["forget_lines"],
    "counts": SQL["forget_counts"],
    "numbers": SQL["forget_numbers"],
}

Fact = TypeVar("Fact", bound=OrderLine | Counted | Shown)


@dataclass(frozen=True, slots=True)
class Table(Generic[Fact]):
    """A kind of fact: the statements that find and write it, and what it is known by."""

    find: str
    write: str
    kind: Callable[..., Fact]
    key: tuple[str, ...]

    def key_of(self, fact: Fact) -> tuple[Any, ...]:
        """Return what a fact is known by."""
        return tuple(getattr(fact, name) for name in self.key)


LINES: Final = Table(
    SQL["find_lines"], SQL["write_lines"], OrderLine, ("channel", "channel_order_id", "line")
)
COUNTS: Final = Table(
    SQL["find_counts"], SQL["write_counts"], Counted,
    ("sku", "node", "owner", "condition", "batch", "as_of", "sequence"),
)  # fmt: skip
NUMBERS: Final = Table(
    SQL["find_numbers"], SQL["write_numbers"], Shown,
    ("channel", "item_id", "sku_id", "sku", "seen_at"),
)  # fmt: skip


async def lock(tx: Connection, tenant: Tenant) -> None:
    """Wait for other writers of this tenant, until the transaction ends."""
    await tx.execute(SQL["lock_shadow"], tenant)


async def find(
    tx: Connection, tenant: Tenant, table: Table[Fact], keys: Collection[tuple[Any, ...]]
) -> list[Fact]:
    """Read those of these facts that are there."""
    columns = list(zip(*keys, strict=True)) or [()] * len(table.key)
    rows = await tx.fetch(table.find, tenant, *columns)
    return [table.kind(*row) for row in rows]


async def write(tx: Connection, tenant: Tenant, table: Table[Fact], facts: Sequence[Fact]) -> None:
    """Write facts that are new or, of lines, newer."""
    if facts:
        await tx.execute(table.write, tenant, *zip(*facts, strict=True))


async def read(db: Connection, tenant: Tenant, until: datetime) -> Facts:
    """Read all that was told of the time until then, in its order."""
    lines = [OrderLine(*row) for row in await db.fetch(SQL["all_lines"], tenant, until)]
    counts = [Counted(*row) for row in await db.fetch(SQL["all_counts"], tenant, until)]
    shown = [Shown(*row) for row in await db.fetch(SQL["all_numbers"], tenant, until)]
    mapped: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for channel, item_id, sku_id, sku, units_per in await db.fetch(SQL["mapped_links"], tenant):
        mapped.setdefault((channel, item_id, sku_id), []).append((sku, units_per))
    skus = {sku for told in mapped.values() for sku, _ in told}
    skus |= {one.sku for one in lines} | {one.sku for one in shown}
    bundles = {
        sku: [(part.sku, part.quantity) for part in parts]
        for sku, parts in (await catalogue.components_of(db, tenant, skus)).items()
    }
    return Facts(lines, counts, shown, mapped, bundles)


async def forget(tx: Connection, tenant: Tenant) -> dict[str, int]:
    """Delete all facts of a tenant; return how many there were of each kind."""
    gone = {}
    for name, statement in _FORGET.items():
        status = await tx.execute(statement, tenant)
        gone[name] = int(status.rpartition(" ")[2])
    return gone
