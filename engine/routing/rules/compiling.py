"""A plan as written to a plan that decides: conditions checked and made into one function each.

Everything that is wrong is told at once, with its place; what is only odd (a stage that nothing can
reach, a condition that is slow) is a note.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.expressions.judging import InvalidConditions, Judge, compile_conditions
from engine.kernel.expressions.schemas import NODE_SCHEMA, ORDER_SCHEMA
from engine.kernel.expressions.types import Schema
from engine.kernel.limits import RULES_PER_PLAN_MAX
from engine.kernel.located import Located, Malformed, Place, read
from engine.places.types.profiles import BUILT_IN
from engine.routing.rules import candidates, deciding, scoring
from engine.routing.types.core import (
    CompiledPlan,
    Constraint,
    Node,
    NodeFilter,
    Scorer,
    SourcingRule,
    Split,
    Stage,
    Unfilled,
)
from engine.routing.types.plans import (
    ConstraintFields,
    FilterFields,
    PlacedFault,
    PlanFault,
    PlanFields,
    SourcingFields,
    StageFields,
)

# What a snapshot knows of a node beside what it is: numbers that somebody measures.
# What profiles of nodes say under `metrics`, as whoever measures it writes it there.
MEASURED: Final = frozenset(
    {"days_of_cover", "sales_velocity", "broken_size", "reject_rate_30d",
     "carrier_on_time", "expiry_urgency", "markdown_risk"}
)  # fmt: skip
METRICS: Final = scoring.METRICS | MEASURED
_YES: Final = frozenset(
    {"serves_region", "calendar_open", "cutoff_reachable", "carrier_available", "safety_override"}
)
_NUMBERS: Final = frozenset({"sequence", "distance_km", "capacity_left", "node_load"}) | MEASURED
_TAGS: Final = frozenset({"node_tag", "temp_zone", "owner"})
_WORDS: Final = frozenset({"node", "node_group", "node_type", "region"}) | _TAGS
_OTHERS: Final = frozenset({"same_region", "safety_stock"})
FIELDS: Final = _YES | _NUMBERS | _WORDS | _OTHERS
assert (FIELDS | METRICS) - MEASURED | NODE_SCHEMA.index.keys() == BUILT_IN
assert candidates.MOVING | candidates.STANDING <= FIELDS, "a filter that no plan can name"

_TESTS: Final = frozenset({"eq", "ne"})
_ORDERS: Final = frozenset({"lt", "le", "gt", "ge"})
_LISTS: Final = frozenset({"in", "not_in"})
# The parameters of each kind of constraint: a number, or a list of names.
CONSTRAINTS: Final[Mapping[str, Mapping[str, type]]] = {
    "promise_by": {},
    "max_cost": {"amount": int},
    "value_per_parcel": {"amount": int},
    "separate": {"tags": list},
    "region_embargo": {"regions": list, "nodes": list},
    "channel_must_use_node": {"nodes": list},
}
_OPTIONAL: Final = frozenset({("region_embargo", "nodes")})


class Compiled(NamedTuple):
    """A plan that decides, and what a person should look at."""

    plan: CompiledPlan
    notes: tuple[PlacedFault, ...]


def parse(text: str) -> tuple[PlanFields, Located]:
    """Read a plan from YAML or JSON.

    Raises:
        PlanFault: it is no such document, or not of a plan's shape.
    """
    try:
        located = read(text)
    except Malformed as malformed:
        raise PlanFault([PlacedFault("", malformed.place, malformed.detail)]) from malformed
    try:
        return codec.typed(located.value, PlanFields), located
    except ValidationFailed as failed:
        raise PlanFault(
            PlacedFault(one.pointer, located.place(one.pointer), one.detail)
            for one in failed.faults
        ) from failed


def compile_plan(fields: PlanFields, located: Located | None = None, version: int = 0) -> Compiled:
    """Make a plan decide; `located` is where it was written, if that was a file.

    Raises:
        PlanFault: with all that is wrong.
        NotInstalled: the library that checks conditions is missing.
    """
    return _Compiler(fields, located).compiled(version)


def measured(plan: CompiledPlan) -> frozenset[str]:
    """Return what the plan asks of nodes that somebody has to measure: a snapshot must have it."""
    rules = [rule for stage in plan.stages for rule in stage.rules]
    asked = {one.field for rule in rules for one in rule.filters} - (FIELDS - MEASURED)
    return frozenset(
        asked | {one.metric for rule in rules for one in rule.scorers} - scoring.METRICS
    )


class _Compiler:
    """Compiles one plan; collects faults and goes on."""

    def __init__(self, fields: PlanFields, located: Located | None) -> None:
        self._fields, self._located = fields, located
        self._faults: list[PlacedFault] = []
        self._notes: list[PlacedFault] = []
        self._of_orders: list[tuple[str, str]] = []  # pointer, text
        self._of_nodes: list[tuple[str, str]] = []
        self._own = frozenset(fields.metrics) - BUILT_IN

    def compiled(self, version: int) -> Compiled:
        for n, name in enumerate(self._fields.metrics):
            if name in BUILT_IN:
                self._fault(f"/metrics/{n}", f"{name} is ours: a measure needs a name of its own")
        numbered = list(enumerate(self._fields.stages))
        self._unique("/stages", numbered)
        rules = sum(len(stage.rules) for stage in self._fields.stages)
        if rules > RULES_PER_PLAN_MAX:
            self._fault("/stages", f"has {rules} rules, of at most {RULES_PER_PLAN_MAX}")
        drafts = [
            self._stage(f"/stages/{n}", one)
            for n, one in sorted(numbered, key=lambda of: of[1].seq)
        ]
        self._unreached()
        judge = self._judge(self._of_orders, ORDER_SCHEMA)
        of_nodes = self._judge(self._of_nodes, NODE_SCHEMA)
        if self._faults or judge is None or of_nodes is None:
            raise PlanFault(self._faults)
        stages = tuple(draft(of_nodes) for draft in drafts)
        plan = CompiledPlan(self._fields.plan, version, judge, stages, self._fields.max_hops, {})
        return Compiled(plan, tuple(sorted(self._notes, key=lambda one: one.place)))

    def _stage(self, at: str, one: StageFields) -> Callable[[Judge], Stage]:
        """Return what makes the stage once the conditions of nodes are compiled."""
        bit = self._condition(self._of_orders, f"{at}/match", one.match)
        if one.mode != "STREAM":
            told = "must be STREAM: orders are routed as they come, in the order of order_by"
            self._fault(f"{at}/mode", told)
        by: list[tuple[str, bool]] = []
        for n, each in enumerate(one.order_by):
            if len(each) != 1 or not each.keys() <= deciding.ORDER_BY:
                names = ", ".join(sorted(deciding.ORDER_BY))
                self._fault(f"{at}/order_by/{n}", f"is one field and asc or desc; fields: {names}")
            by.extend((field, way == "desc") for field, way in each.items())
        numbered = list(enumerate(one.rules))
        self._unique(f"{at}/rules", numbered)
        drafts = [
            self._rule(f"{at}/rules/{n}", rule)
            for n, rule in sorted(numbered, key=lambda of: of[1].seq)
        ]
        return lambda of_nodes: Stage(
            one.seq, bit, tuple(by), one.max_orders, tuple(draft(of_nodes) for draft in drafts)
        )

    def _rule(self, at: str, one: SourcingFields) -> Callable[[Judge], SourcingRule]:
        bit = self._condition(self._of_orders, f"{at}/when", one.when)
        asked = self._condition(self._of_nodes, f"{at}/node_when", one.node_when)
        filters = [self._filter(f"{at}/filters/{n}", each) for n, each in enumerate(one.filters)]
        for n, scorer in enumerate(one.scorers):
            if scorer.metric not in METRICS | self._own:
                known = ", ".join(sorted(METRICS | self._own))
                self._fault(f"{at}/scorers/{n}/metric", f"is no metric; metrics are {known}")
        for n, bound in enumerate(one.constraints):
            self._constraint(f"{at}/constraints/{n}", bound)
        if one.on_unfilled.do == "AUTO_CANCEL" and not one.on_unfilled.hours:
            self._fault(f"{at}/on_unfilled/hours", "must be at least 1: when to cancel")
        rule = SourcingRule(
            one.seq, one.name, bit, one.assignment, tuple(filters), None,
            one.score_mode == "WEIGHTED",
            tuple(Scorer(s.metric, s.weight, s.normalise, s.direction) for s in one.scorers),
            tuple(Constraint(c.kind, c.params, c.hard, c.penalty) for c in one.constraints),
            _split(one), Unfilled(*(getattr(one.on_unfilled, name) for name in Unfilled._fields)),
        )  # fmt: skip
        if not asked:
            return lambda _of_nodes: rule
        return lambda of_nodes: rule._replace(node_when=_node_condition(of_nodes, asked))

    def _filter(self, at: str, one: FilterFields) -> NodeFilter:
        numbers = _NUMBERS | self._own
        if one.field not in FIELDS | self._own:
            known = ", ".join(sorted(FIELDS | self._own))
            self._fault(f"{at}/field", f"is no field of a node; fields: {known}")
        elif one.op not in (allowed := _operators(one.field, numbers)):
            told = ", ".join(sorted(allowed))
            self._fault(f"{at}/op", f"{one.field} is asked by {told}")
        elif wanted := _value(one, numbers):
            self._fault(f"{at}/value", f"{one.field} {one.op}: must be {wanted}")
        return NodeFilter(one.field, one.op, one.value)

    def _constraint(self, at: str, one: ConstraintFields) -> None:
        known = CONSTRAINTS.get(one.kind)
        if known is None:
            names = ", ".join(sorted(CONSTRAINTS))
            self._fault(f"{at}/kind", f"is no kind of constraint; kinds are {names}")
            return
        for name in one.params.keys() - known.keys():
            self._fault(f"{at}/params/{codec.escape(name)}", "is not a field here")
        for name, kind in known.items():
            value = one.params.get(name)
            if value is None and (one.kind, name) in _OPTIONAL:
                continue
            fits = _number(value) if kind is int else _names(value)
            if not fits:
                must = "a whole number from 0" if kind is int else "a list of texts"
                self._fault(f"{at}/params/{name}", f"{one.kind} needs {name}: {must}")

    def _condition(self, found: list[tuple[str, str]], at: str, text: str) -> int:
        """Return the bit of a condition; 0 where there is none, which always holds."""
        if not text.strip():
            return 0
        found.append((at, text))
        return 1 << len(found) - 1

    def _judge(self, asked: Sequence[tuple[str, str]], schema: Schema) -> Judge | None:
        try:
            judge = compile_conditions([text for _, text in asked], schema)
        except InvalidConditions as invalid:
            for n, mistake in invalid.mistakes:
                at = asked[n][0]
                place = Place(mistake.line, mistake.column)
                if self._located:
                    place = self._located.inside(at, *place)
                self._faults.append(PlacedFault(at, place, mistake.detail))
            return None
        for (at, _), condition in zip(asked, judge.conditions, strict=True):
            if condition.why:
                self._note(at, f"takes longer, by the library, because of {condition.why}")
        return judge

    def _unique(
        self, at: str, numbered: Iterable[tuple[int, StageFields | SourcingFields]]
    ) -> None:
        seen: set[int] = set()
        for n, one in numbered:
            if one.seq in seen:
                self._fault(f"{at}/{n}/seq", f"{one.seq} is given twice")
            seen.add(one.seq)

    def _unreached(self) -> None:
        """Note what comes after something that always holds and lets nothing through."""
        stages = sorted(enumerate(self._fields.stages), key=lambda of: of[1].seq)
        for number, (n, stage) in enumerate(stages):
            if number and not stages[number - 1][1].match.strip():
                self._note(
                    f"/stages/{n}", "is never reached: the stage before it takes every order"
                )
                break
            rules = sorted(enumerate(stage.rules), key=lambda of: of[1].seq)
            for (_, before), (m, _) in pairwise(rules):
                if not before.when.strip() and before.on_unfilled.do != "NEXT_RULE":
                    self._note(
                        f"/stages/{n}/rules/{m}", "is never reached: the rule before it ends"
                    )
                    break

    def _fault(self, pointer: str, detail: str) -> None:
        self._faults.append(PlacedFault(pointer, self._place(pointer), detail))

    def _note(self, pointer: str, detail: str) -> None:
        self._notes.append(PlacedFault(pointer, self._place(pointer), detail))

    def _place(self, pointer: str) -> Place:
        return self._located.place(pointer) if self._located else Place(1, 1)


def _split(one: SourcingFields) -> Split:
    fields = one.split
    return Split(
        fields.max_parcels, fields.min_parcel_value, fields.min_parcel_lines,
        tuple(fields.keep_together), fields.all_or_hold, fields.allow_partial_line,
        fields.hold_minutes,
    )  # fmt: skip


def _node_condition(judge: Judge, bit: int) -> Callable[[Node], bool]:
    return lambda node: bool(judge(node_facts(node)) & bit)


def node_facts(node: Node) -> tuple[Any, ...]:
    """Return what conditions may ask of a node, in the order of `NODE_SCHEMA`."""
    return (
        node.node, node.kind, node.group, node.region, node.region[:2], tuple(sorted(node.tags)),
        tuple(sorted(node.modes)), node.sequence, node.pick_cost,
    )  # fmt: skip


def _operators(field: str, numbers: frozenset[str]) -> frozenset[str]:
    if field in _YES or field in _OTHERS:
        return frozenset({"eq"})
    if field in _TAGS:
        return _TESTS | _LISTS
    more = _ORDERS | {"between"} if field in numbers else frozenset[str]()
    return _TESTS | _LISTS | {"is_null"} | more


def _value(one: FilterFields, numbers: frozenset[str]) -> str:
    """Return what the value must be, "" if it is."""
    if one.field in _YES or one.op == "is_null":
        return "" if isinstance(one.value, bool) else "true or false"
    if one.field == "same_region":
        fits = _number(one.value) and one.value in {2, 4, 6}
        return "" if fits else "2 (a province), 4 (a city) or 6 (a district)"
    if one.field == "safety_stock":
        return "" if _number(one.value) else "a whole number from 0"
    many = one.op in _LISTS or one.op == "between"
    return _operand(one, many=many, number=one.field in numbers)


def _operand(one: FilterFields, *, many: bool, number: bool) -> str:
    fits = _numbers if number else _names
    values = one.value if many else [one.value]
    if one.op == "between":
        low_high = isinstance(values, list) and len(values) == 2 and fits(values)  # noqa: PLR2004
        return "" if low_high and values[0] <= values[1] else "[least, greatest]"
    if fits(values):
        return ""
    what = "whole number" if number else "text"
    quotes = "" if number else ", in quotes if it is all digits"
    return f"a list of {what}s{quotes}" if many else f"a {what}{quotes}"


def _number(value: object) -> bool:
    return type(value) is int and value >= 0


def _numbers(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(type(one) is int for one in values)


def _names(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(v, str) for v in values)
