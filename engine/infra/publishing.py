"""The bell that wakes the publisher, and its word for a document that it cannot bring anywhere."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.errors import EngineError, ValidationFailed
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.infra")
CHANNEL: Final = "tidegate_publish"
_REASON_LENGTH_MAX: Final = 300


class Unplannable(NamedTuple):
    """One version of a stored document that cannot be planned, and why."""

    tenant: Tenant
    id: str
    version: int
    reason: str


async def wake(tx: Connection) -> None:
    """Ring when the caller's transaction commits; several rings are one."""
    await tx.execute("SELECT pg_notify($1, '')", CHANNEL)


async def changed(tx: Connection, tenant: Tenant, skus: Iterable[str]) -> None:
    """Have the pools of these SKUs planned anew once the caller's transaction commits.

    To be called in the transaction that changed stock, or anything else of which pools are made.
    """
    if wanted := sorted(set(skus)):
        await tx.execute(SQL["note_changed"], tenant, wanted, CHANNEL)


async def keep_inputs(tx: Connection, tenant: Tenant) -> None:
    """Let no input of a plan be changed by a document of many SKUs until the transaction ends.

    Whoever plans takes it before he reads, and then sees what such a document changed, or is done
    before it asks for its SKUs.
    """
    await tx.execute(SQL["keep_inputs"], tenant)


async def change_inputs(tx: Connection, tenant: Tenant) -> None:
    """Let nobody plan until the transaction ends.

    To be called before asking which SKUs a document speaks of: one that comes to it meanwhile would
    be planned without the document, and noted by nobody.
    """
    await tx.execute(SQL["change_inputs"], tenant)


def why(failure: Exception) -> str:
    """Say in one line, which Postgres can keep, what is wrong with a document."""
    if isinstance(failure, ValidationFailed):
        faults = failure.extra["errors"]
        assert isinstance(faults, list)
        told = "; ".join(f"{one['pointer']}: {one['detail']}" for one in faults)
    elif isinstance(failure, EngineError):
        told = failure.detail
    else:
        # one line: what follows in an error of Postgres is the row itself
        told = f"{type(failure).__name__}: {failure}".partition("\n")[0]
    return told.replace("\x00", "")[:_REASON_LENGTH_MAX]
