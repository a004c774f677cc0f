"""Seeded demand in the shape of a 双11: the same seed gives the same orders, to the last step.

A third of all orders want one hot SKU; nine more are hot; the rest is a long tail. Most come in the
first seconds. Among the buyers are those who click twice, hang up and try again, want more than
they may, change their minds, pay twice, pay late, and never pay.
"""

from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Final

from engine.simulation.types import Again, Cancel, Changed, Demand, Line, Order, Pay, Step

ORDERS_DEFAULT: Final = 20_000
CURRENCY: Final = "CNY"
HOT: Final = "HOT-1"
GIFT: Final = "GIFT-1"
HOLD_SECONDS: Final = 6
GRACE_SECONDS: Final = 1

_HOT_SHARE: Final = 1 / 3
_WARM_SHARE: Final = 0.25
_WARM: Final = tuple(f"HOT-{n}" for n in range(2, 11))
_TAIL: Final = tuple(f"SKU-{n:03d}" for n in range(1, 191))
_TAIL_WEIGHTS: Final = tuple(accumulate(1 / rank for rank in range(1, len(_TAIL) + 1)))
_PRICES: Final = {sku: 1_900 + 700 * n for n, sku in enumerate((HOT, *_WARM, *_TAIL))}

# Units on the shelf for a hundred asked for: the hot one sells out early, the tail hardly.
_STOCK_OF_HUNDRED: Final = {HOT: 40, GIFT: 50, **dict.fromkeys(_WARM, 60)}
_STOCK_OF_HUNDRED_TAIL: Final = 95
_BUYER_LIMIT: Final = 2
_GREEDY_SHARE: Final = 0.03
_GREEDY_TRIES: Final = 6
_TWICE_SHARE: Final = 0.04
_HANGS_UP_SHARE: Final = 0.02
_PAIR_SHARE: Final = 0.1
_GIFT_SHARE: Final = 0.1

_ORDERS_PER_SECOND: Final = 900
_DURATION_S_MIN: Final = 5.0
# A machine that is busy with other things takes longer over it, within what a person waits.
_SLOWER_MAX: Final = 1.4
# at = duration * u^this: density falls from a spike to a tail (12 % come in the first fifteenth).
_SPIKE: Final = 1.3
_TOO_LATE_S: Final = HOLD_SECONDS + GRACE_SECONDS + 1.5


def seeded(seed: int, orders: int = ORDERS_DEFAULT) -> Demand:
    """Return the demand of one seed."""
    rng = Random(seed)
    duration_s = max(_DURATION_S_MIN, orders / _ORDERS_PER_SECOND)
    arrivals = sorted(duration_s * rng.random() ** _SPIKE for _ in range(orders))
    made = [_order(rng, n, at_s, orders) for n, at_s in enumerate(arrivals, start=1)]
    skus = (HOT, *_WARM, *_TAIL, GIFT)
    plain = Demand(title="", currency=CURRENCY, orders=made, stock={}, names={})
    wanted = plain.wanted()
    return Demand(
        title=f"double 11, seed {seed}",
        currency=CURRENCY,
        orders=made,
        stock={
            sku: wanted[sku] * _STOCK_OF_HUNDRED.get(sku, _STOCK_OF_HUNDRED_TAIL) // 100
            for sku in skus
        },
        names={sku: f"demo {sku.lower()}" for sku in skus},
        limits=dict.fromkeys((HOT, *_WARM), _BUYER_LIMIT),
        hold_seconds=HOLD_SECONDS,
        grace_seconds=GRACE_SECONDS,
        lasts_s_max=duration_s * _SLOWER_MAX,
    )


def _order(rng: Random, n: int, at_s: float, orders: int) -> Order:
    lines: tuple[Line, ...]
    if rng.random() < _GREEDY_SHARE:
        buyers = max(1, round(orders * _GREEDY_SHARE / _GREEDY_TRIES))
        buyer, lines = f"greedy-{rng.randrange(buyers)}", (Line(HOT, 1, _PRICES[HOT]),)
    else:
        buyer, lines = f"buyer-{rng.randrange(orders)}", _lines(rng)
    return Order(
        order_no=f"T{n:06d}",
        buyer=buyer,
        at_s=at_s,
        lines=lines,
        steps=_habit(rng)(rng, lines),
        copies=2 if rng.random() < _TWICE_SHARE else 1,
        hangs_up=rng.random() < _HANGS_UP_SHARE,
    )


def _lines(rng: Random) -> tuple[Line, ...]:
    count = rng.choices((1, 2, 3, 4, 5), (66, 28, 3, 2, 1))[0]
    skus: list[str] = []
    while len(skus) < count:
        # the hot share is of orders: it is drawn once
        sku = _sku(rng) if not skus else _other_sku(rng)
        if sku not in skus:
            skus.append(sku)
    lines = [Line(sku, 2 if rng.random() < _PAIR_SHARE else 1, _PRICES[sku]) for sku in skus]
    if rng.random() < _GIFT_SHARE:
        lines.append(Line(GIFT, 1, 0, gift=True, droppable=True))
    return tuple(lines)


def _sku(rng: Random) -> str:
    return HOT if rng.random() < _HOT_SHARE else _other_sku(rng)


def _other_sku(rng: Random) -> str:
    if rng.random() < _WARM_SHARE / (1 - _HOT_SHARE):
        return rng.choice(_WARM)
    return rng.choices(_TAIL, cum_weights=_TAIL_WEIGHTS)[0]


# What a buyer does after the acceptance; each takes the order's lines.


def _pays(rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Pay(rng.uniform(0.1, 3.0)),)


def _never_pays(_rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return ()


def _pays_and_sends_both_again(rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Again(rng.uniform(0.0, 1.0)), Pay(0.5), Pay(0.2), Again(0.5))


def _sends_another_body(rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Changed(rng.uniform(0.0, 1.0)), Pay(0.5))


def _pays_twice(rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Pay(rng.uniform(0.1, 2.0)), Pay(0.3, "p2"))


def _cancels(rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Cancel(rng.uniform(0.2, 2.0)),)


def _pays_then_cancels(rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Pay(rng.uniform(0.1, 1.5)), Cancel(rng.uniform(0.2, 2.0)))


def _cancels_a_line_then_pays(rng: Random, lines: tuple[Line, ...]) -> tuple[Step, ...]:
    if sum(line.quantity for line in lines if not line.gift) == 1:
        return _pays(rng, lines)  # taking back the only unit would be a whole cancel
    return (Cancel(rng.uniform(0.2, 1.0), lines=((1, 1),)), Pay(0.5))


def _cancels_then_pays(rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Cancel(rng.uniform(0.2, 1.0)), Pay(0.5))


def _pays_too_late(_rng: Random, _lines: tuple[Line, ...]) -> tuple[Step, ...]:
    return (Pay(_TOO_LATE_S),)


_HABITS: Final[dict[Callable[[Random, tuple[Line, ...]], tuple[Step, ...]], int]] = {
    _pays: 62,
    _never_pays: 15,
    _cancels: 7,
    _pays_and_sends_both_again: 4,
    _cancels_a_line_then_pays: 4,
    _pays_then_cancels: 3,
    _pays_twice: 1,
    _sends_another_body: 1,
    _cancels_then_pays: 1,
    _pays_too_late: 2,
}


def _habit(rng: Random) -> Callable[[Random, tuple[Line, ...]], tuple[Step, ...]]:
    return rng.choices(tuple(_HABITS), tuple(_HABITS.values()))[0]
