"""Profiles of nodes as an operator writes them."""

from typing import Annotated, Final, Literal

import msgspec

from engine.kernel import codec

MINUTES_MAX: Final = 30 * 1_440
SLOTS_MAX: Final = 8
EXCEPTIONS_MAX: Final = 1_000
OVERRIDES_MAX: Final = 64
CUTOFFS_MAX: Final = 256
BANDS_MAX: Final = 16
CAPACITY_MAX: Final = 10**12
METRICS_MAX: Final = 32
METRIC_MAX: Final = 10**12

Mode = Literal["ship", "pickup", "instant"]
Point = Literal["accepted", "picked", "waybill", "shipped"]
Dimension = Literal["orders", "lines", "units", "grams"]
Language = Literal["none", "plain", "qimen"]
Meaning = Literal["exists", "no_such_order", "too_late", "cancelled", "invalid", "busy"]
Reason = Literal[
    "out_of_stock", "lost", "damaged", "mismatch", "busy", "closed", "cannot_ship", "cancelled",
    "other",
]  # fmt: skip

_Clock = Annotated[
    str,
    msgspec.Meta(
        min_length=5, max_length=5, extra_json_schema={"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
    ),
]
_Slot = Annotated[
    str,
    msgspec.Meta(
        min_length=11,
        max_length=11,
        extra_json_schema={
            "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
        },
    ),
]
SlotTexts = Annotated[list[_Slot], msgspec.Meta(max_length=SLOTS_MAX)]
_Date = Annotated[
    str,
    msgspec.Meta(
        min_length=10, max_length=10, extra_json_schema={"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
    ),
]
_Minutes = Annotated[int, msgspec.Meta(ge=0, le=MINUTES_MAX)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=CAPACITY_MAX)]
_Text = Annotated[str, msgspec.Meta(max_length=256)]
_Name = Annotated[str, msgspec.Meta(max_length=128)]


def _all_day() -> list[str]:
    return ["00:00-24:00"]


def _ship() -> list[Mode]:
    return ["ship"]


class WorkingWeek(codec.Wire, frozen=True):
    """Working times by weekday, as `09:00-18:00`; a day with none is a day off."""

    mon: SlotTexts = msgspec.field(default_factory=_all_day)
    tue: SlotTexts = msgspec.field(default_factory=_all_day)
    wed: SlotTexts = msgspec.field(default_factory=_all_day)
    thu: SlotTexts = msgspec.field(default_factory=_all_day)
    fri: SlotTexts = msgspec.field(default_factory=_all_day)
    sat: SlotTexts = msgspec.field(default_factory=_all_day)
    sun: SlotTexts = msgspec.field(default_factory=_all_day)


class DayException(codec.Wire, frozen=True):
    """One day that is not as its weekday, nor as a holiday; without slots it is a day off."""

    date: _Date
    slots: SlotTexts = msgspec.field(default_factory=list)
    reason: _Text = ""


class HandlingBand(codec.Wire, frozen=True):
    """From how many orders in hand on handling takes how many minutes of working time."""

    load: _Number
    minutes: _Minutes


class NodeLimits(codec.Wire, frozen=True):
    """What a node takes a day at most; null is no limit, 0 takes nothing."""

    orders: _Number | None = None
    lines: _Number | None = None
    units: _Number | None = None
    grams: _Number | None = None


class CampaignDays(codec.Wire, frozen=True):
    """What is otherwise on the days of a campaign, both included (大促日历).

    What is left out is as always. `slots` count before holidays and exceptions.
    """

    from_: _Date = msgspec.field(name="from")
    to: _Date
    campaign: Annotated[str, msgspec.Meta(max_length=128)] = ""
    slots: SlotTexts | None = None
    capacity: NodeLimits | None = None


# What plans and their conditions call things of ours: nothing that somebody measures is called so,
# for it would be asked instead. engine/routing/rules/compiling.py sees that none is missing.
BUILT_IN: Final = frozenset(
    {
        "calendar_open", "capacity_left", "carrier_available", "cutoff_reachable", "delivery_eta",
        "distance", "distance_km", "fixed_sequence", "freight", "group", "kind", "modes", "node",
        "node_group", "node_load", "node_tag", "node_type", "other_market", "owner", "parcels",
        "pick_cost", "province", "region", "safety_override", "safety_stock", "same_region",
        "sequence", "serves_region", "ship_at", "stock_depth", "tags", "temp_zone", "total_cost",
    }
)  # fmt: skip


class NodeWms(codec.Wire, frozen=True):
    """How the node is told what to send: in which language and where; its secrets are apart.

    `warehouse`, `owner`, `app_key` and `customer` are names that its system knows us by. `codes`
    are its own words for what it refuses, `reasons` for why it does not send something. With
    `cancels_later` its yes to a cancel is no more than that it took note; without `tells_accepted`
    its yes to a consignment is the acceptance; `can_query` says that it may be asked what it has of
    one, which nothing here does by itself. `sender` and `phone` go on labels; without a name,
    the node's own. Where it has no waybills of its own (`own_waybills`), the carrier is asked for
    one before the node is.
    """

    language: Language = "none"
    url: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    warehouse: _Name = ""
    owner: _Name = ""
    app_key: _Name = ""
    customer: _Name = ""
    codes: Annotated[dict[str, Meaning], msgspec.Meta(max_length=256)] = msgspec.field(
        default_factory=dict
    )
    reasons: Annotated[dict[str, Reason], msgspec.Meta(max_length=256)] = msgspec.field(
        default_factory=dict
    )
    cancels_later: bool = False
    can_query: bool = False
    tells_accepted: bool = True
    own_waybills: bool = True
    sender: Annotated[str, msgspec.Meta(max_length=50)] = ""
    phone: Annotated[str, msgspec.Meta(max_length=50)] = ""


class ProfileFields(codec.Wire, frozen=True):
    """What a node can do and when, in its own timezone; whatever is left out is no limit.

    `holidays` is a country of ISO 3166 whose days off it keeps; days worked instead have the times
    of a Monday. `cutoffs` are, by service of a carrier, when a parcel must be ready on a day to
    leave on it; `*` is for services that are not named; without any it leaves once it is ready.
    `point_of_no_return` is from where on what was sent there cannot be stopped there any more.
    `radius_metres` is how far `instant` goes. `pick_cost` is in minor units an order. `metrics` are
    numbers that routing plans filter and score by (`sales_velocity`, `reject_rate_30d`, or names of
    a plan's own): whoever measures them writes them here, and 0 stands where nobody did.
    """

    week: WorkingWeek = msgspec.field(default_factory=WorkingWeek)
    holidays: Annotated[str, msgspec.Meta(max_length=2)] = ""
    exceptions: Annotated[list[DayException], msgspec.Meta(max_length=EXCEPTIONS_MAX)] = (
        msgspec.field(default_factory=list)
    )
    overrides: Annotated[list[CampaignDays], msgspec.Meta(max_length=OVERRIDES_MAX)] = (
        msgspec.field(default_factory=list)
    )
    cutoffs: Annotated[dict[str, _Clock], msgspec.Meta(max_length=CUTOFFS_MAX)] = msgspec.field(
        default_factory=dict
    )
    handling: Annotated[list[HandlingBand], msgspec.Meta(max_length=BANDS_MAX)] = msgspec.field(
        default_factory=list
    )
    capacity: NodeLimits = msgspec.field(default_factory=NodeLimits)
    modes: Annotated[list[Mode], msgspec.Meta(max_length=3)] = msgspec.field(default_factory=_ship)
    point_of_no_return: Point = "shipped"
    radius_metres: Annotated[int, msgspec.Meta(ge=0, le=20_100_000)] = 0
    sequence: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    pick_cost: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    tags: Annotated[list[codec.Identifier], msgspec.Meta(max_length=64)] = msgspec.field(
        default_factory=list
    )
    wms: NodeWms = msgspec.field(default_factory=NodeWms)
    metrics: Annotated[
        dict[codec.Identifier, Annotated[int, msgspec.Meta(ge=-METRIC_MAX, le=METRIC_MAX)]],
        msgspec.Meta(max_length=METRICS_MAX),
    ] = msgspec.field(default_factory=dict)


class ProfileView(ProfileFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A profile as it is answered."""

    node: str
    version: int
    updated_at: str
