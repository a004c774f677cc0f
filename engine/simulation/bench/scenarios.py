"""The loads, as a table."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from engine.simulation.bench.types import Kind


class Target(StrEnum):
    """Who is asked."""

    BARE = "bare"
    ENGINE = "engine"
    CELL = "cell"  # its script alone, without HTTP
    GRANTS = "grants"  # its publisher: grants count as orders
    ROUTING = "routing"  # routers, in a database of their own
    ROWLOCK = "rowlock"


class Scenario(NamedTuple):
    """One row of the bench.

    `share` is how many of the orders asked for it gets: slow ones fewer, batches more. `expects`
    are the statuses that are no surprise. With `sold_out` nothing is accepted and answers count.
    `of_rate` is the part of another row's rate that it is sent at, on schedule. `wide` spreads the
    orders over all campaigns and SKUs of a filled instance, not over `skus` of the bench's own one.
    """

    name: str
    title: str
    target: Target
    kind: Kind = "single"
    skus: int = 50
    share: float = 1.0
    per_request: int = 1
    connections: int = 192
    expects: frozenset[int] = frozenset({202})
    sold_out: bool = False
    of_rate: float = 0.0
    wide: bool = False


_PAID: Final = frozenset({200, 202})
_BATCHED: Final = frozenset({200})
_REFUSED: Final = frozenset({409})

# fmt: off
ALL: Final[Sequence[Scenario]] = (
    Scenario("bare", "bare aiohttp handler", Target.BARE),
    Scenario("single", "single orders, spread", Target.ENGINE),
    Scenario("hot", "single orders, one hot SKU", Target.ENGINE, skus=1),
    Scenario("paid", "each with its payment, spread", Target.ENGINE, "paid", expects=_PAID),
    Scenario("paid-hot", "each with its payment, hot SKU", Target.ENGINE, "paid", skus=1,
             expects=_PAID),
    Scenario("batch", "orders:batch, 100 a request", Target.ENGINE, "batch", share=2,
             per_request=100, connections=16, expects=_BATCHED),
    Scenario("sync", "orders:sync, 100 a request", Target.ENGINE, "sync", share=2,
             per_request=100, connections=16, expects=_BATCHED),
    Scenario("sold-out", "a sold-out storm", Target.ENGINE, skus=1, expects=_REFUSED,
             sold_out=True),
    Scenario("cell", "the cell's script alone, 64 a call", Target.CELL, per_request=64),
    Scenario("grants", "grants, written down to recorded", Target.GRANTS),
    Scenario("routing", "routed and bound, without HTTP", Target.ROUTING),
    Scenario("rowlock", "a transaction an order, spread", Target.ROWLOCK, share=0.2),
    Scenario("rowlock-hot", "a transaction an order, hot SKU", Target.ROWLOCK, skus=1, share=0.1),
    Scenario("latency", "single orders at 70 % of the rate", Target.ENGINE, connections=512,
             of_rate=0.7),
)
# fmt: on
BY_NAME: Final = {one.name: one for one in ALL}
FLOOR: Final = BY_NAME["bare"]
RATE_OF: Final = "single"  # what `of_rate` is a part of
QUICK: Final = ("bare", "single", "hot", "paid", "batch", "sync", "sold-out")

# With --filled, before and after; the orders of the bench itself are to be few beside those filled.
FILLED: Final = ("bare", "single", "paid", "batch", "sync", "sold-out", "cell")
FILLED_QUICK: Final = ("bare", "single", "batch", "sync")


class UnknownName(ValueError):
    """There is no such scenario."""


def chosen(names: Sequence[str], usual: Sequence[str]) -> list[Scenario]:
    """Return the scenarios to run, the floor first; names may be joined by commas.

    Without any they are the `usual` ones.

    Raises:
        UnknownName: with those there are.
    """
    wanted = {part for name in names for part in name.split(",") if part}
    unknown = sorted(wanted - BY_NAME.keys())
    if unknown:
        raise UnknownName(f"{', '.join(unknown)}: there are {', '.join(BY_NAME)}")
    wanted = wanted or set(usual)
    if any(BY_NAME[name].of_rate for name in wanted):
        wanted.add(RATE_OF)
    return [one for one in ALL if one.name in wanted or one is FLOOR]


def usual(*, quick: bool, filled: bool) -> Sequence[str]:
    """Return the names of what is run when nobody chose."""
    if filled:
        return FILLED_QUICK if quick else FILLED
    return QUICK if quick else tuple(BY_NAME)


def spread_out(scenario: Scenario) -> Scenario:
    """Return the same load over everything a filled instance sells."""
    return scenario._replace(
        name=f"{scenario.name}-wide", title=f"{scenario.title}, over all SKUs", wide=True
    )


def orders_of(scenario: Scenario, orders: int) -> int:
    """Return how many orders a measurement of this scenario has: whole requests, one at least."""
    requests = max(1, round(orders * scenario.share / scenario.per_request))
    return requests * scenario.per_request
