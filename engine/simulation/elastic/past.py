"""Sales that were: of an order file, or as Postgres has recorded them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from engine.campaigns.types import CampaignFields, Elastic
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.errors import NotFound, ValidationFailed
from engine.kernel.types import Fault, Tenant
from engine.simulation import orderfile
from engine.simulation.elastic.types import Past, Wish
from engine.simulation.types import Demand

SQL: Final = queries.load("engine.simulation")
_decode: Final = codec.Decoder(CampaignFields)
LASTS_S_MAX: Final = 7 * 86_400
SHARE_MAX: Final = 1e6


def of_file(path: Path, split: Mapping[str, float], marketplaces: Iterable[str]) -> Past:
    """Return the sale of an order file; its shops are its column `channel`, or its countries.

    Nine tenths of what is asked for of each SKU are split over the shops by these shares, without
    any in equal parts.

    Raises:
        MalformedFile: with what to mend.
        ValidationFailed: a share of a shop that is not in the file, or the sale lasts too long.
    """
    demand = orderfile.read(path)
    wishes = _wishes(demand)
    shops = sorted({wish.shop for wish in wishes})
    if strange := sorted({*split, *marketplaces} - set(shops)):
        raise ValidationFailed(
            [Fault("", f"{strange[0]} is no shop of the file; there are {', '.join(shops)}")]
        )
    if split and not any(split.values()):
        raise ValidationFailed([Fault("", "--split: one shop at least needs a share above 0")])
    lasts_s = wishes[-1].at_s + 1
    if lasts_s > LASTS_S_MAX:
        days = round(lasts_s / 86_400)
        raise ValidationFailed(
            [Fault("", f"the file lasts {days} days, and a sale at most 7: cut it to one sale")]
        )
    return Past(
        title=path.name,
        wishes=wishes,
        quotas={sku: _split(units, shops, split) for sku, units in sorted(demand.stock.items())},
        lasts_s=lasts_s,
        marketplaces=frozenset(marketplaces),
        notes=demand.notes,
    )


async def of_campaign(db: Connection, tenant: Tenant, campaign: str) -> tuple[Past, Elastic | None]:
    """Return the recorded sale of a campaign, and its own policy.

    A refused order is not recorded. What a shop was asked for after it had sold all it had is
    guessed: as much as before, beside the shops that had something to the end.

    Raises:
        NotFound: there is no such campaign.
    """
    row = await db.fetchrow(SQL["played_sale"], tenant, campaign)
    if row is None:
        raise NotFound("there is no such campaign")
    fields = _decode(row["document"].encode())
    quotas = {one.sku: dict(one.quota) for one in fields.skus if one.quota}
    external = await db.fetch(SQL["played_marketplaces"], tenant)
    sold = await db.fetch(SQL["played_wishes"], tenant, campaign, row["starts_at"])
    recorded = [Wish(max(0.0, one[0]), one[1], one[2], one[3]) for one in sold]
    guessed = [one for sku in quotas for one in guess(recorded, sku, quotas[sku])]
    past = Past(
        title=f"campaign {campaign}",
        wishes=sorted([*recorded, *guessed]),
        quotas=quotas,
        lasts_s=min(LASTS_S_MAX, max(1.0, row["lasts_s"])),
        marketplaces=frozenset(one["channel"] for one in external),
        guessed=sum(wish.units for wish in guessed),
        notes=[
            "refused orders are not recorded: what sold-out shops were asked for is guessed",
            "what was cancelled or expired is left out",
        ],
    )
    return past, fields.elastic


def guess(recorded: Sequence[Wish], sku: str, quotas: Mapping[str, int]) -> list[Wish]:
    """Return what shops that sold their whole quota of a SKU were probably asked for after that."""
    of_sku = [wish for wish in recorded if wish.sku == sku]
    total: Counter[str] = Counter()
    emptied: dict[str, float] = {}
    for wish in of_sku:
        total[wish.shop] += wish.units
        if total[wish.shop] >= quotas.get(wish.shop, 0):
            emptied[wish.shop] = wish.at_s
    others = [wish for wish in of_sku if wish.shop not in emptied]
    guessed = []
    for shop, until_s in sorted(emptied.items()):
        before = sum(wish.units for wish in others if wish.at_s <= until_s)
        ratio = total[shop] / before if before else 0.0
        wanted, made = 0.0, 0
        for wish in others:
            if wish.at_s > until_s:
                wanted += wish.units * ratio
                units = round(wanted) - made
                guessed += [Wish(wish.at_s, shop, sku, 1)] * units
                made += units
    return guessed


def _wishes(demand: Demand) -> list[Wish]:
    instants = [datetime.fromisoformat(order.placed_at) for order in demand.orders]
    began = min(instants)
    wishes = []
    for at, order in zip(instants, demand.orders, strict=True):
        shop, at_s = order.channel or order.country or "?", (at - began).total_seconds()
        wishes += [Wish(at_s, shop, line.sku, line.quantity) for line in order.lines]
    return sorted(wishes)


def _split(units: int, shops: Sequence[str], split: Mapping[str, float]) -> dict[str, int]:
    """Return whole units by shares; what rounding leaves goes to the largest rests, by name."""
    shares = {shop: split.get(shop, 0.0) if split else 1.0 for shop in shops}
    whole = sum(shares.values())
    exact = {shop: units * share / whole for shop, share in shares.items()}
    given = {shop: int(part) for shop, part in exact.items()}
    rests = sorted(shops, key=lambda shop: (given[shop] - exact[shop], shop))
    for shop in rests[: units - sum(given.values())]:
        given[shop] += 1
    return given
