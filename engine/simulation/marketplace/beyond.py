"""A marketplace's truth against what is recorded, and what to do about what it sold beyond stock.

Pure: `recorded` reads Postgres for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.assurance.types import Certificate
from engine.kernel import codec
from engine.simulation.marketplace.feed import Marketplace
from engine.simulation.marketplace.types import Truth


class Booked(NamedTuple):
    """One order of a marketplace as it is recorded: `units` by SKU as they stand in the pools."""

    version: str
    units: Mapping[str, int]


class PoolState(NamedTuple):
    """One pool of a marketplace as it is recorded: what was granted, is wanted and is owed."""

    granted: int
    wanted: int
    owed: int


class Owed(NamedTuple):
    """What one shop sold of one SKU beyond stock: units by order, first the one repaid first."""

    channel: str
    sku: str
    shorts: Sequence[int]


class Remedied(codec.Answer, frozen=True):
    """What one shop sold beyond stock of one SKU, and what would make it good."""

    channel: str
    sku: str
    units: int
    orders: int
    remedy: str


def faults(
    market: Marketplace, booked: Mapping[str, Booked], pools: Mapping[str, PoolState]
) -> Iterator[str]:
    """Yield each difference between a marketplace's truth and what is recorded of it."""
    name = market.spec.channel
    for order in market.truth:
        for fault in _order_faults(order, booked.get(order.channel_order_id)):
            yield f"{name}: order {order.channel_order_id} {fault}"
    known = {order.channel_order_id for order in market.truth}
    for order_id in booked.keys() - known:
        yield f"{name}: order {order_id} is recorded, and it never sold one"
    wanted = market.wanted()
    beyond = market.beyond(market.spec.have)
    for sku in market.spec.have:
        pool = pools.get(sku, PoolState(0, 0, 0))
        truth = PoolState(market.spec.have[sku], wanted[sku], beyond.get(sku, 0))
        for what, has, should in zip(PoolState._fields, pool, truth, strict=True):
            if has != should:
                yield f"{name}: {has} units of {sku} are {what}, in truth {should}"


def certificate_faults(
    markets: Iterable[Marketplace], campaign: str, certificate: Certificate
) -> Iterator[str]:
    """Compare the certificate's sum with the truth; what other sales owe is theirs."""
    elsewhere = sum(
        row.recorded.owed
        for row in certificate.pools
        if row.recorded is not None and row.campaign != campaign
    )
    truth = sum(sum(market.beyond(market.spec.have).values()) for market in markets)
    told = certificate.sold_beyond_stock - elsewhere
    if told != truth:
        yield f"{told} units are certified as sold beyond stock, in truth {truth}"


def _order_faults(order: Truth, booked: Booked | None) -> Iterator[str]:
    if booked is None:
        yield "is not recorded"
        return
    if booked.version != order.version:
        yield f"stands at version {booked.version}, in truth {order.version}"
    if booked.units != order.units:
        yield f"has {dict(booked.units)} units, in truth {dict(order.units)}"


def remedies(owed: Iterable[Owed], free: Mapping[tuple[str, str], int]) -> list[Remedied]:
    """Return a remedy for each, the largest first; `free` are units by (SKU, name of a pool).

    A free unit is promised once. What no sibling pool has must be granted anew, or refunded: of the
    latest orders, because the earlier ones are repaid first.
    """
    left = dict(free)
    found = []
    for one in sorted(owed, key=lambda one: (-sum(one.shorts), one.channel, one.sku)):
        units = missing = sum(one.shorts)
        parts = []
        for (sku, name), there in sorted(left.items(), key=lambda item: -item[1]):
            moved = min(missing, there) if sku == one.sku and name != one.channel else 0
            if moved:
                left[sku, name] -= moved
                missing -= moved
                parts.append(f"move {moved:,} free units from {name}")
        if missing:
            orders = _waiting(one.shorts, units - missing)
            latest = "the latest order" if orders == 1 else f"the {orders:,} latest orders"
            more = f"{missing:,} more" if parts else f"{missing:,}"
            parts.append(f"grant {more}, or refund {latest}")
        found.append(Remedied(one.channel, one.sku, units, len(one.shorts), "; ".join(parts)))
    return found


def _waiting(shorts: Sequence[int], units: int) -> int:
    """Return how many orders still wait when so many units were repaid in turn."""
    for n, short in enumerate(shorts):
        units -= short
        if units < 0:
            return len(shorts) - n
    return 0
