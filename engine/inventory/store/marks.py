"""A mark for each SKU that is another one once anything that its plan is made from has changed."""

from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Pool

SQL: Final = queries.load("engine.inventory")
_LONG_S: Final = 60.0


class Mark(NamedTuple):
    """A SKU of which a document, a count or a pool speaks; sku "": what speaks of many."""

    tenant: str
    sku: str
    mark: int


async def marks(db: Pool, cell: str) -> list[Mark]:
    """Read the marks of all SKUs, and of each tenant what speaks of many; one statement."""
    rows = await db.fetch(SQL["marks"], cell, timeout=_LONG_S)
    return [Mark(*row) for row in rows]
