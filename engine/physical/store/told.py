"""What was told under which name, so that the same again gets the same answer."""

from datetime import datetime
from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.physical")


class Page(NamedTuple):
    """A page of a report; `head` is what all of them have in common, both are digests."""

    node: str
    report: str
    page: int
    pages: int
    head: str
    digest: str


class Known(NamedTuple):
    """What is known of a report: how many pages, their head, and this page where it is here."""

    pages: int
    head: str | None
    digest: str | None
    answer: str | None


async def take_reference(
    tx: Connection, tenant: Tenant, reference: str, digest: str, actor: str
) -> str | None:
    """Take a reference for a movement; return the answer if the same was recorded before.

    Raises:
        LookupError: something else was recorded under it.
    """
    if await tx.fetchval(SQL["take_reference"], tenant, reference, digest, actor):
        return None
    row = await tx.fetchrow(SQL["told_reference"], tenant, reference)
    assert row is not None, "nothing removes a reference"
    if row["digest"] != digest:
        raise LookupError(reference)
    return str(row["answer"])


async def answer_reference(tx: Connection, tenant: Tenant, reference: str, answer: str) -> None:
    """Keep the answer."""
    await tx.execute(SQL["answer_reference"], tenant, reference, answer)


async def prune_references(tx: Connection, until: datetime, limit: int) -> int:
    """Forget the lines of answers given before an instant; return of how many."""
    status = await tx.execute(SQL["prune_references"], until, limit)
    return int(status.rpartition(" ")[2])


async def known_pages(tx: Connection, tenant: Tenant, page: Page) -> Known:
    """Wait for other pages of the report, then return what is known of it."""
    await tx.execute(SQL["lock_report"], tenant, page.node, page.report)
    row = await tx.fetchrow(SQL["told_pages"], tenant, page.node, page.report, page.page)
    assert row is not None, "an aggregate has one row"
    return Known(row["pages"], row["head"], row["digest"], row["answer"])


async def keep_page(tx: Connection, tenant: Tenant, page: Page, actor: str, answer: str) -> None:
    """Keep a page with its answer."""
    await tx.execute(SQL["keep_page"], tenant, *page, actor, answer)
