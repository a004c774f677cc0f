"""Keep and find rate cards; a version that has taken effect stays as it is."""

from datetime import datetime

from engine.carriers.rules import documents as rules
from engine.carriers.store import documents as store
from engine.carriers.types.documents import CardFields
from engine.infra import versioned
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel import clock, codec
from engine.kernel.errors import Immutable, NotFound
from engine.kernel.types import Tenant


async def put(
    runtime: Runtime, tenant: Tenant, card: str, fields: CardFields, match: Match, actor: str
) -> Saved[CardFields]:
    """Create a card, or make its next version.

    Raises:
        Immutable: it would change what is in force already.
        ValidationFailed: also for a service that does not exist, or another currency than that of
            all other cards: prices are compared.
    """
    now = clock.instant(runtime.clock.now_ms())
    async with runtime.pool.acquire() as connection, connection.transaction():
        return await keep(connection, tenant, card, fields, match, actor=actor, now=now)


async def keep(  # noqa: PLR0913 - a PUT is all of these
    tx: Connection,
    tenant: Tenant,
    card: str,
    fields: CardFields,
    match: Match,
    *,
    actor: str,
    now: datetime,
) -> Saved[CardFields]:
    """Do so inside the caller's transaction."""
    wanted = rules.normal_card(fields)
    if await store.SERVICES.lock(tx, tenant, wanted.service) is None:
        codec.refuse("/service", "there is no such service of a carrier")
    if other := await store.other_currency(tx, tenant, card, wanted.currency):
        codec.refuse("/currency", f"must be that of all cards, as of {other}: prices are compared")

    def allow(kept: Kept[CardFields] | None) -> None:
        if kept is None:
            return
        if kept.value.service != wanted.service:
            codec.refuse("/service", f"is {kept.value.service}: make a card of another name")
        if wanted.effective_from <= now:
            told = (
                f"version {kept.version} stays as it is: send the change with an effective_from"
                " that is later than now"
            )
            raise Immutable(told)

    return await versioned.put(
        tx, store.cards_at(now), tenant, card, wanted, match=match, actor=actor, allow=allow
    )


async def last(tx: Connection, tenant: Tenant, card: str) -> Kept[CardFields] | None:
    """Return the last version of a card, None if there is none of that name."""
    try:
        return await store.CARDS.get(tx, tenant, card)
    except NotFound:
        return None


async def get(runtime: Runtime, tenant: Tenant, card: str) -> Kept[CardFields]:
    """Return the last version of a card.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.CARDS.get(connection, tenant, card)


async def versions(
    runtime: Runtime, tenant: Tenant, card: str, below: int, limit: int
) -> list[Kept[CardFields]]:
    """Return versions of a card below one, the last one first; quotes name them.

    Raises:
        NotFound: there is no card of that name.
    """
    async with runtime.pool.acquire() as connection:
        await store.CARDS.get(connection, tenant, card)
        return await store.versions(connection, tenant, card, below, limit)


async def page(runtime: Runtime, tenant: Tenant, after: str, limit: int) -> list[Kept[CardFields]]:
    """Return the last versions of cards after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.CARDS.page(connection, tenant, after, limit)
