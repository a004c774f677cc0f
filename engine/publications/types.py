"""Nouns of publications: what a listing is to show, what a shop said of it, and drains."""

from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from engine.inventory.types import MoveFields, PauseView
from engine.kernel import codec
from engine.kernel.limits import IDENTIFIER_LENGTH_MAX, QUANTITY_MAX

ITEMS_PER_CALL_MAX: Final = 500
LAG_SECONDS_MAX: Final = 600
LAG_SECONDS_DEFAULT: Final = 5.0  # of a listing that never confirmed anything
SHARE_WHOLE: Final = 10_000
_SHOWN_MAX: Final = 10**12
_REASON_LENGTH_MAX: Final = 256

State = Literal["on_sale", "paused", "not_on_sale", "unmapped", "doubled"]
DrainState = Literal["requested", "draining", "done", "refused"]
DrainReason = Literal["not_reducible", "short", "timed_out", "pool_ended", ""]
VariantId = Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)]
Shown = Annotated[int, msgspec.Meta(ge=0, le=_SHOWN_MAX)]


class Link(NamedTuple):
    """A sellable link of a channel."""

    tenant: str
    channel: str
    item_id: str
    sku_id: str


class Settings(NamedTuple):
    """What people say of a listing; `lag_seconds` None is what was measured."""

    reducible: bool = True
    buffer: int = 0
    lag_seconds: float | None = None
    share: int = SHARE_WHOLE


class Number(NamedTuple):
    """What a listing is to show, and what it was made of; `buffer` and `reach` are units."""

    state: State
    sku: str
    units_per: int
    published: int = 0
    buffer: int = 0
    reach: int = 0


class Shelf(NamedTuple):
    """A link with the SKUs that it stands for now, and what was published of it; None: nothing.

    `parts` are what the one SKU is a bundle of: SKUs and units of each in one bundle.
    """

    link: Link
    skus: tuple[tuple[str, int], ...]
    settings: Settings
    number: int = 0
    last: Number | None = None
    measured_s: float | None = None
    age_s: float = 0.0
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def lag_s(self) -> float:
        """Seconds from a number to its ack: as told, as measured, or as good as any."""
        if self.settings.lag_seconds is not None:
            return self.settings.lag_seconds
        return LAG_SECONDS_DEFAULT if self.measured_s is None else self.measured_s


class Reach(NamedTuple):
    """What a channel can sell of a SKU now: units, what these pools owe, and the pools.

    Of a bundle: how many can be made; `parts` are what it can sell of each component, and how many
    units of it are in one.
    """

    state: State
    sellable: int = 0
    owed: int = 0
    pools: tuple[str, ...] = ()
    parts: tuple[tuple["Reach", int], ...] = ()


class Drain(NamedTuple):
    """Units that are to leave a marketplace's pool.

    `listings` are (item_id, sku_id, number): what each has to confirm, known once it is draining;
    `confirmed_ago_s` is since all of them had, None: they have not.
    """

    tenant: str
    move_id: str
    source: str
    target: str
    channel: str
    sku: str
    units: int
    state: DrainState
    moving: bool
    listings: tuple[tuple[str, str, int], ...]
    overdue: bool
    actor: str
    confirmed_ago_s: float | None = None


class Confirmed(NamedTuple):
    """What a shop said of a listing that a drain waits for."""

    number: int
    acked_number: int
    acked: int
    refused_number: int
    refused: str
    reducible: bool
    units_per: int
    reach: int
    lag_s: float


class Known(NamedTuple):
    """A listing's present number, the last one an adapter was given, and what was said so far."""

    number: int
    published: int
    published_at: datetime
    sent_number: int
    sent: int
    sent_made_at: datetime | None
    acked_number: int
    refused_number: int
    lag_s: float | None
    seen: int | None
    seen_at: datetime | None
    drift: int | None
    now: datetime


class Acked(NamedTuple):
    """A number that a shop took, its quantity, and the measured lag after it."""

    number: int
    quantity: int
    lag_s: float


class Ack(codec.Wire, frozen=True):
    """A shop took a number, or refused it for good; what may still come is not told at all."""

    item_id: codec.Identifier
    number: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    accepted: bool
    sku_id: VariantId = ""
    reason: Annotated[str, msgspec.Meta(max_length=_REASON_LENGTH_MAX)] = ""


class Acks(codec.Wire, frozen=True):
    """What one channel said to numbers; without `channel`, that of the key."""

    items: Annotated[list[Ack], msgspec.Meta(min_length=1, max_length=ITEMS_PER_CALL_MAX)]
    channel: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)] = ""


