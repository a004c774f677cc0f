"""What a SKU's pools were given, against what its documents and its stock come to; no I/O.

Where what a pool should have follows from documents and stock alone, pool by pool. Where it moves
with every sale (ratios, floors, caps, what a marketplace shows, too few units for all quotas) until
something else has the SKU planned, only the units of all pools of a group together are known.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from engine.inventory import rules
from engine.inventory.rules import policies as resolving
from engine.inventory.rules import supply
from engine.inventory.rules.supply import Outcome
from engine.inventory.types import Dimensions
from engine.inventory.types.supply import Base, Pool, Stock


class Off(NamedTuple):
    """Units given to a pool, or to all of a group, that should be another number."""

    name: Dimensions
    wanted: int
    given: int
    whole_group: bool = False


class Judged(NamedTuple):
    """What of a SKU differs; with `is_settled` it stays so until its documents or units change.

    It is not where units are lacking: what is to be done then may follow from any sale.
    """

    off: list[Off]
    is_settled: bool
    outcome: Outcome


def judge(stock: Stock, now: datetime) -> Judged:
    """Compare a SKU. What cannot be taken back, because nothing is free there, does not differ."""
    outcome = supply.plan(stock, now)
    if stock.bases is None or _is_still(stock, outcome, now):
        found = list(_pools_off(stock, outcome))
    else:
        found = list(_groups_off(stock, outcome, now))
    return Judged(found, not found and not outcome.shorts, outcome)


def offers(stock: Stock, outcome: Outcome) -> dict[str, list[Any]]:
    """Return the rules by which the cell must sell it; not those that need a pool to be made."""
    ids = {one.name: one.id for one in stock.pools}
    known = {
        field: offer
        for field, offer in outcome.offers.items()
        if all(draw.pool in ids for draw in offer.draws)
    }
    return rules.bodies(known, supply.former_offers(stock, outcome.offers), ids)


def _pools_off(stock: Stock, outcome: Outcome) -> Iterator[Off]:
    pools = {one.name: one for one in stock.pools}
    for name, units in outcome.final.items():
        one = pools.get(name, Pool("", name))
        if one.given < units or (one.given > units and one.free > 0):
            yield Off(name, units, one.given)


def _groups_off(stock: Stock, outcome: Outcome, now: datetime) -> Iterator[Off]:
    card, bases = stock.card, stock.bases or {}
    on_credit = supply.credits_of(stock, now)
    for group in sorted({name.node_group for name in outcome.final} - outcome.shorts.keys()):
        pools = [one for one in stock.pools if one.name.node_group == group]
        base = bases.get(group, Base(0, 0))
        units = base.sellable + base.assigned
        units += sum(n for name, n in on_credit.items() if name.node_group == group)
        units += sum(one.moved - one.used for one in pools if one.ended)
        given = sum(one.given for one in pools if not one.ended)
        waits = sum(one.to_come(channel, now) for one in stock.claims for channel in one.channels)
        if not units - waits <= given <= units:
            name = Dimensions(stock.tenant, card.owner, card.sku, node_group=group)
            yield Off(name, units, given, whole_group=True)


def _is_still(stock: Stock, outcome: Outcome, now: datetime) -> bool:
    """Tell whether a sale changes nothing of what the pools should have."""
    entries = resolving.resolve(stock.policies, stock.card, now)
    if outcome.shorts or any(
        one.ratio or one.says.floor or one.says.cap is not None or one.credit(now)
        for one in entries.values()
    ):
        return False
    quotas = {("", channel): one.says.quota for channel, one in entries.items()}
    for claim in stock.claims:
        for channel in claim.channels:
            quotas[claim.campaign, channel] = claim.quota(channel, now)
    return all(
        name.channel not in stock.external and units >= quotas.get((name.campaign, name.channel), 0)
        for name, units in outcome.final.items()
    )
