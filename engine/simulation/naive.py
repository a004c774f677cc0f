"""What one writes without an engine: read the stock, see that there is enough, write it back.

The same orders, the same shelf, the same Valkey; only the way differs.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from redis.asyncio import Redis

from engine.infra import cell
from engine.kernel.ids import token
from engine.simulation.types import Demand, Order

CLIENTS: Final = 64
ROUNDS_MAX: Final = 3


class Oversold(NamedTuple):
    """What the script sold beyond the shelf, in units; `rounds` is how often it had to be tried."""

    sold: int
    stock: int
    oversold: int
    worst_sku: str
    worst_sold: int
    worst_stock: int
    rounds: int
    seconds: float


async def sell(url: str, demand: Demand, *, clients: int = CLIENTS) -> Oversold:
    """Sell a demand by reading and writing; a lucky round without a collision is played again."""
    redis = cell.client(url, connections=clients)
    began = time.monotonic()
    try:
        rounds, sold = 0, Counter[str]()
        while rounds < ROUNDS_MAX and not _beyond(sold, demand):
            rounds += 1
            sold = await _round(redis, demand, clients)
    finally:
        await redis.aclose()
    beyond = _beyond(sold, demand)
    worst = max(beyond, key=lambda sku: beyond[sku], default="")
    return Oversold(
        sold=sold.total(),
        stock=sum(demand.stock.values()),
        oversold=beyond.total(),
        worst_sku=worst,
        worst_sold=sold[worst],
        worst_stock=demand.stock.get(worst, 0),
        rounds=rounds,
        seconds=time.monotonic() - began,
    )


def _beyond(sold: Counter[str], demand: Demand) -> Counter[str]:
    return +Counter({sku: units - demand.stock[sku] for sku, units in sold.items()})


async def _round(redis: Redis, demand: Demand, clients: int) -> Counter[str]:
    # keys of its own beside the engine's, and no trace of them afterwards
    prefix = f"naive:{token(4)}:"
    shelf = {prefix + sku: units for sku, units in demand.stock.items()}
    await redis.mset(shelf)
    sold: Counter[str] = Counter()
    orders = iter(demand.orders)
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(_client(redis, prefix, orders, sold))
    finally:
        await redis.delete(*shelf)
    return sold


async def _client(redis: Redis, prefix: str, orders: Iterator[Order], sold: Counter[str]) -> None:
    for order in orders:
        skus = list({line.sku: None for line in order.lines})
        stock = await redis.mget([prefix + sku for sku in skus])
        wanted = wanted_of(
            order, {sku: int(units or 0) for sku, units in zip(skus, stock, strict=True)}
        )
        if wanted:
            await redis.mset({prefix + sku: left for sku, (_, left) in wanted.items()})
            sold.update({sku: units for sku, (units, _) in wanted.items()})


def wanted_of(order: Order, stock: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return (units taken, units left) by SKU; nothing when a line that decides is not there."""
    taken: dict[str, tuple[int, int]] = {}
    for line in order.lines:
        units, left = taken.get(line.sku, (0, stock[line.sku]))
        if left >= line.quantity:
            taken[line.sku] = units + line.quantity, left - line.quantity
        elif not line.droppable:
            return {}
    return taken
