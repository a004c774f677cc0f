"""All that is chosen by, read at once: services, cards, what is switched off, what a day takes."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engine.carriers.rules import documents as rules
from engine.carriers.rules import quoting
from engine.carriers.store import documents as store
from engine.carriers.types.services import Cards, Service
from engine.infra.postgres import Connection
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


async def load(db: Connection, tenant: Tenant, sites: Iterable[Site], now_ms: int) -> Fleet:
    """Return what carriers offer from now on, with the cut-offs that the nodes' profiles name."""
    told = [(site.node, site.profile) for site in sites]
    found = await store.all_services(db, tenant)
    services = tuple(
        rules.compiled_service(
            name, fields, {node: profiles.cutoff(profile, name) for node, profile in told}
        )
        for name, fields in found
    )
    versions = await store.in_force(db, tenant, clock.instant(now_ms))
    lines = [line for one in versions for line in rules.compiled_card(*one)]
    limits = {
        (name, dim): limit for name, fields in found for dim, limit in rules.limits(fields).items()
    }
    return Fleet(services, quoting.gathered(lines), await store.all_off(db, tenant), limits)
