"""Plan SKUs: read all that their pools are made of, and write down what changes.

The planning lock keeps other planners out; what is read after a SKU was taken off the list is at
least as new as what put it there, and whatever comes later puts it there again.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory import rules
from engine.inventory.rules import following
from engine.inventory.rules import supply as decisions
from engine.inventory.rules.supply import Outcome
from engine.inventory.service import bases
from engine.inventory.service.bases import Counted
from engine.inventory.store import changes, intentions, shorts, supply
from engine.inventory.store.shorts import Place
from engine.inventory.types import Dimensions, Given
from engine.inventory.types.supply import Card, Stock
from engine.kernel.types import Tenant

SKUS_MAX: Final = 500  # at once


async def plan(runtime: Runtime, tx: Connection, tenant: Tenant, skus: Sequence[str]) -> int:
    """Plan these SKUs, in the caller's transaction and under its planning lock.

    Some are to be planned once more, because of them units are taken away and nobody knows yet how
    many there will be. They are put back on the list; the number of the last one is returned, 0 for
    none.
    """
    last = 0
    ordered = sorted(set(skus))
    for first in range(0, len(ordered), SKUS_MAX):
        some = ordered[first : first + SKUS_MAX]
        waiting = await changes.waiting(tx, tenant, some)
        chosen = [sku for sku in some if sku not in waiting]
        await changes.take(tx, tenant, chosen)
        again = await _plan(runtime, tx, tenant, chosen) if chosen else set()
        last = max(last, await changes.add(tx, tenant, waiting | again))
    return last


async def _plan(runtime: Runtime, tx: Connection, tenant: Tenant, skus: Sequence[str]) -> set[str]:
    now = await supply.now(tx)
    counted = await bases.of(tx, tenant, skus, now)
    known = await read(tx, tenant, skus, counted, sum_up=True)
    stocks = await _follow(tx, known, now)
    planned = {sku: decisions.plan(stock, now) for sku, stock in stocks.items()}
    outcomes = {sku: one for sku, one in planned.items() if one.units or one.offers}
    ids = await _pools(runtime, tx, stocks, outcomes)
    await _write_grants(tx, stocks, outcomes, ids)
    await _write_offers(runtime, tx, stocks, outcomes, ids)
    lacking = {
        Place(sku, group): units
        for sku, one in planned.items()
        for group, units in one.shorts.items()
    }
    await shorts.write(tx, tenant, stocks, lacking)
    pools = [one.id for stock in stocks.values() for one in stock.pools]
    excess = {ids[name]: n for one in outcomes.values() for name, n in one.excess.items()}
    await changes.write_excess(tx, pools, excess)
    await changes.write_instants(tx, tenant, list(stocks), _instants(planned, counted))
    return {sku for sku, one in outcomes.items() if one.again} | (known.keys() - stocks.keys())


async def _follow(tx: Connection, stocks: Mapping[str, Stock], now: datetime) -> dict[str, Stock]:
    """Have pools follow their SKU to other nodes; return the SKUs that can be planned now.

    Of the others the recorder is writing to such a pool just now: it is not made to wait.
    """
    followed = {sku: following.follow(stock, now) for sku, stock in stocks.items()}
    going = {
        sku: {one.id: one.name.node_group for one in set(stock.pools) - set(stocks[sku].pools)}
        for sku, stock in followed.items()
        if stock is not stocks[sku]
    }
    if not going:
        return followed
    groups = {pool: group for pools in going.values() for pool, group in pools.items()}
    locked = await supply.lock_pools(tx, groups)
    late = {sku for sku, pools in going.items() if not pools.keys() <= locked}
    await supply.regroup(
        tx, {pool: groups[pool] for sku in going.keys() - late for pool in going[sku]}
    )
    return {sku: one for sku, one in followed.items() if sku not in late}


async def read(
    tx: Connection,
    tenant: Tenant,
    skus: Sequence[str],
    counted: Mapping[str, Counted],
    *,
    sum_up: bool = False,
) -> dict[str, Stock]:
    """Return what the pools of these SKUs are made of; with `sum_up` old grants are added up."""
    cards = await supply.cards(tx, tenant, skus)
    own, wide, owners = await supply.policies(tx, tenant, skus)
    claims = await supply.claims(tx, tenant, skus)
    pools = await supply.pools(tx, tenant, skus, sum_up=sum_up)
    external = await supply.external(tx, tenant)
    found = {}
    for sku in skus:
        card = cards.get(sku) or Card(sku, owners.get(sku, ""))
        found[sku] = Stock(
            tenant, card, pools.get(sku, ()), [*own.get(sku, ()), *wide], claims.get(sku, ()),
            counted[sku].bases, external,
        )  # fmt: skip
    return found


def _instants(
    planned: Mapping[str, Outcome], counted: Mapping[str, Counted]
) -> dict[str, datetime]:
    """Return when time alone changes a SKU: its documents, or what may be sold of it."""
    found = {}
    for sku, one in planned.items():
        moments = [at for at in (one.next_at, counted[sku].changes_at) if at is not None]
        if moments:
            found[sku] = min(moments)
    return found


async def _pools(
    runtime: Runtime,
    tx: Connection,
    stocks: Mapping[str, Stock],
    outcomes: Mapping[str, Outcome],
) -> dict[Dimensions, str]:
    """Return the ids of all pools that are spoken of; those that do not exist are made."""
    known = {one.name: one.id for stock in stocks.values() for one in stock.pools}
    new = {name for one in outcomes.values() for name in _named(one)} - known.keys()
    made = await intentions.make_pools(tx, runtime.settings.cell, new) if new else {}
    return known | made


def _named(one: Outcome) -> Iterator[Dimensions]:
    yield from one.units
    for offer in one.offers.values():
        for draw in offer.draws:
            yield draw.pool


async def _write_grants(
    tx: Connection,
    stocks: Mapping[str, Stock],
    outcomes: Mapping[str, Outcome],
    ids: Mapping[Dimensions, str],
) -> None:
    given = {
        one.id: Given(one.id, one.last_seq, one.given)
        for stock in stocks.values()
        for one in stock.pools
    }
    wanted = {ids[name]: units for one in outcomes.values() for name, units in one.units.items()}
    asked = [given.get(pool, Given(pool, 0, 0)) for pool in wanted]
    await intentions.write_grants(tx, rules.grants(wanted, asked))


async def _write_offers(
    runtime: Runtime,
    tx: Connection,
    stocks: Mapping[str, Stock],
    outcomes: Mapping[str, Outcome],
    ids: Mapping[Dimensions, str],
) -> None:
    cell = runtime.settings.cell
    bodies: dict[str, list[Any]] = {}
    for sku, stock in stocks.items():
        offers = outcomes[sku].offers if sku in outcomes else {}
        bodies |= rules.bodies(offers, decisions.former_offers(stock, offers), ids)
    stored = await intentions.stored_rules(tx, cell, bodies)
    await intentions.write_rules(tx, cell, rules.changed_rules(bodies, stored))
