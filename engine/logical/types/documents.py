"""Stock rules as an operator writes them."""

from typing import Annotated, Final, Literal

import msgspec

from engine.kernel import codec
from engine.physical.types.stock import STOCK_QUANTITY_MAX, ConditionIn

DAYS_MAX: Final = 36_500

RuleKind = Literal["condition", "quality_hold", "expiry", "safety", "set_aside"]
_Units = Annotated[int, msgspec.Meta(ge=0, le=STOCK_QUANTITY_MAX)]


class Match(codec.Wire, frozen=True):
    """Which units a rule is for: those that have all of what is given here.

    `batch` and `condition` are for the kinds `quality_hold` and `condition`.
    """

    sku: codec.Identifier | None = None
    category: codec.Identifier | None = None
    brand: codec.Identifier | None = None
    owner: codec.Identifier | None = None
    node: codec.Identifier | None = None
    node_group: codec.Identifier | None = None
    batch: codec.Identifier | None = None
    condition: ConditionIn | None = None


class RuleFields(codec.Wire, frozen=True):
    """A rule about units that may not be sold, in force from `from` until before `until`.

    `condition`: units in the condition of `match` may be sold, too; without a rule only good ones.
    `quality_hold`: units that match are held back, as many as `units` at each node, or all of them.
    `expiry`: a batch is sold while at least `days` days are left until its `expires_on`, the last
    day on which it is good; without a rule, until that day. `safety`: `units` stay at each node.
    `set_aside`: `units` or `percent` (two decimals at most) of what is left at each node are kept
    for others, wholesale for example.

    Of the rules of kind `expiry` and `safety` the most specific one decides; all others add up.
    """

    kind: RuleKind
    match: Match
    units: _Units | None = None
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    days: Annotated[int, msgspec.Meta(ge=0, le=DAYS_MAX)] | None = None
    from_: codec.Instant | None = msgspec.field(default=None, name="from")
    until: codec.Instant | None = None
    enabled: bool = True
    reason: Annotated[str, msgspec.Meta(max_length=256)] = ""


class RuleView(RuleFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A rule as it is answered."""

    rule: str
    version: int
    updated_at: str


class RulePage(codec.Answer, frozen=True):
    """One page of rules."""

    items: list[RuleView]
    next_cursor: str | None
