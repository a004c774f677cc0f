"""All that is chosen by, read at once: services, cards, what is switched off, what a day takes."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple

from engine.carriers.rules import documents as rules
from engine.carriers.rules import quoting, scorecards
from engine.carriers.store import documents as store
from engine.carriers.types.services import Cards, Fared, Service
from engine.infra.postgres import Connection, Pool
from engine.kernel import clock
from engine.kernel.types import Tenant
from engine.places.rules import profiles
from engine.places.types.sites import Site


class Fleet(NamedTuple):
    """What carriers offer; `limits` are (service, dimension) -> what a day takes, None no limit.

    Services are in the order of their names, and their places in it are what choices name.
    """

    services: tuple[Service, ...]
    cards: Cards
    off: frozenset[tuple[str, str]]
    limits: Mapping[tuple[str, str], int | None]


async def load(
    db: Connection,
    tenant: Tenant,
    sites: Iterable[Site],
    now_ms: int,
    fared: Mapping[str, Fared] | None = None,
) -> Fleet:
    """Return what carriers offer from now on, with the cut-offs that the nodes' profiles name.

    Their scores are those of `fared`; without it, what their documents say.
    """
    told = [(site.node, site.profile) for site in sites]
    found = await store.all_services(db, tenant)
    scores = scorecards.scores({name: fields.score for name, fields in found}, fared or {})
    services = tuple(
        rules.compiled_service(
            name, fields, {node: profiles.cutoff(profile, name) for node, profile in told}
        )._replace(score=scores[name])
        for name, fields in found
    )
    versions = await store.in_force(db, tenant, clock.instant(now_ms))
    lines = [line for one in versions for line in rules.compiled_card(*one)]
    limits = {
        (name, dim): limit for name, fields in found for dim, limit in rules.limits(fields).items()
    }
    return Fleet(services, quoting.gathered(lines), await store.all_off(db, tenant), limits)


async def off(db: "Connection | Pool", tenant: Tenant) -> frozenset[tuple[str, str]]:
    """Return (service, region) of what is switched off at this moment."""
    return await store.all_off(db, tenant)


async def fared(db: "Connection | Pool", tenant: Tenant, now_ms: int) -> dict[str, Fared]:
    """Return how services fared of late, by the parcels that have an end."""
    since = clock.instant(now_ms).date() - timedelta(days=scorecards.DAYS)
    return await store.fared(db, tenant, since)
