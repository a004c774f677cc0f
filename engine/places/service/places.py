"""Where nodes are and when they work, and the table of regions."""

import csv
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Final

from engine.infra.postgres import Connection
from engine.kernel import clock
from engine.kernel.types import Tenant
from engine.physical.types.nodes import NodeFields
from engine.places.rules import profiles as rules
from engine.places.rules.regions import Regions
from engine.places.service import daysoff
from engine.places.store import sites as store
from engine.places.types.profiles import ProfileFields
from engine.places.types.regions import Region
from engine.places.types.sites import Site

_FILE: Final = "regions_cn.csv"
_YEARS_AHEAD: Final = 1  # nothing is promised for later than `calendars.HORIZON_DAYS`


async def sites(db: Connection, tenant: Tenant, now_ms: int, known: Regions) -> list[Site]:
    """Return the nodes that we send from, by name, with days off of this year and the next."""
    year = clock.instant(now_ms).year
    years = range(year - 1, year + _YEARS_AHEAD + 1)  # a year begins earlier east of UTC
    found = await store.sites(db, tenant)
    return [_site(node, fields, profile, known, years) for node, fields, profile in found]


async def all_regions(db: Connection, tenant: Tenant) -> Regions:
    """Return the regions in the tree, and those of one's own, which count before them."""
    return Regions([*_in_tree(), *await store.regions(db, tenant)])


async def keep_regions(tx: Connection, tenant: Tenant, regions: Sequence[Region]) -> int:
    """Keep regions of one's own; return how many were new or were said otherwise before."""
    last = {one.code: one for one in regions}
    return await store.keep_regions(tx, tenant, list(last.values()))


@lru_cache(maxsize=1)
def regions() -> Regions:
    """Return the regions in the tree; what the table is made of stands at its head."""
    return Regions(_in_tree())


@lru_cache(maxsize=1)
def _in_tree() -> tuple[Region, ...]:
    text = (resources.files("engine.places") / "data" / _FILE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple(
        Region(row["code"], row["name"], _degrees(row["latitude"]), _degrees(row["longitude"]))
        for row in csv.DictReader(lines)
    )


def _degrees(text: str) -> float | None:
    return float(text) if text else None


def _site(
    node: str, fields: NodeFields, profile: ProfileFields, known: Regions, years: range
) -> Site:
    address = fields.address
    region = address.region_code if address else ""
    place: tuple[float | None, float | None] = known.point(region) or (None, None)
    if address and address.latitude is not None:
        place = address.latitude, address.longitude
    return Site(
        node, fields.kind, fields.group, region, *place,
        rules.calendar(profile, fields.timezone, daysoff.of(profile.holidays, years)),
        rules.handling(profile), frozenset(profile.modes), frozenset(profile.tags),
        profile.sequence, profile.pick_cost, profile,
    )  # fmt: skip
