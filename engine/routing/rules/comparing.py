"""Compare what two plans made of the same order, and add up what many comparisons come to; pure.

Parcels, freight and dates are only compared of orders that both plans place whole: a plan that
parks what is dear would look cheap otherwise.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import add
from typing import Any, Final

from engine.kernel.clock import rfc3339
from engine.kernel.codec import Money
from engine.routing.types.comparing import (
    AgainstView,
    Compared,
    Comparison,
    DifferenceView,
    Group,
    Pair,
    PlanRuleView,
    ProvinceView,
    RulesView,
    Sent,
    SentView,
    Side,
    SideView,
    Sums,
)
from engine.routing.types.core import Decision, Order

GROUPS_MAX: Final = 50  # rules or regions in one answer
LARGEST_MAX: Final = 20
_PROVINCE: Final = 2
_LATEST_MS: Final = 1 << 47  # later is never


def side(order: Order, decision: Decision, nodes: Sequence[str], services: Sequence[str]) -> Side:
    """Return what a plan made of an order; nodes and services are names by number."""
    lines, parts = order.lines, decision.parts
    deliver_at = max([part.deliver_at for part in parts], default=0)
    if deliver_at > _LATEST_MS:
        deliver_at = 0
    return Side(
        decision.stage, decision.rule, decision.queue,
        tuple(sorted([
            Sent(
                nodes[part.node], services[part.service] if part.service >= 0 else "",
                tuple(sorted([(lines[index].line_no, units) for index, units in part.atoms])),
            )
            for part in parts
        ])),
        sum([part.quote for part in parts]), deliver_at,
        0 < order.deliver_by < deliver_at, sum([units for _, units in decision.rest]),
    )  # fmt: skip


def compared(order: Order, at_ms: int, decided: Side, tried: Side) -> Compared:
    """Return an order as two plans decided it."""
    region = order.region[:_PROVINCE]
    return Compared(order.order_id, at_ms, region, order.currency, decided, tried)


def same(decided: Side, tried: Side) -> bool:
    """Return whether the same leaves, and what is left waits in the same queue.

    By which rule, and for what freight or date, does not count: a world may say so differently.
    """
    return decided.parcels == tried.parcels and decided.queue == tried.queue


def sums(one: Compared) -> Sums:
    """Return what one order adds."""
    a, b = one.decided, one.tried
    alike = int(same(a, b))
    if a.unplaced or b.unplaced:
        return Sums(1, alike, int(not a.unplaced), int(not b.unplaced))
    shift = _shift(a, b)
    return Sums(
        1, alike, 1, 1, 1, len(a.parcels), len(b.parcels), a.freight, b.freight, int(a.late),
        int(b.late), int(shift < 0), int(shift > 0), shift,
    )  # fmt: skip


def group(one: Compared, plan: str, version: int) -> Group:
    """Return what an order is added up with; plan and version are those that decided."""
    a, b = one.decided, one.tried
    return Group(plan, version, (a.stage, a.rule), (b.stage, b.rule), one.region, one.currency)


def size(one: Compared) -> tuple[int, ...]:
    """Return how large a difference is, to be compared: units, then freight, parcels, dates."""
    a, b = one.decided, one.tried
    return (
        abs(b.unplaced - a.unplaced), abs(b.freight - a.freight),
        abs(len(b.parcels) - len(a.parcels)), abs(_shift(a, b)),
    )  # fmt: skip


def _shift(decided: Side, tried: Side) -> int:
    """Return by how much later an order would arrive; 0 where one of them does not say."""
    known = decided.deliver_at and tried.deliver_at
    return tried.deliver_at - decided.deliver_at if known else 0


Summed = tuple[Group, Sums]


def total(groups: Iterable[Summed]) -> Comparison:
    """Return what all of it comes to."""
    every, freight = Sums(), dict[str, Sums]()
    for of, one in groups:
        every = Sums(*map(add, every, one))
        freight[of.currency] = Sums(*map(add, freight.get(of.currency, Sums()), one))
    return Comparison(
        every.orders, every.same, Pair(every.placed_decided, every.placed_tried), every.both,
        Pair(every.parcels_decided, every.parcels_tried),
        {
            currency: Pair(one.freight_decided, one.freight_tried)
            for currency, one in sorted(freight.items())
            if one.both
        },
        Pair(every.late_decided, every.late_tried), every.earlier, every.later,
        round(every.shift_ms / every.both / 1_000) if every.both else 0,
    )  # fmt: skip


def against(groups: Sequence[Summed]) -> list[AgainstView]:
    """Return a comparison for each version that decided, the newest of a plan first."""
    found = _by(groups, lambda of: (of.plan, -of.version))
    return [AgainstView(plan, -version, one) for (plan, version), one in sorted(found.items())]


def rules(groups: Sequence[Summed]) -> list[RulesView]:
    """Return a comparison for each pair of rules, those with the most orders first."""
    found = _largest(_by(groups, lambda of: (of.decided, of.tried)))
    return [RulesView(PlanRuleView(*a), PlanRuleView(*b), one) for (a, b), one in found]


def regions(groups: Sequence[Summed]) -> list[ProvinceView]:
    """Return a comparison for each province, those with the most orders first."""
    return [ProvinceView(*one) for one in _largest(_by(groups, lambda of: of.region))]


def told(one: Compared) -> DifferenceView:
    """Return a difference as it is answered."""
    a, b = (_side(each, one.currency) for each in (one.decided, one.tried))
    return DifferenceView(one.order_id, rfc3339(one.at_ms), one.region, a, b)


def _side(one: Side, currency: str) -> SideView:
    parcels = [
        SentView(sent.node, sent.service, {str(no): units for no, units in sent.lines})
        for sent in one.parcels
    ]
    deliver_at = rfc3339(one.deliver_at) if one.deliver_at else None
    return SideView(
        one.stage, one.rule, one.queue, parcels, Money(one.freight, currency), deliver_at,
        one.late, one.unplaced,
    )  # fmt: skip


def _by(groups: Sequence[Summed], key: Callable[[Group], Any]) -> dict[Any, Comparison]:
    found: dict[Any, list[Summed]] = {}
    for one in groups:
        found.setdefault(key(one[0]), []).append(one)
    return {name: total(those) for name, those in found.items()}


def _largest(found: dict[Any, Comparison]) -> list[tuple[Any, Comparison]]:
    return sorted(found.items(), key=lambda one: (-one[1].orders, one[0]))[:GROUPS_MAX]
