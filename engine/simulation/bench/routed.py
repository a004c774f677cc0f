"""What is routed: nodes, goods that lie there, carriers, 30 rules, and orders of real sizes.

It lies in a database of its own, so nothing of it is ever sent, and nobody else routes it.
"""

from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import msgspec

from engine.carriers.service import cards, services
from engine.carriers.types.documents import CardFields, ServiceFields
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Match
from engine.kernel import codec
from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.kernel.types import Tenant
from engine.physical.service import nodes as sites
from engine.physical.types.nodes import Address, NodeFields
from engine.routing.service import plans, queue
from engine.routing.types.core import Line, Order
from engine.routing.types.plans import PlanFields
from engine.routing.types.queue import Row

SQL: Final = queries.load("engine.simulation.bench")

SKUS: Final = 5_000
RULES: Final = 30
# Orders by how many lines they have, of about a thousand. Those of an everyday shop have 8 lines
# in the median and 15 in the mean; on 双11 one or two.
SIZES: Final = {
    "real": (
        (1, 150), (2, 80), (3, 60), (4, 55), (5, 50), (6, 50), (7, 45), (8, 40), (9, 40), (10, 35),
        (12, 70), (14, 60), (17, 55), (20, 50), (25, 50), (31, 40), (40, 35), (60, 20), (120, 33),
    ),
    "sale": ((1, 600), (2, 400)),
}  # fmt: skip
_UNITS: Final = {"real": (1, 1, 1, 2, 3, 6, 12), "sale": (1,)}
_ALMOST_ALL: Final = 0.97  # of all SKUs, what large nodes have
_HALF: Final = 0.5  # what small ones have
_LARGE_OF: Final = 5  # of so many nodes the first is large
_AT_ONCE: Final = 500
_ACTOR: Final = "bench"
_PLAN: Final = "bench"
_CHANNEL: Final = "bench"
_PROVINCES: Final = (
    "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41",
    "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65",
)  # fmt: skip
_REGIONS: Final = tuple(f"{one}{city:02}00" for one in _PROVINCES for city in range(1, 12))
# By service: days on the way within its zone and beyond, first and further kilogram, minor units.
_SERVICES: Final = {
    "bench-air": (1, 2, 1_200, 400), "bench-road": (2, 4, 600, 150), "bench-post": (4, 7, 500, 90),
}  # fmt: skip


async def furnish(runtime: Runtime, tenant: Tenant, nodes: int) -> None:
    """Make everything but orders, in an empty database.

    Raises:
        LacksLibrary: conditions cannot be checked here.
    """
    rng, names = Random(nodes), [f"bench-{n:02}" for n in range(nodes)]
    await runtime.pool.execute(SQL["route_skus"], tenant, SKUS)
    for name in names:
        at = Address(country="CN", region_code=rng.choice(_REGIONS))
        await sites.put(runtime, tenant, name, NodeFields(name, address=at), Match(), _ACTOR)
    shares = [_HALF if n % _LARGE_OF else _ALMOST_ALL for n in range(nodes)]
    await runtime.pool.execute(SQL["route_stock"], tenant, names, shares)
    await _carriers(runtime, tenant)
    made, _ = await plans.put(runtime, tenant, _PLAN, plan(), Match(), _ACTOR)
    await plans.move(runtime, tenant, _PLAN, made.version, "ACTIVE", _ACTOR)


def plan() -> PlanFields:
    """Return a plan whose last rule always holds: one node if there is one, else the fewest."""
    scorers = [{"metric": one} for one in ("delivery_eta", "total_cost", "node_load")]
    rules: list[dict[str, Any]] = [
        {
            "seq": n + 1, "when": _condition(n), "assignment": "SINGLE_NODE", "scorers": scorers,
            "filters": [{"field": "cutoff_reachable"}],
        }
        for n in range(RULES - 1)
    ]  # fmt: skip
    rules.append(
        {
            "seq": RULES, "assignment": "MIN_SPLIT", "scorers": scorers,
            "filters": [{"field": "node_type", "op": "ne", "value": "SUPPLIER"}],
            "split": {"max_parcels": 8, "allow_partial_line": True},
            "on_unfilled": {"do": "PARK", "queue": "UNFILLABLE", "reason": "no_stock"},
        }
    )  # fmt: skip
    told = {"plan": _PLAN, "stages": [{"seq": 1, "rules": rules}]}
    return msgspec.convert(told, PlanFields)


