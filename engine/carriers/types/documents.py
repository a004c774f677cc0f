"""Services of carriers and rate cards as an operator writes them."""

from typing import Annotated, Any, Final, Literal

import msgspec

from engine.carriers.types.services import Rounding, SurchargeKind, Tier
from engine.kernel import codec
from engine.kernel.limits import AMOUNT_MAX

ZONES_MAX: Final = 4_000
CARD_LINES_MAX: Final = 5_000
SURCHARGES_MAX: Final = 64
REGIONS_MAX: Final = 1_000
PAUSES_MAX: Final = 64
GRAMS_MAX: Final = 10**9
_CM3_MAX: Final = 10**9
_DAYS_MAX: Final = 90

_Text = Annotated[str, msgspec.Meta(max_length=256)]
_Clock = Annotated[
    str,
    msgspec.Meta(
        min_length=5, max_length=5, extra_json_schema={"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
    ),
]
_Date = Annotated[
    str,
    msgspec.Meta(
        min_length=10, max_length=10, extra_json_schema={"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
    ),
]
_Region = Annotated[str, msgspec.Meta(max_length=32)]
_Zone = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Grams = Annotated[int, msgspec.Meta(ge=0, le=GRAMS_MAX)]
_Amount = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
_Share = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
_Limit = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
_Currency = Annotated[
    str, msgspec.Meta(min_length=3, max_length=3, extra_json_schema={"pattern": "^[A-Z]{3}$"})
]


class ServicePause(codec.Wire, frozen=True):
    """Days, both included, on which a service brings nothing (春节停运)."""

    to: _Date
    from_: _Date = msgspec.field(name="from")
    reason: _Text = ""


class DayLimits(codec.Wire, frozen=True):
    """What a service takes a day at most; null is no limit, 0 takes nothing."""

    orders: _Limit | None = None
    grams: _Limit | None = None


class ServiceFields(codec.Wire, frozen=True):
    """What one service of a carrier does; whatever is left out is no limit.

    `zones` names a zone for regions: keys are codes of regions, six digits of GB/T 2260 in China
    (a city's code stands for its districts, a province's for its cities), or `*` for all others; a
    region in none is not served. `days` are days on the way by zone, delivered by `by`, and
    `minutes` minutes, for instant delivery. With `workdays` days off are no days on the way.
    `cutoffs` are, by node or `*`, when a parcel must be ready on a day to leave on it; what a
    node's profile says of the service counts before them. `divisor` is cm3 a kg of volumetric
    weight (体积重), 0 for none. `ratio` is the share of a day's parcels that it should have where
    cost and score are equal, `score` higher for the better: it counts until the service has brought
    enough parcels, then how it fared with them does. At `desk_url` its carrier is asked for
    waybills and where parcels are; what that is signed with is set apart.
    """

    carrier: codec.Identifier
    tier: Tier
    zones: Annotated[dict[_Region, _Zone], msgspec.Meta(max_length=ZONES_MAX)]
    name: _Text = ""
    enabled: bool = True
    days: Annotated[
        dict[_Zone, Annotated[int, msgspec.Meta(ge=0, le=_DAYS_MAX)]],
        msgspec.Meta(max_length=ZONES_MAX),
    ] = msgspec.field(default_factory=dict)
    minutes: Annotated[
        dict[_Zone, Annotated[int, msgspec.Meta(ge=1, le=10_080)]],
        msgspec.Meta(max_length=ZONES_MAX),
    ] = msgspec.field(default_factory=dict)
    by: _Clock = "20:00"
    workdays: bool = False
    pauses: Annotated[list[ServicePause], msgspec.Meta(max_length=PAUSES_MAX)] = msgspec.field(
        default_factory=list
    )
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "Asia/Shanghai"
    nodes: Annotated[list[codec.Identifier], msgspec.Meta(max_length=REGIONS_MAX)] = msgspec.field(
        default_factory=list
    )
    cutoffs: Annotated[dict[str, _Clock], msgspec.Meta(max_length=REGIONS_MAX)] = msgspec.field(
        default_factory=dict
    )
    grams_min: _Grams = 0
    grams_max: _Grams = GRAMS_MAX
    cm3_max: Annotated[int, msgspec.Meta(ge=0, le=_CM3_MAX)] = 0
    divisor: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    cod: bool = False
    insured_max: _Amount = 0
    tags_not: Annotated[list[codec.Identifier], msgspec.Meta(max_length=64)] = msgspec.field(
        default_factory=list
    )
    capacity: DayLimits = msgspec.field(default_factory=DayLimits)
    score: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    ratio: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    intercept: bool = False
    desk_url: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class ServiceView(ServiceFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A service as it is answered."""

    service: str
    version: int
    updated_at: str


class ServicePage(codec.Answer, frozen=True):
    """One page of services."""

    items: list[ServiceView]
    next_cursor: str | None


class CardLine(codec.Wire, frozen=True):
    """What is asked from one region, or zone of the service, to another; empty is any.

    The first `first_grams` cost `first` (首重), each further `step_grams` cost `step` (续重), no
    less than `least`; minor units.
    """

    first_grams: _Grams
    first: _Amount
    origin: Annotated[str, msgspec.Meta(max_length=64)] = ""
    dest: Annotated[str, msgspec.Meta(max_length=64)] = ""
    step_grams: _Grams = 0
    step: _Amount = 0
    least: _Amount = 0


class CardSurcharge(codec.Wire, frozen=True):
    """What is added: `fixed` and `basis_points` of freight, from `least` to `most` (0: no limit).

    The share of `cod` is of what is collected, that of `insurance` of the value insured, and each
    is asked only where there is any. `regions` are those it is for, empty all of them; `over_grams`
    the billed weight above which it is; `from` and `until` when.
    """

    kind: SurchargeKind
    fixed: _Amount = 0
    basis_points: _Share = 0
    least: _Amount = 0
    most: _Amount = 0
    regions: Annotated[list[_Region], msgspec.Meta(max_length=REGIONS_MAX)] = msgspec.field(
        default_factory=list
    )
    over_grams: _Grams = 0
    from_: codec.Instant | None = msgspec.field(default=None, name="from")
    until: codec.Instant | None = None


class CardFields(codec.Wire, frozen=True):
    """What a service costs from `effective_from` to before `effective_until` or its next version.

    A version that has taken effect stays as it is: a change is a new version that takes effect
    later than now. `rounding` of further weight: `CEIL_STEP` a begun step is a whole one, `HALF` a
    begun half of one costs half, `NEAREST` to the nearest, half of one up, `EXACT` by the gram.
    `divisor` counts before that of the service. Tax is of freight and surcharges.
    """

    service: codec.Identifier
    effective_from: codec.Instant
    lines: Annotated[list[CardLine], msgspec.Meta(min_length=1, max_length=CARD_LINES_MAX)]
    effective_until: codec.Instant | None = None
    currency: _Currency = "CNY"
    rounding: Rounding = "CEIL_STEP"
    divisor: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    surcharges: Annotated[list[CardSurcharge], msgspec.Meta(max_length=SURCHARGES_MAX)] = (
        msgspec.field(default_factory=list)
    )
    tax_basis_points: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class CardView(CardFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A rate card as it is answered: its last version."""

    card: str
    version: int
    updated_at: str


class CardPage(codec.Answer, frozen=True):
    """One page of rate cards."""

    items: list[CardView]
    next_cursor: str | None


class RegionReason(codec.Wire, frozen=True):
    """Why a region is switched off."""

    reason: _Text = ""


class RegionOff(codec.Answer, frozen=True):
    """One region, and all that lies in it, that a service does not go to for now."""

    service: str
    region: str
    state: Literal["off", "on"]
    since: str | None = None
    reason: str = ""
    by: str = ""


class RegionsOff(codec.Answer, frozen=True):
    """All regions that a service does not go to for now."""

    items: list[RegionOff]


class DeskSecret(codec.Wire, frozen=True):
    """What is signed with when a carrier's desk is asked; no call ever shows it."""

    secret: Annotated[str, msgspec.Meta(min_length=16, max_length=256)]


class SecretKept(codec.Answer, frozen=True):
    """That it was kept."""

    service: str
    outcome: str = "kept"


class WaybillView(codec.Answer, frozen=True):
    """A carrier's number for a consignment; `data` is what a printer needs, once there is one.

    In the state `asked` the carrier has not said; `failed` it refused, `cancelled` it was given
    back.
    """

    shipment_id: str
    consignment_id: str
    service: str
    carrier: str
    waybill: str
    state: str
    reason: str
    data: dict[str, Any]
    asked_at: str
    state_at: str
