"""Who lends how much to whom: units go where they would be missing first.

A shop is in need when it sells out within two cool-downs (earlier where a step is less than it
sells in one), and before the sale ends. It borrows what it sells in that time, late and little,
from the shop whose units last longest, and never so much that this one would be worse off than
itself: a lender keeps its floor, and what it sells in two horizons. The rule is fair in one sense:
it draws all shops towards selling out at the same moment, never past it. Who sells out first is
served first.

Two shops do not pass units back and forth: a lender's units last at least twice as long before the
move and no shorter after it, and who borrowed does not lend until it rested. The same input gives
the same answer.
"""

from collections.abc import Iterable
from math import ceil, floor, inf, sqrt
from typing import Final, NamedTuple

from engine.elastic.types import Bounds, Lending, Ruling, Shop

_LONGER: Final = 2.0  # so many times as long as the borrower's do a lender's units last
_KEEPS_HORIZONS: Final = 2.0
_LEAD_COOL_DOWNS: Final = 2  # so far ahead a shop borrows, if steps keep up with what it sells
_RESTS_COOL_DOWNS: Final = 3  # so long a shop that borrowed does not lend


class _Side(NamedTuple):
    """A shop beside what it may need or spare."""

    shop: Shop
    rate: float  # units a second: as seen for who borrows, at the upper end for who lends
    units: int

    @property
    def lasts_s(self) -> float:
        return _lasts(self.shop.available, self.rate)


def decide(shops: Iterable[Shop], bounds: Bounds, remaining_s: float) -> Ruling:
    """Return what to lend between the shops of one SKU, whose sale goes on for so long.

    A marketplace's units are only asked for, and count as nobody's until it has confirmed.
    """
    standing = {shop.channel: shop for shop in shops}
    ahead_s = min(bounds.horizon_s, max(0.0, remaining_s))
    needy = [side for shop in standing.values() if (side := _needy(shop, bounds, ahead_s))]
    lendings: list[Lending] = []
    notes: dict[str, str] = {}
    for side in sorted(needy, key=lambda one: (one.lasts_s, -one.rate, one.shop.channel)):
        target = side.shop
        if target.borrowed_s is not None and target.borrowed_s < bounds.cool_down_s:
            notes[target.channel] = "was lent units a moment ago"
            continue
        lenders = [
            one
            for shop in standing.values()
            if shop.channel != target.channel
            if (one := _lender(shop, side, bounds, min(remaining_s, ahead_s * _KEEPS_HORIZONS)))
        ]
        if not lenders:
            notes[target.channel] = _why_nobody(standing.values(), target)
            continue
        # at once rather than after a drain; then who lasts longest, has most, comes first
        source = min(
            lenders,
            key=lambda one: (
                one.shop.after_drain, -one.lasts_s, -one.units, one.shop.channel
            ),
        )  # fmt: skip
        lending = _lending(source, side)
        lendings.append(lending)
        _take(standing, lending)
    lacking = {side.shop.channel for side in needy}
    spare = any(s.available > s.floor for s in standing.values() if s.channel not in lacking)
    return Ruling(tuple(lendings), notes, again=bool(needy) and spare)


def _needy(shop: Shop, bounds: Bounds, ahead_s: float) -> _Side | None:
    """Return what a shop lacks for the time ahead, which is short unless steps are too small."""
    rate = shop.burn.rate
    steps = max(1.0, rate * bounds.cool_down_s / bounds.step)  # that one cool-down would take
    ahead_s = min(ahead_s, bounds.cool_down_s * _LEAD_COOL_DOWNS * steps)
    lacks = ceil(rate * ahead_s) - shop.available
    if shop.ceiling is not None:
        lacks = min(lacks, shop.ceiling - shop.granted)
    return _Side(shop, rate, lacks) if lacks > 0 else None


def _lender(shop: Shop, side: _Side, bounds: Bounds, keeps_s: float) -> _Side | None:
    """Return what a shop can spare for the other."""
    rested = shop.borrowed_s is None or shop.borrowed_s >= bounds.cool_down_s * _RESTS_COOL_DOWNS
    if shop.lends or not rested:
        return None
    rate = _at_most(shop)
    if _lasts(shop.available, rate) < side.lasts_s * _LONGER:
        return None
    spare = shop.available - max(shop.floor, _whole(rate * keeps_s))
    # after it the lender's units last no shorter: (a - x) / r >= (b + x) / s
    equal = (shop.available * side.rate - side.shop.available * rate) / (side.rate + rate)
    units = min(spare, side.units, bounds.step, floor(equal) if equal < inf else spare)
    return _Side(shop, rate, units) if units > 0 else None


def _at_most(shop: Shop) -> float:
    """Return a rate that a shop hardly exceeds: one standard deviation and a unit above the seen.

    So a shop that was hardly looked at, or sold next to nothing, lends little.
    """
    units, seconds = shop.burn
    return (units + sqrt(units) + 1) / seconds if seconds > 0 else inf


def _lasts(available: int, rate: float) -> float:
    return max(0, available) / rate if rate > 0 else inf


def _whole(units: float) -> int:
    return ceil(units) if units < inf else 2**53


def _lending(source: _Side, target: _Side) -> Lending:
    how = "drain" if source.shop.after_drain else "move"
    return Lending(
        source.shop.channel,
        target.shop.channel,
        source.units,
        "drain" if source.shop.after_drain else "move",
        source.shop.floor,
        _reason(source, target, how),
        {
            "target_available": target.shop.available,
            "target_rate": round(target.rate, 4),
            "target_lacks": target.units,
            "source_available": source.shop.available,
            "source_rate": round(source.shop.burn.rate, 4),
            "source_rate_at_most": round(source.rate, 4),
            "source_floor": source.shop.floor,
        },
    )


def _reason(source: _Side, target: _Side, how: str) -> str:
    if target.shop.available > 0:
        need = f"{target.shop.channel} sells out in {_seconds(target.lasts_s)}"
    else:
        need = f"{target.shop.channel} is sold out"
    units = f"{source.units} unit{'s' if source.units > 1 else ''}"
    after = " once it has confirmed to show less" if how == "drain" else ""
    return (
        f"{need} at {_figure(target.rate)}/s; {source.shop.channel} has"
        f" {source.shop.available} for {_seconds(source.lasts_s)}: {units}{after}"
    )


def _why_nobody(shops: Iterable[Shop], target: Shop) -> str:
    others = [shop for shop in shops if shop.channel != target.channel]
    barred = [f"{shop.channel}: {shop.lends}" for shop in others if shop.lends and shop.available]
    told = "no shop has units to spare"
    return f"{told} ({'; '.join(barred)})" if barred else told


def _take(standing: dict[str, Shop], lending: Lending) -> None:
    """Count what was lent; what has to be drained is nobody's yet, but asked of it once only."""
    source, target = standing[lending.source], standing[lending.target]
    if lending.how == "drain":
        standing[lending.source] = source._replace(lends="is already asked for units")
        return
    standing[lending.source] = source._replace(
        available=source.available - lending.units, granted=source.granted - lending.units
    )
    standing[lending.target] = target._replace(
        available=target.available + lending.units,
        granted=target.granted + lending.units,
        borrowed_s=0.0,
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < inf else "ever"


def _figure(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"  # noqa: PLR2004 - two digits either way