class Sight(codec.Wire, frozen=True):
    """What a shop shows of a listing, in its pieces, when it was looked at."""

    item_id: codec.Identifier
    quantity: Shown
    seen_at: codec.Instant
    sku_id: VariantId = ""


class Sights(codec.Wire, frozen=True):
    """What one channel shows; without `channel`, that of the key."""

    items: Annotated[list[Sight], msgspec.Meta(min_length=1, max_length=ITEMS_PER_CALL_MAX)]
    channel: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)] = ""


class ListingSettings(codec.Wire, frozen=True):
    """All settings of a listing: what is not given has its default again.

    `buffer` are units of the SKU kept back always; `lag_seconds` null is measured; `share` is the
    part of what is there that this listing may show, else all of it.
    """

    item_id: codec.Identifier
    sku_id: VariantId = ""
    reducible: bool = True
    buffer: Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)] = 0
    lag_seconds: Annotated[float, msgspec.Meta(ge=0, le=LAG_SECONDS_MAX)] | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class SettingsIn(codec.Wire, frozen=True):
    """Settings of listings of one channel; without `channel`, that of the key."""

    items: Annotated[
        list[ListingSettings], msgspec.Meta(min_length=1, max_length=ITEMS_PER_CALL_MAX)
    ]
    channel: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)] = ""


class RawItems(codec.Wire, frozen=True):
    """Any of these bodies before its items are decoded, each by itself."""

    items: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=ITEMS_PER_CALL_MAX)]
    channel: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)] = ""


class ItemResult(codec.Answer, frozen=True):
    """What became of one item; a refused one has the members of a problem document instead.

    `acked` and `refused` count; `superseded` does too, and a newer number waits. `repeated` was
    told before, `stale` is older than what is known, `unknown` names no published listing.
    """

    status: int
    result: (
        Literal[
            "acked", "superseded", "refused", "repeated", "stale", "unknown", "seen", "kept",
            "unchanged",
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET  # fmt: skip
    number: int | msgspec.UnsetType = msgspec.UNSET
    drift: int | msgspec.UnsetType | None = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


class ItemResults(codec.Answer, frozen=True):
    """One result an item, in their order."""

    results: list[ItemResult]


class SettingsView(codec.Answer, frozen=True):
    """What people said of a listing."""

    reducible: bool
    buffer: int
    lag_seconds: float | None
    share: float


class PublicationView(codec.Answer, frozen=True):
    """What a listing is to show and what its shop said of that.

    `published`, `acked` and `seen` are its pieces, `buffer` the units of the SKU kept back.
    `pending` while the shop has to be told `number`; `drift` is what it shows beyond `published`,
    null until it was looked at after it confirmed.
    """

    channel: str
    item_id: str
    sku_id: str
    sku: str
    units_per: int
    state: State
    number: int
    published: int
    published_at: str
    pending: bool
    sent_at: str | None
    acked: int | None
    acked_number: int
    acked_at: str | None
    refused: str
    seen: int | None
    seen_at: str | None
    drift: int | None
    reducible: bool
    buffer: int
    lag_seconds: float
    settings: SettingsView


class PublicationPage(codec.Answer, frozen=True):
    """One page of publications."""

    items: list[PublicationView]
    next_cursor: str | None


class ListingShown(codec.Answer, frozen=True):
    """What a listing is to show of a paused or resumed SKU, and whether its shop confirmed it."""

    channel: str
    item_id: str
    sku_id: str
    published: int
    confirmed: bool
    confirmed_at: str | None


class SkuPauseView(PauseView, frozen=True, kw_only=True):
    """Whether sale of a SKU is paused, and what marketplaces were told of it."""

    listings: list[ListingShown]


class DrainListing(codec.Answer, frozen=True):
    """A listing whose shop has to confirm `number`, or did."""

    item_id: str
    sku_id: str
    number: int
    confirmed: bool


class PoolMove(codec.Answer, frozen=True):
    """A move between pools; one that does not drain a marketplace's is done at once."""

    move_id: str
    units: int
    state: DrainState
    reason: DrainReason
    told: str
    listings: list[DrainListing]
    requested_at: str
    ended_at: str | None


class Found(NamedTuple):
    """A move as Postgres has it: what was asked, and its drain, if it is one."""

    asked: MoveFields
    at: datetime
    moved: int | None
    drain: Drain | None
    reason: DrainReason
    told: str
    requested_at: datetime | None
    ended_at: datetime | None
    confirmed: tuple[bool, ...]
