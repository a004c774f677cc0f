"""Twenty sales by seed: what shops were given, and what was asked of them, second by second.

Two in five ask of each shop in proportion to what it has; the others do not. Curves are a spike
that ebbs, a steady flow, a rush at the end, waves, and a shop that wakes up in the middle.
"""

from math import exp, pi, sin
from random import Random
from typing import NamedTuple

from engine.simulation.elastic.types import Past, Wish

SEEDS = range(20)
CURVES = {
    "spike": lambda x: exp(-6 * x),
    "steady": lambda _x: 1.0,
    "last minute": lambda x: 0.2 + 3 * x**4,
    "waves": lambda x: 1 + sin(6 * pi * x),
    "wakes up": lambda x: 0.05 if x < 0.5 else 1.0,
}


class Sale(NamedTuple):
    past: Past
    differs: bool
    curve: str


def sale(seed):
    """The sale of a seed; if it `differs`, one shop is asked for more than it has, others not."""
    rng = Random(seed)
    differs = seed % 5 > 1
    shops = ["mall", "mini", "tmall", "jd"][: rng.choice([2, 3, 4])]
    lasts_s = rng.choice([120.0, 300.0, 900.0])
    names = list(CURVES)
    curve = names[seed % len(names)]
    wishes, quotas = [], {}
    for n in range(rng.choice([1, 2, 3])):
        sku = f"S{n}"
        quotas[sku] = {shop: rng.randrange(100, 600) for shop in shops}
        level = rng.uniform(0.8, 1.3)
        asked = dict.fromkeys(shops, level)
        if differs:
            hot, *others = rng.sample(shops, len(shops))
            asked = {shop: rng.uniform(0.2, 0.7) for shop in others} | {hot: rng.uniform(1.5, 3)}
        for shop in shops:
            bent = rng.choice(names) if differs else curve
            units = round(quotas[sku][shop] * asked[shop])
            wishes += _wishes(rng, shop, sku, units, lasts_s, CURVES[bent])
    wishes.sort()
    past = Past(
        title=f"seed {seed}", wishes=wishes, quotas=quotas, lasts_s=lasts_s,
        marketplaces=frozenset({"tmall", "jd"} & set(shops)) if seed % 2 else frozenset(),
    )  # fmt: skip
    return Sale(past, differs, curve)


def _wishes(rng, shop, sku, units, lasts_s, curve):
    heights = [curve(n / 200) for n in range(200)]
    for at in rng.choices(range(200), heights, k=units):
        yield Wish((at + rng.random()) / 200 * lasts_s, shop, sku, 1)
