"""What is bought in the everyday shop: the same seed gives the same orders."""

from collections.abc import Iterator
from random import Random
from typing import Final

from engine.simulation.fulfilment.types import MALL, MARKET, Good, Wish
from engine.simulation.fulfilment.world import (
    CUT_OFF,
    EAST,
    FOLLOWED_PLACE,
    GOODS,
    NEXT_DAY,
    NORTH,
    PLACES,
    RISK_MIN,
)

ORDERS: Final = 160
FOLLOWED: Final = "E0001"
IN_TIME: Final = ("E0005", "E0006", "E0007", "E0008")  # refunds, until one is stopped
TOO_LATE: Final = ("E0009", "E0010", "E0011", "E0012")  # refunds, until one is not

_MARKET_SHARE: Final = 0.25
_NEXT_DAY_SHARE: Final = 0.2
_LINES: Final = {1: 60, 2: 28, 3: 12}
_PAIR_SHARE: Final = 0.1


def seeded(seed: int, orders: int = ORDERS) -> list[Wish]:
    """Return orders: one to follow and one more that review holds, two that nobody can send.

    Some are to be refunded when their only warehouse has them, the slow one or the quick one.
    """
    rng = Random(f"fulfilment {seed}")
    both = [good for good in GOODS if len(good.nodes) > 1]
    risky = RISK_MIN + 11
    followed = Wish(FOLLOWED, MALL, FOLLOWED_PLACE, ((both[0], 1), (both[1], 2)), "", risky)
    held = Wish("E0002", MALL, rng.choice(PLACES), ((both[2], 1),), "", risky)
    cut_off = [Wish(f"E000{n}", MALL, CUT_OFF, ((rng.choice(both), 1),)) for n in (3, 4)]
    (slow,) = (good for good in GOODS if good.nodes == (NORTH.node,))
    (quick,) = (good for good in GOODS if good.nodes == (EAST.node,))
    refunds = [
        Wish(number, MALL, rng.choice(PLACES), ((good, 1),))
        for numbers, good in ((IN_TIME, slow), (TOO_LATE, quick))
        for number in numbers
    ]
    special = [followed, held, *cut_off, *refunds]
    return [*special, *(_plain(rng, n) for n in range(len(special) + 1, orders + 1))]


def _plain(rng: Random, n: int) -> Wish:
    channel = MARKET if rng.random() < _MARKET_SHARE else MALL
    tier = NEXT_DAY if rng.random() < _NEXT_DAY_SHARE else ""
    return Wish(f"E{n:04d}", channel, rng.choice(PLACES), tuple(_lines(rng)), tier)


def _lines(rng: Random) -> Iterator[tuple[Good, int]]:
    count = rng.choices(tuple(_LINES), tuple(_LINES.values()))[0]
    for good in sorted(rng.sample(GOODS, count)):
        yield good, 2 if rng.random() < _PAIR_SHARE else 1
