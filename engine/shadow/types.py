"""Nouns of the shadow: facts as another system told them, and what the report says of them."""

from datetime import datetime
from typing import Literal, NamedTuple

from engine.kernel import codec
from engine.physical.types.facts import Basis, Condition

Cause = Literal[
    "no_buffer", "same_units", "count_late", "quota_idle", "unmapped_link", "safety_ignored",
    "stale_number", "wrong_number", "beyond_number", "no_number",
]  # fmt: skip


class Link(NamedTuple):
    """What a shop offers: its link, or the SKU itself where the shop names no links."""

    channel: str
    item_id: str
    sku_id: str
    sku: str

    def __str__(self) -> str:
        """Return how a person finds it."""
        return "/".join(filter(None, (self.channel, self.item_id, self.sku_id or self.sku)))


class OrderLine(NamedTuple):
    """A line of an order in pieces of its link, with what became of it; None: nothing yet.

    `known_at` is when the other system learned of it, `accepted_at` when a warehouse did.
    """

    channel: str
    channel_order_id: str
    line: str
    version: str
    item_id: str
    sku_id: str
    sku: str
    node: str
    quantity: int
    placed_at: datetime
    known_at: datetime | None
    accepted_at: datetime | None
    shipped_at: datetime | None
    cancelled_at: datetime | None

    @property
    def link(self) -> Link:
        """What was bought."""
        return Link(self.channel, self.item_id, self.sku_id, "" if self.item_id else self.sku)


class Counted(NamedTuple):
    """A count, in single units; `safety` are those that the node is to keep.

    It is of `as_of`, and nobody but the warehouse knew of it before `received_at`.
    """

    node: str
    owner: str
    sku: str
    condition: Condition
    batch: str
    as_of: datetime
    sequence: int
    basis: Basis
    quantity: int
    locked: int
    safety: int
    received_at: datetime


class Shown(NamedTuple):
    """What a shop showed of a link, in its pieces, from `seen_at` on."""

    channel: str
    item_id: str
    sku_id: str
    sku: str
    seen_at: datetime
    quantity: int

    @property
    def link(self) -> Link:
        """What it was shown of."""
        return Link(self.channel, self.item_id, self.sku_id, "" if self.item_id else self.sku)


class Facts(NamedTuple):
    """All that was told, and what it is of.

    `mapped` are by (channel, item_id, sku_id) the SKUs of links with their units, `bundles` by SKU
    the components of one with theirs.
    """

    lines: list[OrderLine]
    counts: list[Counted]
    shown: list[Shown]
    mapped: dict[tuple[str, str, str], list[tuple[str, int]]]
    bundles: dict[str, list[tuple[str, int]]]


class Terms(NamedTuple):
    """What the report is asked for.

    Findings lie in [since, until), None is open; `lag_seconds` and the units of `buffer` are what
    would stand between a number and its shop.
    """

    since: datetime | None = None
    until: datetime | None = None
    lag_seconds: float = 0.0
    buffer: int = 0


class Why(codec.Answer, frozen=True):
    """A cause in words, as it was at the first of so many times."""

    cause: Cause
    times: int
    told: str


class Oversold(codec.Answer, frozen=True):
    """Units that a channel sold of a SKU when they were not there, each counted once."""

    sku: str
    channel: str
    units: int
    orders: int
    first_at: str
    first_order: str
    first_units: int
    last_at: str
    why: list[Why]


class Exposed(codec.Answer, frozen=True):
    """A listing that showed more than there was: `units_most` could have been oversold at once.

    `minutes` it did so, whether somebody bought or not.
    """

    channel: str
    item_id: str
    sku_id: str
    sku: str
    units_most: int
    minutes: float
    first_at: str


class Undersold(codec.Answer, frozen=True):
    """A listing that showed 0 while units were free; `unit_minutes` sums both up."""

    channel: str
    item_id: str
    sku_id: str
    sku: str
    unit_minutes: float
    minutes: float
    units_most: int
    first_at: str
    why: list[Why]


class Drift(codec.Answer, frozen=True):
    """What a listing showed beyond what would have been published, in its pieces.

    `worst` is the one farthest from 0, `minutes` are those with any, `over` and `under` are pieces
    times minutes.
    """

    channel: str
    item_id: str
    sku_id: str
    sku: str
    units_per: int
    worst: int
    worst_at: str
    at_end: int
    minutes: float
    over: float
    under: float


class Unmapped(codec.Answer, frozen=True):
    """A link that stands for no SKU (`skus` empty) or for several."""

    channel: str
    item_id: str
    sku_id: str
    skus: list[str]
    orders: int
    pieces: int
    first_at: str


class Report(codec.Answer, frozen=True):
    """What the facts come to, the worst first; `empty` when there is nothing to find.

    `lost_units` were promised and then counted to be gone. `uncounted` SKUs were sold or shown, but
    never counted, so nothing can be said of them. `note` tells what it cannot know, "" nothing.
    """

    since: str
    until: str
    lag_seconds: float
    buffer: int
    facts: dict[str, int]
    empty: bool
    oversold_units: int
    lost_units: int
    undersold_unit_minutes: float
    oversold: list[Oversold]
    exposed: list[Exposed]
    undersold: list[Undersold]
    drift: list[Drift]
    unmapped: list[Unmapped]
    uncounted: list[str]
    note: str = ""


class Moment(NamedTuple):
    """Units that one order oversold, and why."""

    at: datetime
    link: Link
    order: str
    units: int
    why: tuple[tuple[Cause, str], ...]


class Point(NamedTuple):
    """From `at` on, a listing showed and would have shown so many; None: nobody knows."""

    at: datetime
    shown: int | None
    wanted: int | None


class Curve(NamedTuple):
    """A listing over time."""

    link: Link
    sku: str
    points: list[Point]
    moments: list[Moment]
