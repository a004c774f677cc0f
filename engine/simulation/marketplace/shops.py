"""The shops on marketplaces that a demo opens beside the own mall, for SKUs of the same sale."""

from typing import Final

from engine.simulation.demand import GIFT
from engine.simulation.marketplace.types import Rates, Spec
from engine.simulation.types import Demand

# By place among the SKUs of the sale, the most wanted first; the later ones the mall has left.
_WARES: Final = {
    "demo-tmall": (0, 1, 2, 20, 21, 22),
    "demo-douyin": (0, 3, 4, 20, 23),
}
_PUSHED: Final = {"demo-douyin"}  # the other one is told our numbers too late
_ORDERS_SHARE: Final = 1 / 30
_ORDERS_MIN: Final = 150
_UNITS_PER_ORDER: Final = 1.6
_PUBLISHED_OF_WANTED: Final = 0.9
_STOCK_OF_PUBLISHED: Final = 0.7
_TRUE_EVERY: Final = 3  # every third SKU has what it shows
# Of the time in which the sale's buyers come: orders live on for some seconds afterwards.
_LASTS: Final = 0.75
_LAGS: Final = 0.68
_STEP_S: Final = 0.8


def beside(demand: Demand, seed: int, campaign: str, mark: str) -> list[Spec]:
    """Return the shops of one sale; they sell part of what they show and we do not have."""
    ranked = [sku for sku, _ in demand.wanted().most_common() if sku != GIFT]
    prices = {line.sku: line.price for order in demand.orders for line in order.lines}
    orders = max(_ORDERS_MIN, round(len(demand.orders) * _ORDERS_SHARE))
    found = []
    for n, (channel, places) in enumerate(_WARES.items(), 1):
        skus = [ranked[place] for place in places if place < len(ranked)] or ranked[:1]
        published = _published(skus, orders)
        stock = {
            sku: units if place % _TRUE_EVERY == _TRUE_EVERY - 1 else _lower(units)
            for place, (sku, units) in enumerate(published.items())
        }
        gift = GIFT if GIFT in demand.stock else ""
        spec = Spec(
            channel=channel,
            seed=seed + n,
            orders=orders,
            stock={**stock, **({gift: orders // 20} if gift else {})},
            published=published,
            prices=prices,
            lag_s=demand.orders[-1].at_s * _LAGS,
            duration_s=demand.orders[-1].at_s * _LASTS,
            gift=gift,
            mark=f"{mark}-",
            campaign=campaign,
            currency=demand.currency,
            rates=Rates(step_s=_STEP_S),
            pushed=channel in _PUSHED,
        )
        found.append(spec)
    return found


def _published(skus: list[str], orders: int) -> dict[str, int]:
    """Return what a shop shows: a little less than its buyers will ask for."""
    weights = [1 / place for place in range(1, len(skus) + 1)]
    units = orders * _UNITS_PER_ORDER * _PUBLISHED_OF_WANTED / sum(weights)
    return {sku: round(units * weight) for sku, weight in zip(skus, weights, strict=True)}


def _lower(units: int) -> int:
    return round(units * _STOCK_OF_PUBLISHED)
