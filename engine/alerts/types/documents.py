"""Alert rules as an operator writes them."""

from typing import Annotated, Final, Literal

import msgspec

from engine.kernel import codec

AlertKind = Literal[
    "low", "sold_out", "short", "owed", "stale_feed", "listing_drift", "unmapped_listing", "aging",
    "slow_mover",
]  # fmt: skip
Severity = Literal["info", "warning", "critical"]

UNITS_MAX: Final = 1_000_000_000
SECONDS_MAX: Final = 7 * 86_400
DAYS_MAX: Final = 3_650

_Name = codec.Identifier | None


class Match(codec.Wire, frozen=True):
    """What a rule is for: everything that has all of what is given here."""

    sku: _Name = None
    category: _Name = None
    brand: _Name = None
    channel: _Name = None
    node: _Name = None


class AlertRuleFields(codec.Wire, frozen=True):
    """When something is worth an alert, and how urgent it is.

    `low`: at most `units`, and not none, are for sale to a channel. `sold_out`: none is, and some
    were. `short`: at least `units` that orders bought are not in the warehouses. `owed`:
    marketplaces sold at least `units` beyond stock. `stale_feed`: a node told nothing for
    `seconds`. `listing_drift`: a marketplace shows a number that differs by at least `units` from
    the one it confirmed. `unmapped_listing`: orders name a link that stands for no SKU or for
    several. `aging`: a batch lies since it was made, or a SKU since it last came in, for `days`.
    `slow_mover`: none of a SKU that lies there was bought for `days`.

    Of the rules of one kind the one with the nearest scope decides: sku, then node, category,
    brand, channel, all. One that is not `enabled` decides, too: that there is no alert. Without any
    rule there are alerts of the kinds that need no number, and of the first unit short, owed or
    drifted.
    """

    kind: AlertKind
    match: Match = msgspec.field(default_factory=Match)
    units: Annotated[int, msgspec.Meta(ge=1, le=UNITS_MAX)] | None = None
    seconds: Annotated[int, msgspec.Meta(ge=1, le=SECONDS_MAX)] | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=DAYS_MAX)] | None = None
    severity: Severity = "warning"
    enabled: bool = True
    reason: Annotated[str, msgspec.Meta(max_length=256)] = ""


class AlertRuleView(AlertRuleFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A rule as it is answered."""

    rule: str
    version: int
    updated_at: str


class AlertRulePage(codec.Answer, frozen=True):
    """One page of rules."""

    items: list[AlertRuleView]
    next_cursor: str | None


class AlertView(codec.Answer, frozen=True):
    """An alert: what it is about (empty fields are none of it), how much, and by which rule.

    `value` is units, seconds or days, as its kind says; `limit` is that of the rule when it was
    last looked at. `until` is null while it stands. Without a rule (""), it is one of the defaults.
    """

    alert_id: int
    kind: AlertKind
    severity: Severity
    sku: str
    channel: str
    campaign: str
    node: str
    node_group: str
    batch: str
    item_id: str
    sku_id: str
    value: int
    limit: int
    rule: str
    since: str
    until: str | None


class AlertPage(codec.Answer, frozen=True):
    """One page of alerts, in the order in which they began."""

    items: list[AlertView]
    next_cursor: str | None
