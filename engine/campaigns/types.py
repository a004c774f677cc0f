"""A campaign as an operator plans it."""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec

from engine.kernel import codec
from engine.kernel.limits import HOLD_SECONDS_MAX, QUANTITY_MAX
from engine.kernel.types import Tenant

UNITS_MAX = 1_000_000_000  # of one pool; far below 2^53, up to which the cell counts exactly
PART_MIN, PART_MAX = 0.0001, 100.0  # of a quota

Units = Annotated[int, msgspec.Meta(ge=0, le=UNITS_MAX)]
Count = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]
Quota = Annotated[dict[codec.Identifier, Units], msgspec.Meta(max_length=64)]


class CampaignSku(codec.Wire, frozen=True):
    """One SKU of a campaign: units per channel, and what a buyer may have for how much.

    With `draws_shared` its own quota goes first, then the SKU's shared pool up to a channel's cap.
    """

    sku: codec.Identifier
    quota: Quota = msgspec.field(default_factory=dict)
    per_buyer_limit: Count | None = None
    price: codec.Money | None = None
    floor_price: codec.Money | None = None
    deposit: codec.Money | None = None
    draws_shared: bool = False


class Limit(codec.Wire, frozen=True):
    """At most `max` units or orders for one buyer, over the whole campaign or each SKU alone."""

    by: Literal["buyer_id", "phone", "address", "device"]
    max: Count
    scope: Literal["campaign", "sku"] = "campaign"
    counts: Literal["units", "orders"] = "units"


class Wave(codec.Wire, frozen=True):
    """Units by channel that are put on sale later, of one SKU or, without `sku`, of each.

    They are carved out as soon as the campaign is published, and for sale from `at` on.
    """

    at: codec.Instant
    quota: Quota = msgspec.field(default_factory=dict)
    sku: codec.Identifier | None = None


# Units as a whole number, or a fraction of a quota as a number with a point: 50 or 0.25.
Part = Units | Annotated[float, msgspec.Meta(ge=PART_MIN, le=PART_MAX)]
Parts = Annotated[dict[codec.Identifier, Part], msgspec.Meta(max_length=64)] | Part


class Elastic(codec.Wire, frozen=True):
    """Whether units are lent from slow to fast shops while the sale runs, and within which bounds.

    No shop lends below its `floor` of unsold units, none is given more than its `ceiling` in all;
    both by channel or, as one value, for each. A lending is at most a `step` (as a fraction: of all
    quotas of the SKU), and a shop that got one gets the next after `cool_down_seconds`. It borrows
    what it sells within `horizon_seconds`. With `observe_only` it is decided and not done.
    """

    enabled: bool = True
    floor: Parts = 0
    ceiling: Parts | None = None
    step: Part = 0.05
    cool_down_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 5
    horizon_seconds: Annotated[int, msgspec.Meta(ge=5, le=7 * 86_400)] = 120
    observe_only: bool = False


class WaitingRoom(codec.Wire, frozen=True):
    """Who may order while too many want to: so many buyers a second get a ticket, by their turn.

    A ticket is one buyer's for one campaign and holds for `ticket_seconds`, for as many orders as
    the limits allow; so long a turn is kept for whoever does not come for it, too.
    """

    per_second: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    ticket_seconds: Annotated[int, msgspec.Meta(ge=10, le=3_600)] = 120


class CampaignFields(codec.Wire, frozen=True):
    """A campaign; without `hold_seconds` an unpaid order is held as its channel says.

    `channels` may be left out: then they are the channels that a quota names. SKUs with a `deposit`
    for each unit are a presale: the deposit is due as any payment, the rest by `balance_until`.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    starts_at: codec.Instant
    ends_at: codec.Instant
    kind: Annotated[str, msgspec.Meta(max_length=32)] = "flash_sale"
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "Asia/Shanghai"
    channels: Annotated[list[codec.Identifier], msgspec.Meta(max_length=64)] = msgspec.field(
        default_factory=list
    )
    skus: Annotated[list[CampaignSku], msgspec.Meta(max_length=10_000)] = msgspec.field(
        default_factory=list
    )
    limits: Annotated[list[Limit], msgspec.Meta(max_length=16)] = msgspec.field(
        default_factory=list
    )
    waves: Annotated[list[Wave], msgspec.Meta(max_length=64)] = msgspec.field(default_factory=list)
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=HOLD_SECONDS_MAX)] | None = None
    grace_seconds: Annotated[int, msgspec.Meta(ge=0, le=HOLD_SECONDS_MAX)] | None = None
    balance_until: codec.Instant | None = None
    at_end: Literal["return_to_shared", "keep"] = "return_to_shared"
    elastic: Elastic | None = None
    waiting_room: WaitingRoom | None = None
    extensions: codec.Document = msgspec.field(default_factory=dict)


class CampaignView(CampaignFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A campaign as it is answered; `published` once the cell has this version."""

    campaign: str
    version: int
    updated_at: str
    published: bool


class CampaignPage(codec.Answer, frozen=True):
    """One page of campaigns."""

    items: list[CampaignView]
    next_cursor: str | None


class Published(NamedTuple):
    """What one version of a campaign left with the publisher: its rule fields and its pools."""

    tenant: Tenant
    campaign: str
    fields: list[str]
    pools: list[str]


class Ending(NamedTuple):
    """A campaign whose stock has to go back to the shared pools."""

    tenant: Tenant
    campaign: str
    ends_at: datetime
    pools: list[str]
