"""Look at the pools of sales that lend, and decide; all of it in one transaction.

Everything that a decision rests on stands in Postgres, so a process that ends takes nothing along,
and the one that goes on decides the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from engine.elastic import rules
from engine.elastic.store import lendings, pools
from engine.elastic.types import Bounds, Burn, Decision, Held, Look, Ruling, Sale, Seen, Shop, State
from engine.infra import duties
from engine.infra.postgres import Connection
from engine.kernel.ids import fingerprint

DUTY: Final = "rebalancer"
_NO_DRAIN: Final = "a marketplace, which cannot be asked for units here"
_Place: TypeAlias = tuple[str, str]  # SKU and group of nodes: units do not change their place


class Position(NamedTuple):
    """What the last look saw: if nothing of it has changed and nobody was in need, nothing has."""

    recorded_to: str = ""
    sales: tuple[Sale, ...] = ()
    again: bool = True

    def stands(self, recorded_to: str, sales: Sequence[Sale]) -> bool:
        """Tell whether a look would see what the last one saw."""
        versions = [one.version for one in sales]
        named = [(one.tenant, one.campaign) for one in sales]
        return (
            not self.again
            and recorded_to == self.recorded_to
            and versions == [one.version for one in self.sales]
            and named == [(one.tenant, one.campaign) for one in self.sales]
        )


async def decide(
    tx: Connection, cell: str, owner: str, last: Position, *, drains: bool
) -> Position | None:
    """Write down what is to be lent now; None when another process is the one that decides."""
    sales = await pools.running_sales(tx, last.sales)
    if not sales:
        return Position()
    # its row is locked from here on: nobody else takes it over before this is written
    if not await duties.take(tx, cell, DUTY, owner):
        return None
    # before the pools are read, so that what is recorded meanwhile is looked at the next time
    now, log_id = await pools.recorded_to(tx, cell)
    if last.stands(log_id, sales):
        return last
    again = [await _decide_sale(tx, cell, sale, now, drains=drains) for sale in sales]
    return Position(log_id, tuple(sales), any(again))


async def _decide_sale(
    tx: Connection, cell: str, sale: Sale, now: datetime, *, drains: bool
) -> bool:
    looks: list[Look] = []
    ruled: dict[_Place, Ruling] = {}
    for place, held in (await pools.changed(tx, cell, sale)).items():
        bounds = rules.bounds_of(sale.elastic, sale.quotas.get(place[0], {}))
        shops = [_shop(sale, bounds, one, now, drains=drains) for one in held]
        ruled[place] = rules.decide(shops, bounds, (sale.ends_at - now).total_seconds())
        looks += _looks(held, shops, ruled[place], now)
    await pools.note(tx, looks)
    decisions = await _numbered(tx, sale, ruled)
    state: State = "observed" if sale.elastic.observe_only else "decided"
    await lendings.write(tx, cell, decisions, state, now)
    return any(ruling.again for ruling in ruled.values())


async def _numbered(
    tx: Connection, sale: Sale, ruled: Mapping[_Place, Ruling]
) -> Sequence[Decision]:
    """Give each lending its number and, made of it, the id under which it is done once."""
    skus = {sku for (sku, _), ruling in ruled.items() if ruling.lendings}
    last = await lendings.last_numbers(tx, sale.tenant, sale.campaign, skus) if skus else {}
    numbered = []
    for (sku, group), ruling in ruled.items():
        for lending in ruling.lendings:
            last[sku] += 1
            named = (sale.tenant, sale.campaign, sku, group, last[sku])
            numbered.append(Decision(*named, _move_id(sale, sku, last[sku]), lending))
    return numbered


def _move_id(sale: Sale, sku: str, n: int) -> str:
    named = f"{sale.tenant}\x1f{sale.campaign}\x1f{sku}"
    return f"elastic-{fingerprint(named.encode())}-{n}"


def burn_of(held: Held, half_life_s: float, now: datetime, starts_at: datetime) -> Burn:
    """Return how fast a pool sells at this instant."""
    seen = held.seen
    if seen is None:
        return rules.first(held.used, (now - starts_at).total_seconds(), half_life_s)
    return rules.since(
        seen.burn, held.used - seen.used, (now - seen.at).total_seconds(), half_life_s,
        was=seen.available, now=held.available,
    )  # fmt: skip


def _shop(sale: Sale, bounds: Bounds, held: Held, now: datetime, *, drains: bool) -> Shop:
    quota = sale.quotas.get(held.sku, {}).get(held.channel, 0)
    seen, elastic = held.seen, sale.elastic
    lends = ""
    if held.external and not drains:
        lends = _NO_DRAIN
    elif held.draining:
        lends = "is already asked for units"
    return Shop(
        held.channel,
        held.available,
        held.granted,
        burn_of(held, rules.half_life(bounds.horizon_s), now, sale.starts_at),
        floor=rules.floor_of(elastic, held.channel, quota),
        ceiling=rules.ceiling_of(elastic, held.channel, quota),
        after_drain=held.external,
        lends=lends,
        borrowed_s=(now - seen.borrowed_at).total_seconds() if seen and seen.borrowed_at else None,
    )


def _looks(
    held: Iterable[Held], shops: Iterable[Shop], ruling: Ruling, now: datetime
) -> list[Look]:
    """Return what to note: of what did not change, nothing, for time alone needs no note."""
    borrowers = {one.target for one in ruling.lendings if one.how == "move"}
    looks = []
    for pool, shop in zip(held, shops, strict=True):
        seen = pool.seen
        lent_at = now if shop.channel in borrowers else seen.borrowed_at if seen else None
        noted = ruling.notes.get(shop.channel, "")
        needy = ruling.again and (shop.channel in borrowers or bool(noted))
        fresh = Seen(pool.used, pool.available, shop.burn, now, needy, lent_at, noted)
        if seen is None or fresh._replace(burn=seen.burn, at=seen.at) != seen:
            looks.append(Look(pool.pool_id, fresh))
    return looks
