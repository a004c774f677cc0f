"""What two plans made of the same orders: one decided, the other was only tried."""

from typing import NamedTuple

from engine.kernel import codec
from engine.routing.types.answers import Status


class Sent(NamedTuple):
    """One parcel: what a node would send, `lines` are (line_no, units)."""

    node: str
    service: str
    lines: tuple[tuple[int, int], ...]


class Side(NamedTuple):
    """What one plan made of an order.

    `freight` is in minor units. `deliver_at` is that of the last parcel in ms, 0 where nothing says
    so; `late` is whether the buyer was promised less. `unplaced` are units in no parcel.
    """

    stage: int
    rule: int
    queue: str
    parcels: tuple[Sent, ...]
    freight: int
    deliver_at: int
    late: bool
    unplaced: int


class Compared(NamedTuple):
    """An order as two plans decided it; `region` is its province, "" where nobody knows."""

    order_id: str
    at_ms: int
    region: str
    currency: str
    decided: Side
    tried: Side


class Group(NamedTuple):
    """What orders of one sum have in common; a rule is (stage, rule)."""

    plan: str  # that decided
    version: int
    decided: tuple[int, int]
    tried: tuple[int, int]
    region: str
    currency: str


class Sums(NamedTuple):
    """What orders add up to; from `parcels_decided` on, those that both plans placed whole.

    `shift_ms` is by how much later they would arrive by the plan that was tried.
    """

    orders: int = 0
    same: int = 0
    placed_decided: int = 0
    placed_tried: int = 0
    both: int = 0
    parcels_decided: int = 0
    parcels_tried: int = 0
    freight_decided: int = 0
    freight_tried: int = 0
    late_decided: int = 0
    late_tried: int = 0
    earlier: int = 0
    later: int = 0
    shift_ms: int = 0


class Pair(codec.Answer, frozen=True):
    """The same number of both plans."""

    decided: int
    tried: int


class Comparison(codec.Answer, frozen=True):
    """What two plans made of the same orders.

    `same` had the same parcels from the same nodes by the same services. `placed` were placed
    whole. Parcels, freight (in minor units, by currency) and dates are of `comparable` orders:
    those that both plans placed whole. `late` would arrive after what the buyer was promised;
    `earlier` and `later` would arrive sooner or not so soon by the plan that is tried, on average
    `mean_shift_seconds` later than now (over all that are comparable).
    """

    orders: int
    same: int
    placed: Pair
    comparable: int
    parcels: Pair
    freight: dict[str, Pair]
    late: Pair
    earlier: int
    later: int
    mean_shift_seconds: int


class AgainstView(codec.Answer, frozen=True):
    """A comparison with one version that decided."""

    plan: str
    version: int
    comparison: Comparison


class PlanRuleView(codec.Answer, frozen=True):
    """One rule of a plan, by its stage's `seq` and its own; 0 is none."""

    stage: int
    rule: int


class RulesView(codec.Answer, frozen=True):
    """A comparison of orders that these two rules placed."""

    decided: PlanRuleView
    tried: PlanRuleView
    comparison: Comparison


class ProvinceView(codec.Answer, frozen=True):
    """A comparison of orders to one province, by its two digits; "" where it is not known."""

    region: str
    comparison: Comparison


class SentView(codec.Answer, frozen=True):
    """One parcel; `lines` are units by the number of the line."""

    node: str
    service: str
    lines: dict[str, int]


class SideView(codec.Answer, frozen=True):
    """What one plan made of an order; `unplaced` are units in no parcel."""

    stage: int
    rule: int
    queue: str
    parcels: list[SentView]
    freight: codec.Money
    deliver_at: str | None
    late: bool
    unplaced: int


class DifferenceView(codec.Answer, frozen=True):
    """An order that came out differently."""

    order_id: str
    at: str
    region: str
    decided: SideView
    tried: SideView


class ShadowReport(codec.Answer, frozen=True, kw_only=True):
    """What a version decided of orders beside those that were ACTIVE, which is `decided`.

    It is of the last 100,000 orders at most, from `since` to `until`; the rest adds up the largest
    groups first. `largest` are orders that came out differently. `skipped` orders were of its share
    and there was no time for them; of `failed` ones it decided nothing, last by `last_failure`.
    """

    plan: str
    version: int
    status: Status
    since: str | None
    until: str | None
    total: Comparison
    against: list[AgainstView]
    rules: list[RulesView]
    regions: list[ProvinceView]
    largest: list[DifferenceView]
    skipped: int
    failed: int
    last_failure: str


class Replay(codec.Answer, frozen=True, kw_only=True):
    """What a plan makes of recorded orders, beside the plans that decided them, `decided`.

    Both decide again, in a world that is put together of what the record has (`of_then`) and what
    is documents (`of_now`). `as_recorded` of the orders then came out of the plan that decided them
    as they had; where that is much less than all, it is the documents that changed. `more` is
    whether there are earlier orders in that time. Not in it: orders whose record cannot be read,
    whose plan is not kept any more, and those where one of the plans `failed`, last by
    `last_failure`.
    """

    plan: str
    since: str
    until: str
    total: Comparison
    as_recorded: int
    against: list[AgainstView]
    rules: list[RulesView]
    regions: list[ProvinceView]
    largest: list[DifferenceView]
    more: bool
    unreadable: int
    plan_not_kept: int
    failed: int
    last_failure: str
    of_then: list[str]
    of_now: list[str]
    left_out: list[str]
