"""A recorded decision in words: who was asked, who was dropped by what, who was second; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.codec import Money
from engine.kernel.ids import line_id
from engine.routing.rules import recorded, tracing
from engine.routing.rules.binding import instant
from engine.routing.rules.tracing import Attempt, Kept, Seqs
from engine.routing.types.core import NodeFilter, Order, Part, Scorer, SourcingRule
from engine.routing.types.plans import PlanFields
from engine.routing.types.told import (
    AtomView,
    AttemptView,
    DecisionView,
    FilterView,
    LackView,
    Names,
    PartView,
    Recorded,
    RefusalView,
    RunnerUp,
    ScoreView,
)

_Stock = dict[str, list[int] | None]


def outline(fields: PlanFields) -> dict[Seqs, SourcingRule]:
    """Return what a trace's numbers refer to in a plan's rules: their conditions are left out."""
    return {
        (stage.seq, rule.seq): SourcingRule(
            rule.seq, rule.name,
            filters=tuple(NodeFilter(one.field, one.op, one.value) for one in rule.filters),
            weighted=rule.score_mode == "WEIGHTED",
            scorers=tuple(Scorer(one.metric) for one in rule.scorers),
        )
        for stage in fields.stages
        for rule in stage.rules
    }  # fmt: skip


def unnamed(kept: Kept) -> Names:
    """Return names for numbers that nobody kept the names of."""
    trace = kept.trace
    masks = [mask for one in trace.tried for _, mask in one.verdicts]
    numbers = [no for no, _ in trace.carriers] + [part.node for part in kept.parts]
    most = max([*(mask.bit_length() for mask in masks), *(no + 1 for no in numbers), 0])
    services = max([part.service + 1 for part in kept.parts], default=0)
    return Names([f"node {no}" for no in range(most)], [f"service {no}" for no in range(services)])


def told(
    one: Recorded, kept: Kept, names: Names, rules: Mapping[Seqs, SourcingRule]
) -> DecisionView:
    """Return a decision in words.

    Raises:
        UnreadableFacts: what it was decided of cannot be read.
    """
    seen = recorded.unpacked(one.inputs)
    order = seen.order
    stock = {sku: None if row is None else seen.left(sku)[0] for sku, row in seen.stock.items()}
    story = tracing.told(rules, names.nodes, kept.trace, (one.stage, one.rule))
    rule = rules.get((one.stage, one.rule))
    second = None
    if story.runner_up:
        second = RunnerUp(list(story.runner_up), dict(story.margin))
    return DecisionView(
        one.n, _moment(one.at), one.verdict, one.plan, one.version, one.stage, one.rule,
        rule.name if rule else "", one.queue, one.reason,
        [_part(order, part, names) for part in kept.parts],
        [_atom(order, index, units) for index, units in kept.rest], second,
        [_attempt(order, each, names.nodes, stock) for each in story.tried],
        [RefusalView(node, why) for node, why in story.carriers], story.bounded,
    )  # fmt: skip


def _part(order: Order, part: Part, names: Names) -> PartView:
    ship, deliver = instant(part.ship_at), instant(part.deliver_at)
    return PartView(
        names.nodes[part.node], names.services[part.service] if part.service >= 0 else "",
        part.card, part.card_version, Money(part.quote, order.currency), part.grams,
        _moment(ship) if ship else None, _moment(deliver) if deliver else None,
        [_atom(order, index, units) for index, units in part.atoms],
    )  # fmt: skip


def _atom(order: Order, index: int, units: int) -> AtomView:
    line = order.lines[index]
    return AtomView(line_id(order.order_id, line.line_no), line.sku, units)


def _attempt(order: Order, one: Attempt, nodes: Sequence[str], stock: _Stock) -> AttemptView:
    complete = set(one.cover)
    return AttemptView(
        one.stage, one.rule, one.name,
        [FilterView(step.filter, list(step.dropped), step.left) for step in one.steps],
        list(one.left), list(one.cover),
        _lacking(order, [name for name in one.left if name not in complete], nodes, stock),
        [ScoreView(list(score.nodes), dict(score.score)) for score in one.scores], one.why,
    )  # fmt: skip


def _lacking(
    order: Order, asked: Sequence[str], nodes: Sequence[str], stock: _Stock
) -> list[LackView]:
    """Return what of the whole order nodes did not have; what others of its batch took counts."""
    wanted: dict[str, int] = {}
    for line in order.lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.units
    numbers = {name: no for no, name in enumerate(nodes)}
    found = []
    for name in asked:
        skus = [sku for sku, n in wanted.items() if _has(stock.get(sku), numbers[name]) < n]
        if skus:
            found.append(LackView(name, skus))
    return found


def _has(units: list[int] | None, no: int) -> Any:
    """Return how many there are; of what was never counted as many as anybody asks for."""
    if units is None:
        return float("inf")
    return units[no] if no < len(units) else 0


def _moment(at: datetime) -> str:
    return rfc3339(to_ms(at))
