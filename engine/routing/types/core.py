"""What a routing decision is made of: orders, a snapshot, a plan, an instant; and what it says.

A node is its number (`Node.no`) everywhere inside, and a set of nodes is an integer with a bit for
each: bit n is node n. Instants are milliseconds since 1970, money is in minor units, weights are
grams. Nothing here is a float but coordinates, and no comparison is of floats: a decision is the
same on every machine.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol

from engine.carriers.types.services import Parcel, Service
from engine.kernel.limits import PARCELS_PER_ORDER_MAX

Mode = Literal["ship", "pickup", "instant"]
Assignment = Literal["SINGLE_NODE", "MIN_SPLIT", "ANY_SPLIT", "GROUPED"]
Do = Literal[
    "NEXT_RULE", "PARK", "AUTO_CANCEL", "CLEAR_AUTO_CANCEL", "BACKORDER", "MANUAL_REVIEW"
]  # fmt: skip

# What may drop a node whatever it has of the order's lines. A rule's own filters have the numbers
# from RULE_FILTER on, in the order in which the plan lists them.
FILTERS: Final = (
    "group", "mode", "node_when", "constraint", "calendar", "carrier", "promise", "capacity",
    "ship_with",
)  # fmt: skip
GROUP, MODE, NODE_WHEN, CONSTRAINT, CALENDAR, CARRIER, PROMISE, CAPACITY, SHIP_WITH = range(9)
RULE_FILTER: Final = 16
# What keeps nodes from sending units that they have, and ends by itself.
PASSING: Final[Mapping[int, str]] = {
    CALENDAR: "closed", CARRIER: "no_carrier", CAPACITY: "no_capacity",
}  # fmt: skip


class Line(NamedTuple):
    """Open units, at least 1, of one line that were drawn from one group of nodes.

    `grams`, `cm3` and `value` are of all units. `node` and `service` are designations: hard, ""
    where there is none. `parts_of` is the line of the bundle that this line is a component of.
    Lines of one `together` that is not "" leave in one parcel, or not at all; none of them is cut.
    """

    line_no: int
    sku: str
    group: str
    units: int
    grams: int = 0
    cm3: int = 0
    value: int = 0
    tags: frozenset[str] = frozenset()
    node: str = ""
    service: str = ""
    parts_of: int = 0
    together: str = ""


class Order(NamedTuple):
    """What is to be routed of one order; `facts` are the values that conditions ask for.

    `excluded` is (line_no, node, until): a node that refused a line. `allow` and `deny` name
    carriers' services. `ship_by` and `deliver_by` are 0 where nothing was promised.
    """

    order_id: str
    tenant: str
    channel: str
    facts: tuple[Any, ...]
    region: str
    lat: float | None
    lon: float | None
    lines: tuple[Line, ...]
    mode: str = "ship"
    tier: str = ""
    cod: int = 0
    insured: int = 0
    currency: str = "CNY"
    paid_at: int = 0
    ship_by: int = 0
    deliver_by: int = 0
    priority: int = 0
    merge_hash: str = ""
    buyer: str = ""
    excluded: tuple[tuple[int, str, int], ...] = ()
    hops: int = 0
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()


class Node(NamedTuple):
    """One node that may send; `no` is its place in `Snapshot.nodes` and the last tie-break.

    `calendar` and `handling` are read by calendars' rules alone. `radius` is how many metres away
    it delivers at once, 0 however far its services go.
    """

    node: str
    no: int
    kind: str = "DC"
    group: str = ""
    region: str = ""
    lat: float | None = None
    lon: float | None = None
    tags: frozenset[str] = frozenset()
    sequence: int = 0
    pick_cost: int = 0
    calendar: Any = None
    handling: tuple[tuple[int, int], ...] = ()
    modes: frozenset[str] = frozenset({"ship"})
    radius: int = 0


class Stock:
    """Units of one SKU that are free, by node, and the sets that save looking at them.

    `units` are what a rule may choose from, `usable` what the guard would give: they differ by
    safety and what is set aside. Never changed by a decision, which works on copies.
    """

    __slots__ = ("complex", "least", "mask", "much", "units", "usable")

    def __init__(
        self, units: list[int], usable: list[int] | None = None, *, complex_: bool = False
    ) -> None:
        """Take units by node number; without `usable` there is no safety to be overridden."""
        self.units = units
        self.usable = units if usable is None else usable
        self.complex = complex_
        self.mask = self.much = 0
        self.least = MUCH
        for no, left in enumerate(units):
            if left > 0:
                self.mask |= 1 << no
                if left >= MUCH:
                    self.much |= 1 << no
                elif left < self.least:
                    self.least = left

    def copy(self) -> "Stock":
        """Return one that can be taken from."""
        new = Stock.__new__(Stock)
        new.units = self.units.copy()
        new.usable = new.units if self.usable is self.units else self.usable.copy()
        new.mask, new.much, new.least = self.mask, self.much, self.least
        new.complex = self.complex
        return new

    def take(self, no: int, units: int) -> None:
        """Take units from a node, as far as there are that many; both kinds of units fall."""
        row, usable = self.units, self.usable
        self._set(no, max(0, row[no] - units), max(0, usable[no] - units))

    def lower(self, no: int, most: int) -> None:
        """Have no more units of either kind at a node than that."""
        most = max(0, most)
        if most < self.usable[no] or most < self.units[no]:
            self._set(no, min(most, self.units[no]), min(most, self.usable[no]))

    def _set(self, no: int, left: int, usable: int) -> None:
        self.usable[no], self.units[no] = usable, left
        if left < MUCH:
            self.much &= ~(1 << no)
            if left < 1:
                self.mask &= ~(1 << no)
            elif left < self.least:
                self.least = left


MUCH: Final = 16  # nodes with so many units are not looked at one by one for usual quantities


class Regions(Protocol):
    """Distances for addresses without coordinates."""

    def metres(self, a: str, b: str) -> int | None:
        """Return the distance of two regions; None where one is not known."""


class Snapshot(NamedTuple):
    """Everything a decision may know of the world, at one instant.

    A SKU that is missing from `stock` is declared: no node ever counted it, so every node of its
    group may send it. `groups` is the nodes of each group. `capacity` is (used, limit) by (scope,
    id, day, dimension); no limit is None, and 0 takes nothing. `off` is (service, region prefix).
    `metrics` are by node number. `digest` names the whole in a decision's record.
    """

    nodes: tuple[Node, ...]
    index: Mapping[str, int]  # type: ignore[assignment]  # hides tuple.index, which is never called
    stock: Mapping[str, Stock]
    groups: Mapping[str, int]
    capacity: Mapping[tuple[str, str, int, str], tuple[int, int | None]]
    load: tuple[int, ...]
    services: tuple[Service, ...]
    cards: Any
    off: frozenset[tuple[str, str]]
    regions: Regions
    metrics: Mapping[str, tuple[int, ...]]
    digest: int = 0


class Reach(NamedTuple):
    """When each node could send an order of this kind, and by whom; lists are by node number.

    `open` are nodes whose calendar takes it, `served` those that some service fetches from for this
    address, `today` those whose cut-off of the day is still reached. `day` is the day whose
    capacity it would use. `why` says of nodes that are not served what refused them.
    """

    open: int
    served: int
    today: int
    ship_at: tuple[int, ...]
    deliver_at: tuple[int, ...]
    day: tuple[int, ...]
    why: tuple[tuple[int, str], ...] = ()


class Offer(NamedTuple):
    """What one parcel from one node would be: `why` is "" or what refused it (then no more)."""

    service: int
    card: str
    card_version: int
    quote: int
    ship_at: int
    deliver_at: int
    day: int
    why: str = ""


class Moment(NamedTuple):
    """When it is asked, and of what.

    `memo` is for whoever answers: it is kept as long as nodes, services, cards, bands of load and
    the minute are the same, and an answer is the same with an empty one. `full` are (service, day)
    that are used up, some of them by this batch; `sent` are the parcels that this batch gave, by
    (name of the service, day).
    """

    snap: Snapshot
    now_ms: int
    memo: dict[Hashable, Any]
    full: frozenset[tuple[int, int]] = frozenset()
    sent: Mapping[tuple[str, int], int] = {}


class Carriage(Protocol):
    """What carriers and calendars answer: pure, of what is asked and the moment alone."""

    def kind(self, order: Order, parcel: Parcel) -> Hashable:
        """Return what `reach` depends on besides snapshot and minute; `parcel` is the whole."""

    def reach(self, order: Order, parcel: Parcel, moment: Moment) -> Reach:
        """Return who could send an order of this kind, whatever its weight, and by when."""

    def offer(self, order: Order, node: int, parcel: Parcel, moment: Moment) -> Offer:
        """Return the best service for one parcel from one node, or why there is none."""


class NodeFilter(NamedTuple):
    """`value` is what `op` compares with: a number, a word, or a list of them."""

    field: str
    op: str
    value: Any


class Scorer(NamedTuple):
    """One metric; `weight` and `normalise` count in a weighted rule alone."""

    metric: str
    weight: int = 1
    normalise: str = "minmax"
    direction: str = "min"


class Constraint(NamedTuple):
    """What parts must keep to; one that is not hard adds `penalty` to the cost instead."""

    kind: str
    params: Mapping[str, Any]
    hard: bool = True
    penalty: int = 0


class Split(NamedTuple):
    """How an order may be divided.

    The least value and number of lines hold for every parcel and for what is left unfilled, once
    there is more than one parcel. `all_or_hold` ships nothing while something lacks, until
    `hold_minutes` after the payment (0: for ever).
    """

    max_parcels: int = PARCELS_PER_ORDER_MAX
    min_parcel_value: int = 0
    min_parcel_lines: int = 0
    keep_together: tuple[str, ...] = ()
    all_or_hold: bool = False
    allow_partial_line: bool = False
    hold_minutes: int = 0


class Unfilled(NamedTuple):
    """What becomes of units that a rule did not place.

    `hours` are until it is decided again at the latest, or, of AUTO_CANCEL, until what is left is
    cancelled: counted from the first time, and no more once a rule says CLEAR_AUTO_CANCEL.
    """

    do: Do = "NEXT_RULE"
    queue: str = "UNFILLABLE"
    reason: str = ""
    hours: int = 0


class SourcingRule(NamedTuple):
    """One rule; `bit` is the condition in what `judge` returns, 0 where it always holds."""

    seq: int
    name: str
    bit: int = 0
    assignment: Assignment = "SINGLE_NODE"
    filters: tuple[NodeFilter, ...] = ()
    node_when: Callable[[Node], bool] | None = None
    weighted: bool = False
    scorers: tuple[Scorer, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    split: Split = Split()
    on_unfilled: Unfilled = Unfilled()


class Stage(NamedTuple):
    """Rules for the orders that its condition takes; `order_by` is (field, descending)."""

    seq: int
    bit: int = 0
    order_by: tuple[tuple[str, bool], ...] = ()
    max_orders: int = 0
    rules: tuple[SourcingRule, ...] = ()


class CompiledPlan(NamedTuple):
    """A plan whose conditions are one function: a bit for each condition that holds.

    `memo` only saves work: a decision is the same with an empty one.
    """

    plan: str
    version: int
    judge: Callable[[tuple[Any, ...]], int]
    stages: tuple[Stage, ...]
    max_hops: int
    memo: dict[str, Any]


class Part(NamedTuple):
    """One parcel: what one node sends. `atoms` are (index of the line, units).

    `slots` are (scope, id, day, dimension, n): the capacity that it uses.
    """

    node: int
    atoms: tuple[tuple[int, int], ...]
    service: int
    card: str
    card_version: int
    quote: int
    grams: int
    ship_at: int
    deliver_at: int
    slots: tuple[tuple[str, str, int, str, int], ...]


class Tried(NamedTuple):
    """One rule that was tried: (filter, nodes left after it), and the best 5 by score.

    `cover` are the nodes that have everything. A score is of a set of nodes.
    """

    stage: int
    rule: int
    verdicts: tuple[tuple[int, int], ...]
    cover: int
    scores: tuple[tuple[int, tuple[int, ...]], ...]
    why: str


class Trace(NamedTuple):
    """Why a decision is as it is.

    `runner_up` are the nodes of the second best, `margin` by how much it is worse in each scorer.
    `bounded` says that the search ended at its bound. `carriers` are nodes that no service served.
    """

    tried: tuple[Tried, ...]
    runner_up: tuple[int, ...]
    margin: tuple[int, ...]
    bounded: bool
    carriers: tuple[tuple[int, str], ...]


class Decision(NamedTuple):
    """What becomes of an order: its parts, and what is left in a queue.

    `rest` are (index of the line, units) that no part has; a routed order may have a rest, and then
    `queue` and `reason` are the rest's. `until` is when the queue is to be left at the latest, 0
    for never. `stage` and `rule` are their `seq`. What is left is cancelled at `cancel_at`, unless
    an earlier decision said when; 0 leaves that as it is, and -1 forgets it.
    """

    order_id: str
    verdict: Literal["routed", "parked"]
    parts: tuple[Part, ...]
    rest: tuple[tuple[int, int], ...]
    queue: str
    reason: str
    until: int
    stage: int
    rule: int
    trace: Trace
    cancel_at: int = 0
