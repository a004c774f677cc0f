"""Services, rate cards and regions that are switched off, in Postgres."""

from dataclasses import replace
from datetime import date, datetime
from typing import Final, NamedTuple

from engine.carriers.types.documents import CardFields, ServiceFields
from engine.carriers.types.services import Fared
from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.infra.versioned import Kept, Statements, Table
from engine.kernel import codec
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.carriers")
_service: Final = codec.Decoder(ServiceFields)
_card: Final = codec.Decoder(CardFields)

SERVICES: Final = Table(
    kind="carrier_service",
    word="service",
    noun="service of a carrier",
    decode=_service,
    sql=Statements(
        SQL["get_service"],
        SQL["lock_service"],
        SQL["list_services"],
        SQL["insert_service"],
        SQL["update_service"],
    ),
)


class Off(NamedTuple):
    """One region that a service does not go to; `made` if that is new."""

    service: str
    region: str
    since: datetime
    reason: str
    by: str
    made: bool = False


def _columns(card: CardFields) -> tuple[object, ...]:
    return card.service, card.effective_from, card.effective_until


CARDS: Final = Table(
    kind="rate_card",
    word="card",
    noun="rate card",
    decode=_card,
    sql=Statements(
        SQL["get_card"],
        SQL["lock_card"],
        SQL["list_cards"],
        SQL["insert_card"],
        SQL["update_card"],
    ),
    columns=_columns,
)


def cards_at(now: datetime) -> Table[CardFields]:
    """Return the table of rate cards for a change: one that is later than now is replaced."""
    return replace(CARDS, changing=lambda card: (*_columns(card), now))


async def all_services(db: Connection, tenant: Tenant) -> list[tuple[str, ServiceFields]]:
    """Read every service by name."""
    rows = await db.fetch(SQL["all_services"], tenant)
    return [(row["service"], _service(row["document"].encode())) for row in rows]


async def in_force(
    db: Connection, tenant: Tenant, at: datetime
) -> list[tuple[str, int, CardFields]]:
    """Read (card, version, what it says) of the versions that hold at an instant or later."""
    rows = await db.fetch(SQL["versions_in_force"], tenant, at)
    return [(row["card"], row["version"], _card(row["document"].encode())) for row in rows]


async def versions(
    db: Connection, tenant: Tenant, card: str, below: int, limit: int
) -> list[Kept[CardFields]]:
    """Read versions of a card below one, the last one first."""
    rows = await db.fetch(SQL["versions_of"], tenant, card, below, limit)
    return [CARDS.read(row) for row in rows]


async def other_currency(tx: Connection, tenant: Tenant, card: str, currency: str) -> str:
    """Return a card that is in another currency, "" if there is none."""
    return str(await tx.fetchval(SQL["other_currency"], tenant, card, currency))


async def switch_off(
    tx: Connection, tenant: Tenant, service: str, region: str, told: tuple[str, str]
) -> Off:
    """Note that a service does not go to a region; `told` is the reason and who says so."""
    row = await tx.fetchrow(SQL["switch_off"], tenant, service, region, *told)
    assert row is not None, "an upsert returns its row"
    return Off(*row)


async def switch_on(tx: Connection, tenant: Tenant, service: str, region: str) -> bool:
    """Forget it; return whether it was noted."""
    return await tx.fetchval(SQL["switch_on"], tenant, service, region) is not None


async def regions_off(db: Connection, tenant: Tenant, service: str) -> list[Off]:
    """Read the regions that a service does not go to."""
    return [Off(*row) for row in await db.fetch(SQL["regions_off"], tenant, service)]


async def all_off(db: "Connection | Pool", tenant: Tenant) -> frozenset[tuple[str, str]]:
    """Read (service, region) of everything that is switched off."""
    return frozenset(
        (row["service"], row["region"]) for row in await db.fetch(SQL["all_off"], tenant)
    )


async def fared(db: "Connection | Pool", tenant: Tenant, since: date) -> dict[str, Fared]:
    """Read how services fared with parcels that left on a day or later."""
    rows = await db.fetch(SQL["fared"], tenant, since)
    return {row["service"]: Fared(*list(row)[1:]) for row in rows}
