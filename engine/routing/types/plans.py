"""A routing plan as an operator writes it, the same in YAML and in JSON.

Stages take orders by their condition, the first that holds; a stage's rules are tried in the order
of their `seq`. Money is in minor units. What a plan says is checked in `rules/compiling.py`.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from engine.kernel import codec
from engine.kernel.limits import (
    AMOUNT_MAX,
    EXPRESSION_BYTES_MAX,
    HOPS_MAX,
    PARCELS_PER_ORDER_MAX,
    QUANTITY_MAX,
    RULES_PER_PLAN_MAX,
)
from engine.kernel.located import Place
from engine.routing.types.core import Assignment, Do, Mode

STAGES_MAX = 64
PER_RULE_MAX = 32  # filters, scorers or constraints of one rule
EXAMPLES_MAX = 500
SEQ_MAX = 1_000_000

Condition = Annotated[str, msgspec.Meta(max_length=EXPRESSION_BYTES_MAX)]
Name = Annotated[str, msgspec.Meta(max_length=128)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
Count = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
Words = Annotated[list[codec.Identifier], msgspec.Meta(max_length=64)]
Queue = Literal["UNFILLABLE", "BACKORDER", "HELD_PRESALE", "REJECTED", "MANUAL"]
Operator = Literal[
    "eq", "ne", "lt", "le", "gt", "ge", "in", "not_in", "between", "is_null"
]  # fmt: skip
Direction = Literal["asc", "desc"]


class FilterFields(codec.Wire, frozen=True):
    """Which nodes may send: those of which `field` `op` `value` is so."""

    field: Name
    op: Operator = "eq"
    value: Any = True


class ScorerFields(codec.Wire, frozen=True):
    """What makes a node better; weight and normalise count in a weighted rule alone."""

    metric: Name
    weight: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    normalise: Literal["minmax", "rank", "log"] = "minmax"
    direction: Literal["min", "max"] = "min"


class ConstraintFields(codec.Wire, frozen=True):
    """What parcels must keep to; one that is not hard costs `penalty` instead."""

    kind: Name
    params: codec.Document = msgspec.field(default_factory=dict)
    hard: bool = True
    penalty: Amount = 0


class SplitFields(codec.Wire, frozen=True):
    """How an order may be divided."""

    max_parcels: Annotated[int, msgspec.Meta(ge=1, le=PARCELS_PER_ORDER_MAX)] = (
        PARCELS_PER_ORDER_MAX
    )
    min_parcel_value: Amount = 0
    min_parcel_lines: Annotated[int, msgspec.Meta(ge=0, le=400)] = 0
    keep_together: Words = msgspec.field(default_factory=list)
    all_or_hold: bool = False
    allow_partial_line: bool = False
    hold_minutes: Annotated[int, msgspec.Meta(ge=0, le=90 * 1_440)] = 0


class UnfilledFields(codec.Wire, frozen=True):
    """What becomes of units that a rule did not place, as `queue` and `reason` say.

    `hours` are until it is decided again at the latest; of `AUTO_CANCEL` until the units are
    cancelled if nothing came of it, which `CLEAR_AUTO_CANCEL` takes back.
    """

    do: Do = "NEXT_RULE"
    queue: Queue = "UNFILLABLE"
    reason: Name = ""
    hours: Annotated[int, msgspec.Meta(ge=0, le=90 * 24)] = 0


class SourcingFields(codec.Wire, frozen=True):
    """One sourcing rule; without `when` it always holds."""

    seq: Seq
    name: Name = ""
    when: Condition = ""
    assignment: Assignment = "MIN_SPLIT"
    filters: Annotated[list[FilterFields], msgspec.Meta(max_length=PER_RULE_MAX)] = msgspec.field(
        default_factory=list
    )
    node_when: Condition = ""
    score_mode: Literal["LEXICOGRAPHIC", "WEIGHTED"] = "LEXICOGRAPHIC"
    scorers: Annotated[list[ScorerFields], msgspec.Meta(max_length=PER_RULE_MAX)] = msgspec.field(
        default_factory=list
    )
    constraints: Annotated[list[ConstraintFields], msgspec.Meta(max_length=PER_RULE_MAX)] = (
        msgspec.field(default_factory=list)
    )
    split: SplitFields = msgspec.field(default_factory=SplitFields)
    on_unfilled: UnfilledFields = msgspec.field(default_factory=UnfilledFields)


class StageFields(codec.Wire, frozen=True):
    """Rules for orders of which `match` holds; `order_by` is `[{field: asc or desc}]`."""

    seq: Seq
    rules: Annotated[
        list[SourcingFields], msgspec.Meta(min_length=1, max_length=RULES_PER_PLAN_MAX)
    ]
    # STREAM: orders are routed as they come, some hundred at a time; the other is refused
    mode: Literal["STREAM", "MICRO_BATCH"] = "STREAM"
    match: Condition = ""
    order_by: Annotated[list[dict[str, Direction]], msgspec.Meta(max_length=8)] = msgspec.field(
        default_factory=list
    )
    max_orders: Count = 0


class ExampleLine(codec.Wire, frozen=True):
    """A line of an example's order; grams, cm3 and value are of all its units.

    Lines of the same `ship_with` leave in one parcel.
    """

    sku: codec.Identifier
    units: Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)] = 1
    line_no: Annotated[int, msgspec.Meta(ge=1, le=400)] | None = None
    group: Name = "main"
    grams: Count | None = None
    cm3: Count = 0
    value: Amount | None = None
    tags: Words = msgspec.field(default_factory=list)
    node: Name = ""
    service: Name = ""
    parts_of: Count = 0
    ship_with: Name = ""


class ExampleOrder(codec.Wire, frozen=True):
    """An order as it would be routed. Times are minutes from now.

    `facts` are fields that conditions ask for; those that follow from the lines need not be said.
    """

    lines: (
        dict[codec.Identifier, Count]
        | Annotated[list[ExampleLine], msgspec.Meta(min_length=1, max_length=400)]
    )
    region: Name = ""
    lat: float | None = None
    lon: float | None = None
    mode: Mode = "ship"
    tier: Name = ""
    channel: Name = "shop"
    cod: Amount = 0
    insured: Amount = 0
    priority: int = 0
    hops: Count = 0
    paid_at: int = 0
    ship_by: int = 0
    deliver_by: int = 0
    allow: Words = msgspec.field(default_factory=list)
    deny: Words = msgspec.field(default_factory=list)
    excluded: list[tuple[int, str, int]] = msgspec.field(default_factory=list)
    facts: codec.Document = msgspec.field(default_factory=dict)


class ExampleNode(codec.Wire, frozen=True):
    """A node of an example."""

    kind: Name = "DC"
    group: Name = "main"
    region: Name = ""
    lat: float | None = None
    lon: float | None = None
    tags: Words = msgspec.field(default_factory=list)
    modes: list[Mode] = msgspec.field(default_factory=lambda: ["ship"])
    sequence: int = 0
    pick_cost: Amount = 0


class ExampleLane(codec.Wire, frozen=True):
    """What a service charges from a node to anywhere: the first kilogram, then steps of one."""

    service: Name = ""
    first: Amount = 500
    step: Amount = 0
    days: Annotated[int, msgspec.Meta(ge=0, le=365)] = 1
    grams_max: Count = QUANTITY_MAX


class ExampleService(codec.Wire, frozen=True):
    """A carrier's service of an example."""

    tier: Name = ""
    cod: bool = True
    tags_not: Words = msgspec.field(default_factory=list)


