"""What lending would have changed: a picture for people, JSON for machines."""

from typing import Any, Final

from engine.campaigns.types import Elastic
from engine.kernel import codec
from engine.simulation.elastic.play import totals
from engine.simulation.elastic.types import Outcome, Past

_WIDTH: Final = 40
_MOVES_SHOWN_MAX: Final = 20
_BARS: Final = " ▁▂▃▄▅▆▇█"


class ShopFigures(codec.Answer, frozen=True):
    """Units of one shop, under the static split and with lending."""

    shop: str
    quota: int
    wanted: int
    sold_static: int
    sold_elastic: int
    refused_static: int
    refused_elastic: int
    lent: int
    borrowed: int


class Comparison(codec.Answer, frozen=True):
    """One sale, played twice."""

    sale: str
    lasts_seconds: float
    guessed_units: int
    policy: Elastic
    static: dict[str, int]
    elastic: dict[str, int]
    shops: list[ShopFigures]
    moves: list[dict[str, Any]]
    notes: list[str]


def compare(past: Past, policy: Elastic, static: Outcome, elastic: Outcome) -> Comparison:
    """Put both outcomes beside each other."""
    told = ("moved", "asked", "declined")
    return Comparison(
        past.title,
        past.lasts_s,
        past.guessed,
        policy,
        dict(totals(static)),
        dict(totals(elastic)),
        [_figures(past, shop, static, elastic) for shop in _shops(past)],
        [step._asdict() for step in elastic.steps if step.kind in told],
        list(past.notes),
    )


def picture(found: Comparison, past: Past, static: Outcome, elastic: Outcome) -> str:
    """Return what was sold (above) and refused (below) over time, and the moves with reasons."""
    lines = [f"{found.sale}: {found.lasts_seconds:,.0f} s in {_WIDTH} columns", ""]
    top = max(
        1,
        *(
            max(_over_time(past, outcome, shop, kind))
            for outcome in (static, elastic)
            for shop in _shops(past)
            for kind in ("sold", "refused")
        ),
    )
    wide = max(len(shop) for shop in _shops(past))
    for one in found.shops:
        for name, outcome in (("static", static), ("elastic", elastic)):
            for kind in ("sold", "refused"):
                bars = _bars(_over_time(past, outcome, one.shop, kind), top)
                units = getattr(one, f"{kind}_{name}")
                lines.append(f"{one.shop:<{wide}}  {name:<7}  {kind:<7}  {bars}  {units:>7,}")
        lines.append("")
    lines += [_told(step) for step in found.moves[:_MOVES_SHOWN_MAX]]
    if len(found.moves) > _MOVES_SHOWN_MAX:
        lines.append(f"and {len(found.moves) - _MOVES_SHOWN_MAX:,} more, with --json")
    lines += [f"note: {note}" for note in found.notes]
    more = found.elastic["sold"] - found.static["sold"]
    lines.append(
        f"static split: {found.static['sold']:,} units sold; elastic: {found.elastic['sold']:,}"
        f" ({more:+,}) by {found.elastic['moves']:,} moves of"
        f" {found.elastic['units_moved']:,} units"
    )
    return "\n".join(lines)


def _figures(past: Past, shop: str, static: Outcome, elastic: Outcome) -> ShopFigures:
    moved = elastic.of("moved")
    return ShopFigures(
        shop,
        sum(quotas.get(shop, 0) for quotas in past.quotas.values()),
        sum(wish.units for wish in past.wishes if wish.shop == shop),
        static.sold[shop],
        elastic.sold[shop],
        static.refused[shop],
        elastic.refused[shop],
        sum(step.units for step in moved if step.shop == shop),
        sum(step.units for step in moved if step.other == shop),
    )


def _shops(past: Past) -> list[str]:
    named = {shop for quotas in past.quotas.values() for shop in quotas}
    return sorted(named | {wish.shop for wish in past.wishes})


def _over_time(past: Past, outcome: Outcome, shop: str, kind: str) -> list[int]:
    units = [0] * _WIDTH
    for step in outcome.steps:
        if step.kind == kind and step.shop == shop:
            units[min(_WIDTH - 1, int(step.at_s / past.lasts_s * _WIDTH))] += step.units
    return units


def _bars(units: list[int], top: int) -> str:
    steps = len(_BARS) - 1
    return "".join(_BARS[-(-one * steps // top)] for one in units)


def _told(step: dict[str, Any]) -> str:
    word = {"moved": "", "asked": " (asked)", "declined": " (refused)"}[step["kind"]]
    return f"{step['at_s']:>8,.0f} s  {step['sku']}  {step['reason']}{word}"
