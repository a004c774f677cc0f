"""A brand of three shops and a present system with faults that are chosen; what it does is known.

The generator keeps the truth by itself, unit by unit, so that a report can be held against it. One
SKU has no orders while another's fault is played: each fault has a SKU of its own.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine.shadow.types import Counted, Facts, OrderLine, Shown

BEGIN = datetime(2025, 11, 11, tzinfo=UTC)
SHOPS = ("douyin", "mall", "tmall")


def at(seconds):
    return BEGIN + timedelta(seconds=seconds)


def line(order, seconds, quantity=1, *, channel="tmall", sku="TEA", **more):
    told = {
        "version": "", "item_id": f"i-{sku}", "sku_id": "", "node": "", "known_at": None,
        "accepted_at": None, "shipped_at": None, "cancelled_at": None, **more,
    }  # fmt: skip
    return OrderLine(
        channel=channel, channel_order_id=order, line=sku, sku=sku, quantity=quantity,
        placed_at=at(seconds), **told,
    )  # fmt: skip


def count(seconds, quantity, *, sku="TEA", late=0, **more):
    told = {
        "node": "dc", "owner": "brand", "condition": "good", "batch": "", "sequence": 0,
        "basis": "on_hand", "locked": 0, "safety": 0, **more,
    }  # fmt: skip
    return Counted(
        sku=sku, as_of=at(seconds), quantity=quantity, received_at=at(seconds + late), **told
    )


def shown(seconds, quantity, *, channel="tmall", sku="TEA", item=None):
    return Shown(channel, f"i-{sku}" if item is None else item, "", sku, at(seconds), quantity)


def links(*skus, shops=SHOPS, units_per=1):
    return {(shop, f"i-{sku}", ""): [(sku, units_per)] for shop in shops for sku in skus}


@dataclass
class World:
    """Facts, and the truth beside them."""

    lines: list = field(default_factory=list)
    counts: list = field(default_factory=list)
    shown: list = field(default_factory=list)
    mapped: dict = field(default_factory=dict)
    bundles: dict = field(default_factory=dict)
    oversold: Counter = field(default_factory=Counter)  # by (sku, channel), units
    first: dict = field(default_factory=dict)  # by (sku, channel), the first order

    @property
    def facts(self):
        return Facts(self.lines, self.counts, self.shown, self.mapped, self.bundles)


def syncing(seed, *, every_s, orders=400, units=100, sku="TEA", span_s=1_200):
    """Three shops that each show the whole; every so often they are told what is free.

    A shop counts its own sales down by itself and sells nothing beyond what it shows. With
    `every_s` 0 all are told after each order: the control, in which nothing can be oversold.
    """
    chance, world = random.Random(seed), World(mapped=links(sku))
    world.counts.append(count(0, units, sku=sku))
    free, numbers = units, dict.fromkeys(SHOPS, units)
    tell(world, numbers, 0, sku)
    instants = sorted(chance.sample(range(1, span_s), orders))
    next_sync = every_s
    for n, second in enumerate(instants):
        while every_s and next_sync <= second:
            numbers = dict.fromkeys(SHOPS, max(free, 0))
            tell(world, numbers, next_sync, sku)
            next_sync += every_s
        shop, wanted = chance.choice(SHOPS), chance.randint(1, 3)
        if numbers[shop] < wanted:
            continue
        short = max(0, wanted - max(free, 0))
        free -= wanted
        numbers[shop] -= wanted
        world.lines.append(line(f"{sku}-{n}", second + 0.5, wanted, channel=shop, sku=sku))
        if short:
            world.oversold[sku, shop] += short
            world.first.setdefault((sku, shop), f"{sku}-{n}")
        if not every_s:
            numbers = dict.fromkeys(SHOPS, max(free, 0))
            tell(world, numbers, second + 0.5, sku)
    return world


def tell(world, numbers, second, sku):
    world.shown += [shown(second, many, channel=shop, sku=sku) for shop, many in numbers.items()]


def told_by(world, curves):
    """The same world, in which each shop shows what would have been published."""
    numbers = [
        Shown(*curve.link, point.at, point.wanted)
        for curve in curves
        for point in curve.points
        if point.wanted is not None
    ]
    return world.facts._replace(shown=[one._replace(sku=one.sku or "TEA") for one in numbers])
