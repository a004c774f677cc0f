"""What a generator is told, and every order it may send: the same number is always the same order.

No key is in it: the plan stays with the report, the key comes by the environment.
"""

from random import Random
from typing import Any, Final

import msgspec

from engine.kernel.clock import rfc3339
from engine.simulation.drill.curve import Curve

CHANNEL: Final = "drill"
PRICE: Final = 9_900
CURRENCY: Final = "CNY"
NEWEST: Final = "2"  # of the two versions a marketplace tells of each order


class Work(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What arrivals want. Shares are of one; times are seconds.

    `attempts` is how often a client asks for the same order when it is told to come back, or not
    told anything within `patience_s`. `sync_share` of the arrivals bring a body of `per_body`
    orders that a marketplace sold, each in two versions: `late_s` late, `twice_share` of them
    twice, and with `shuffled` the newer version sometimes first.
    """

    skus: int = 20
    units_share: float = 0.0  # of the orders expected; 0 is more than can be asked for
    hot_units_share: float = 0.0  # likewise, of the hot SKU
    hot_share: float = 0.0  # of the orders want the first SKU
    pay_share: float = 0.0
    again_share: float = 0.0  # of the accepted are sent once more
    attempts: int = 1
    patience_s: float = 10.0
    pause_s: float = 0.2
    sync_share: float = 0.0
    markets: int = 0
    per_body: int = 10
    late_s: float = 0.0
    twice_share: float = 0.0
    shuffled: bool = False


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Beyond these the generator, not the engine, is what is measured, and it gives up."""

    late_p99_ms: float = 500.0
    busy_s: float = 5.0  # seconds in a row at 95 % of a core


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One generator process' part: every arrival whose number modulo `shards` is `shard`.

    `orders` names a file of orders to replay, one JSON document a line with its instant first.
    """

    url: str
    mark: str
    seed: int
    curve: Curve
    seconds: float
    work: Work
    in_flight_max: int
    bounds: Bounds
    folder: str
    shard: int = 0
    shards: int = 1
    orders: str = ""


def shelf(work: Work, expected: float) -> dict[str, int]:
    """Return the units of each SKU that a channel may sell, when so many orders are expected."""
    plenty = 1_000 + int(2 * expected)
    each = int(work.units_share * expected / work.skus) if work.units_share else plenty
    units = {sku(n): max(1, each) for n in range(work.skus)}
    if work.hot_units_share:
        units[sku(0)] = max(1, int(work.hot_units_share * expected))
    return units


class Body(msgspec.Struct, frozen=True):
    """Snapshots that reach us at once, so long after their arrival was due."""

    after_s: float
    channel: str
    documents: list[dict[str, Any]]


def campaign(mark: str) -> str:
    """Return the campaign of a run."""
    return f"drill-{mark}"


def sku(n: int) -> str:
    """Return the name of one SKU of all drills."""
    return f"drill-{n:03}"


def market(n: int) -> str:
    """Return the name of one marketplace of all drills."""
    return f"drill-market-{n}"


def number(mark: str, n: int) -> str:
    """Return the channel_order_id of an arrival."""
    return f"{mark}-{n}"


def market_number(mark: str, n: int) -> str:
    """Return the channel_order_id of an order that a marketplace sold."""
    return f"{mark}-m{n}"


def draws(plan: Plan, n: int) -> Random:
    """Return the chance of one arrival: whether it pays, comes again, or brings snapshots."""
    return Random(plan.seed * 1_000_003 + n)


def order(plan: Plan, n: int) -> dict[str, Any]:
    """Return the order of an arrival, as posted."""
    wants = Random(plan.seed * 7_919 + n)
    hot = wants.random() < plan.work.hot_share
    return {
        "channel": CHANNEL,
        "channel_order_id": number(plan.mark, n),
        "campaign": campaign(plan.mark),
        "buyer_id": f"{plan.mark}-{n}",
        "lines": [_line(sku(0 if hot else wants.randrange(plan.work.skus)))],
    }


def snapshots(plan: Plan, n: int, now_ms: int) -> list[Body]:
    """Return the bodies that an arrival of a marketplace brings, in the order of their sending."""
    work, chance = plan.work, draws(plan, -n - 1)
    channel = market(n % max(1, work.markets))
    placed_ms = now_ms - int(work.late_s * 1_000)
    versions = ["1", NEWEST]
    if work.shuffled and chance.random() < 0.5:  # noqa: PLR2004 - as often as not
        versions.reverse()
    told = [versions[0], *([versions[0]] if chance.random() < work.twice_share else []), *versions]
    return [
        Body(
            0.02 * place,
            channel,
            [
                _snapshot(plan, channel, n * work.per_body + i, version, placed_ms)
                for i in range(work.per_body)
            ],
        )
        for place, version in enumerate(told[1:] if work.twice_share == 0 else told)
    ]


def _snapshot(plan: Plan, channel: str, n: int, version: str, placed_ms: int) -> dict[str, Any]:
    wants = Random(plan.seed * 7_919 + n)
    document: dict[str, Any] = {
        "channel": channel,
        "channel_order_id": market_number(plan.mark, n),
        "campaign": campaign(plan.mark),
        "buyer_id": f"{channel}-{n}",
        "version": version,
        "placed_at": rfc3339(placed_ms),
        "source_status": "unpaid",
        "lines": [_line(sku(wants.randrange(plan.work.skus)))],
    }
    if version == NEWEST:
        document["source_status"] = "paid"
        document["payment"] = {"status": "paid", "method": "alipay"}
    return document


def _line(wanted: str) -> dict[str, Any]:
    price = {"amount": PRICE, "currency": CURRENCY}
    return {"sku": wanted, "quantity": 1, "unit_price": price}