def _condition(n: int) -> str:
    """Return one of the rules' conditions: they all have to be looked at, and seldom hold."""
    return (
        f"campaign == '{_CHANNEL}' && total > {90_000_000 + n} && !('PRESELL' in tags)",
        f"channel in ['mall', 'shop{n}'] && grams <= {n} && region.startsWith('{10 + n}')",
        f"tags.exists(t, t == 'FRESH{n}' || t == 'COLD') && lines >= 5",
    )[n % 3]


async def _carriers(runtime: Runtime, tenant: Tenant) -> None:
    zones = {f"{one}0000": f"z{one[0]}" for one in _PROVINCES}
    ends = sorted(set(zones.values()))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    for service, (near, far, first, step) in _SERVICES.items():
        days = {zone: near if zone == "z3" else far for zone in ends}
        fields = {"carrier": service, "tier": "standard", "zones": zones, "days": days}
        told = msgspec.convert({**fields, "divisor": 8_000}, ServiceFields)
        await services.put(runtime, tenant, service, told, Match(), _ACTOR)
        lines = [
            {
                "origin": region, "dest": zone, "first_grams": 1_000, "step_grams": 1_000,
                "first": first + 100 * abs(int(zone[1]) - int(region[0])), "step": step,
            }
            for region in zones
            for zone in ends
        ]  # fmt: skip
        card = {"service": service, "effective_from": since, "lines": lines}
        priced = msgspec.convert(card, CardFields)
        await cards.put(runtime, tenant, service, priced, Match(), _ACTOR)


async def enqueue(db: Connection, tenant: Tenant, lines: str, count: int, mark: str) -> float:
    """Put orders into the queue, due at no time yet; return how many lines one has in the mean."""
    rng = Random(mark)
    sizes, weights = zip(*SIZES[lines], strict=True)
    found = [
        _order(f"{mark}-{n:06}", tenant, lines, size, rng)
        for n, size in enumerate(rng.choices(sizes, weights, k=count))
    ]
    for first in range(0, count, _AT_ONCE):
        some = found[first : first + _AT_ONCE]
        draws = [
            codec.encode([[line.line_no, "p", line.units] for line in one.lines]).decode()
            for one in some
        ]
        ids = [one.order_id for one in some]
        async with db.transaction():
            rows = await db.fetch(SQL["route_orders"], tenant, _CHANNEL, ids, draws)
            versions = {row["order_id"]: row["row_version"] for row in rows}
            await queue.put(db, tenant, [Row("NEW", one, versions[one.order_id]) for one in some])
    return sum(len(one.lines) for one in found) / count


def _order(order_id: str, tenant: Tenant, lines: str, size: int, rng: Random) -> Order:
    found = []
    for n in range(1, size + 1):
        units, sku = rng.choice(_UNITS[lines]), f"bench-{rng.randrange(SKUS):04}"
        grams = units * rng.randrange(100, 900)
        found.append(Line(n, sku, "", units, grams, 2 * grams, 100 * units))
    region = rng.choice(_REGIONS)
    facts = ORDER_SCHEMA.facts(
        {
            "channel": _CHANNEL, "campaign": "", "order_kind": "sale", "tier": "", "priority": 0,
            "total": 12_000, "units": sum(one.units for one in found), "lines": size,
            "grams": sum(one.grams for one in found), "cm3": sum(one.cm3 for one in found),
            "region": region, "province": region[:2], "tags": ["GIFT"], "buyer_tier": "", "cod": 0,
            "insured": 0, "fulfil_mode": "ship", "hour": 20, "weekday": 3, "has_note": False,
            "remote": False, "skus": sorted({one.sku for one in found}), "categories": [],
            "brands": [], "owner": "", "hops": 0,
        }
    )  # fmt: skip
    return Order(
        order_id, tenant, _CHANNEL, facts, region, None, None, tuple(found), merge_hash=order_id
    )