class WorldFields(codec.Wire, frozen=True):
    """What an example is decided in; an example's own takes the place of the plan's, by member.

    Without `lanes` one service goes from every node in a day for 5.00. `capacity` is (node or
    service, its name, orders, lines, units or grams, used, limit).
    """

    nodes: dict[codec.Identifier, ExampleNode | None] = msgspec.field(default_factory=dict)
    stock: dict[codec.Identifier, dict[str, Count]] = msgspec.field(default_factory=dict)
    services: dict[codec.Identifier, ExampleService | None] = msgspec.field(default_factory=dict)
    lanes: dict[str, list[ExampleLane]] = msgspec.field(default_factory=dict)
    capacity: list[tuple[Literal["node", "service"], str, str, Count, Count | None]] = (
        msgspec.field(default_factory=list)
    )
    closed: list[str] = msgspec.field(default_factory=list)
    late: list[str] = msgspec.field(default_factory=list)
    off: list[tuple[str, str]] = msgspec.field(default_factory=list)
    load: dict[str, int] = msgspec.field(default_factory=dict)
    metrics: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    distances: list[tuple[str, str, Count]] = msgspec.field(default_factory=list)


class Expected(codec.Wire, frozen=True):
    """What an example's decision must be, of what is said.

    `parts` is `{node: {line: units}}`, `rest` is `{line: units}`, `by` the services of the parts
    in their order.
    """

    parts: dict[str, dict[str, int]] | None = None
    rest: dict[str, int] | None = None
    queue: Name | None = None
    reason: Name | None = None
    stage: Seq | None = None
    rule: Seq | None = None
    by: list[str] | None = None


class ExampleFields(WorldFields, frozen=True, kw_only=True):
    """An order, the world that it is decided in, and what is to come of it."""

    order: ExampleOrder
    expect: Expected
    name: Name = ""


class PlanFields(codec.Wire, frozen=True):
    """A plan, and the examples that show what it does.

    `metrics` are numbers of nodes of the author's own, by name, which somebody measures.
    `shadow_share` is how many of 1,000 orders a plan decides that is not active yet.
    """

    plan: codec.Identifier
    stages: Annotated[list[StageFields], msgspec.Meta(min_length=1, max_length=STAGES_MAX)]
    max_hops: Annotated[int, msgspec.Meta(ge=0, le=HOPS_MAX)] = 3
    shadow_share: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 1_000
    metrics: Words = msgspec.field(default_factory=list)
    world: WorldFields = msgspec.field(default_factory=WorldFields)
    examples: Annotated[list[ExampleFields], msgspec.Meta(max_length=EXAMPLES_MAX)] = msgspec.field(
        default_factory=list
    )


class PlacedFault(NamedTuple):
    """One thing that is wrong with a plan, or worth a look: where, and what is accepted.

    Line and column are of the file, or, where there is none, of the text at `pointer`.
    """

    pointer: str
    place: Place
    detail: str


class PlanFault(Exception):
    """A plan that is not one; `faults` are all that were found, by place."""

    def __init__(self, faults: Iterable[PlacedFault]) -> None:
        """Take at least one."""
        self.faults = tuple(sorted(faults, key=lambda one: (one.place, one.pointer)))
        super().__init__("; ".join(f"{one.pointer}: {one.detail}" for one in self.faults))
