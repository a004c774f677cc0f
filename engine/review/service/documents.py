"""Keep and find the rules of review."""

import asyncio

from engine.infra import versioned
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel.errors import LacksLibrary, NotFound, NotInstalled
from engine.kernel.types import Tenant
from engine.review.rules.compiling import compile_rules
from engine.review.store.documents import MAIN, RULES
from engine.review.types.documents import ReviewFields


async def put(
    runtime: Runtime, tenant: Tenant, fields: ReviewFields, match: Match, actor: str
) -> Saved[ReviewFields]:
    """Keep rules; they hold for orders that are judged from now on.

    Raises:
        ValidationFailed: with all that is wrong with them.
        LacksLibrary: conditions cannot be checked here.
    """
    try:
        await asyncio.to_thread(compile_rules, fields, 0)
    except NotInstalled as missing:
        raise LacksLibrary(str(missing)) from missing
    async with runtime.pool.acquire() as connection, connection.transaction():
        return await versioned.put(
            connection, RULES, tenant, MAIN, fields, match=match, actor=actor
        )


async def get(runtime: Runtime, tenant: Tenant) -> Kept[ReviewFields]:
    """Return the rules.

    Raises:
        NotFound: there are none.
    """
    async with runtime.pool.acquire() as connection:
        return await RULES.get(connection, tenant, MAIN)


async def kept(db: Connection, tenant: Tenant) -> Kept[ReviewFields] | None:
    """Return the rules, None if there are none."""
    try:
        return await RULES.get(db, tenant, MAIN)
    except NotFound:
        return None
