"""Services of carriers and their rate cards, compiled for quoting and choosing.

Weights are grams, volumes cm3, money minor units, instants ms since the epoch; shares are basis
points. Nothing is a float, so that a quote is the same on every machine.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

Tier = Literal[
    "instant", "same_day", "next_morning", "next_day", "two_day", "standard", "cold"
]  # 即时, 当日达, 次晨达, 次日达, 隔日达, 标准, 冷链
Rounding = Literal["CEIL_STEP", "HALF", "NEAREST", "EXACT"]
SurchargeKind = Literal["remote", "peak", "oversize", "fuel", "cod", "insurance", "handling"]

GRAMS_MAX: Final = 1 << 40
INSURED_MAX: Final = 1 << 60
FOREVER: Final = 1 << 60


class Service(NamedTuple):
    """What one service of a carrier can do; its name, and what its choice reads.

    `zones` and what else is by region has codes of regions as keys, a district's city, a city's
    province and "" standing for those that are not named. `days` is days on the way by zone, and
    `minutes` minutes, which count first; a zone in neither is not served. `cutoffs` is by node, the
    minute of the day by which a parcel must be ready, -1: whenever it is. `ratio` is the share of
    the day's parcels that it should have. Days in `pauses` do not count as days on the way, nor
    does a day off if it delivers on `workdays` only; `by` is the minute of the day by which it
    delivers. 0 is no limit of `cm3_max` and no volumetric weight of `divisor` (cm3 a kg).
    """

    service: str
    carrier: str = ""
    tier: str = ""
    zones: Mapping[str, str] = {}
    grams: tuple[int, int] = (0, GRAMS_MAX)
    cod: bool = True
    insured_max: int = INSURED_MAX
    tags_not: frozenset[str] = frozenset()
    divisor: int = 0
    cutoffs: Mapping[str, int] = {}
    days: Mapping[str, int] = {}
    score: int = 0
    intercept: bool = False
    ratio: int = 0
    minutes: Mapping[str, int] = {}
    workdays: bool = False
    by: int = 1_200
    pauses: frozenset[int] = frozenset()
    timezone: str = "Asia/Shanghai"
    cm3_max: int = 0
    nodes: frozenset[str] = frozenset()  # that it collects at; empty: all
    enabled: bool = True


class Fared(NamedTuple):
    """How parcels of a service fared that have an end; `refused` is the buyer's doing."""

    parcels: int
    on_time: int
    damaged: int = 0
    refused: int = 0


class Parcel(NamedTuple):
    """What a carrier asks of a parcel; `service` is a designation, "" if there is none.

    Designations that contradict each other are one that no service has.
    """

    grams: int
    cm3: int
    value: int
    tags: frozenset[str]
    service: str


class Surcharge(NamedTuple):
    """One addition to freight: `fixed` and `bp` of what its kind is a share of, from `least` to
    `most` (0: no limit).

    `cod` is a share of what is collected and `insurance` of the value insured, both only where
    there is any; all others of the freight by weight. `regions` are those it is for, empty all;
    `over_g` is the billed weight above which it is; `since` and `until` bound it in time.
    """  # noqa: D205 - one sentence

    kind: str
    fixed: int = 0
    bp: int = 0
    least: int = 0
    most: int = 0
    regions: frozenset[str] = frozenset()
    over_g: int = 0
    since: int = 0
    until: int = FOREVER


class RateCard(NamedTuple):
    """One line of a card: what a service asks between two zones, or regions, or "" for any.

    The first `first_g` grams cost `first`, each further `step_g` cost `step`, as `rounding` counts
    them; no less than `least`. In force from `since` until before `until`.
    """

    card: str
    version: int
    service: str
    since: int
    until: int
    origin: str
    dest: str
    first_g: int
    first: int
    step_g: int
    step: int
    least: int = 0
    rounding: str = "CEIL_STEP"
    surcharges: tuple[Surcharge, ...] = ()
    tax_bp: int = 0
    divisor: int = 0  # 0: the service's
    currency: str = "CNY"


# service -> origin -> destination -> lines of all cards and versions, the one that counts first
Cards: TypeAlias = "Mapping[str, Mapping[str, Mapping[str, tuple[RateCard, ...]]]]"


class Quote(NamedTuple):
    """What a parcel costs by which version of which card; `why` is "" or `no_rate`, and then 0.

    `price` = `freight` + the sum of `surcharges` + `tax`.
    """

    card: str = ""
    version: int = 0
    price: int = 0
    billed_g: int = 0
    freight: int = 0
    surcharges: tuple[tuple[str, int], ...] = ()
    tax: int = 0
    currency: str = ""
    why: str = ""


NO_RATE: Final = Quote(why="no_rate")


class Choice(NamedTuple):
    """The service for a parcel: its place in the snapshot, -1 if none may bring it.

    `why` is the word that decided; `reasons` is (place, word) of every service that was not taken.
    `slots` are (scope, id, day, dimension, n): the capacity of the service that it uses.
    """

    service: int
    why: str
    quote: Quote
    ship_at: int
    deliver_at: int
    grams: int
    slots: tuple[tuple[str, str, int, str, int], ...]
    reasons: tuple[tuple[int, str], ...]
