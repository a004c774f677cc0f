"""Supply policies, pools and what is done to them by hand."""

from typing import Annotated, Literal, NamedTuple

import msgspec

from engine.campaigns.types import Units
from engine.kernel import codec
from engine.kernel.errors import EngineError
from engine.kernel.limits import QUANTITY_MAX
from engine.kernel.types import Tenant

Scope = Literal["campaign", "sku"]
_Text = Annotated[str, msgspec.Meta(max_length=128)]


class Short(EngineError):
    """Fewer units are free than should be moved; nothing was moved."""

    code, status = "short", 409


class Presale(codec.Wire, frozen=True):
    """Units that may be sold until an instant although they are not there yet."""

    units: Units
    until: codec.Instant


class PolicyChannel(codec.Wire, frozen=True):
    """What one channel may sell every day: units of its own, then shared ones up to a cap.

    Its own are a `quota`, sold ones included, or a `ratio` of what is free beyond all quotas; at
    least `floor` and at most `cap` free ones. Where there are too few, a smaller `priority` is
    served first. `draw_order` names "own", "shared" (the shared units of each group of the policy),
    "shared:GROUP"; `shared_cap` is of each shared pool. `backorder` units may be sold beyond stock.
    """

    channel: codec.Identifier
    quota: Units = 0
    shared_cap: Units | None = None
    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    floor: Units = 0
    cap: Units | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    draw_order: Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=32)] = msgspec.field(
        default_factory=lambda: ["own", "shared"]
    )
    presale: Presale | None = None
    backorder: Units = 0


class PolicyFields(codec.Wire, frozen=True):
    """How units are given out: of one SKU, or of each SKU of a category, of a brand, or of all.

    Exactly one of `sku`, `category`, `brand`, `all` is given. `shared` is for a SKU whose stock
    nobody counts; of one that is counted, the shared pools get what is left of the stock in the
    `node_groups`. Channels' own units are of the first of these groups; "" is that of nodes without
    one. `owner` is the SKU's own or, of many, limits them to those of an owner.
    """

    sku: _Text = ""
    shared: Units = 0
    channels: Annotated[list[PolicyChannel], msgspec.Meta(max_length=64)] = msgspec.field(
        default_factory=list
    )
    owner: _Text | None = None
    extensions: codec.Document = msgspec.field(default_factory=dict)
    category: _Text = ""
    brand: _Text = ""
    every: bool = msgspec.field(default=False, name="all")
    node_groups: Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=16)] = msgspec.field(
        default_factory=lambda: [""]
    )
    since: codec.Instant | None = msgspec.field(default=None, name="from")
    until: codec.Instant | None = None


class PolicyView(PolicyFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A policy as it is answered; `published` once the cell has this version."""

    policy: str
    version: int
    updated_at: str
    published: bool


class PolicyPage(codec.Answer, frozen=True):
    """One page of policies."""

    items: list[PolicyView]
    next_cursor: str | None


class PoolName(codec.Wire, frozen=True):
    """A pool of the SKU: a channel's quota, a campaign's for it, or (empty) the shared one.

    `node_group` says of the stock of which nodes; empty: of those without a group.
    """

    channel: _Text = ""
    campaign: _Text = ""
    node_group: _Text = ""


class MoveFields(codec.Wire, frozen=True, omit_defaults=True):
    """Free units from one pool of a SKU to another; the same move_id is done once.

    So many as `keep` stay free in the first pool, or nothing is moved.
    """

    move_id: codec.Identifier
    sku: codec.Identifier
    units: Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]
    source: PoolName = msgspec.field(name="from")
    target: PoolName = msgspec.field(name="to")
    keep: Units = 0


class PauseFields(codec.Wire, frozen=True):
    """Why the sale stops or goes on."""

    reason: Annotated[str, msgspec.Meta(max_length=256)] = ""


class PauseView(codec.Answer, frozen=True):
    """Whether sale is paused, and since when."""

    paused: bool
    since: str | None


class OfferKey(NamedTuple):
    """What a channel sells, every day (campaign "") or in a campaign."""

    sku: str
    channel: str
    campaign: str


class StockItem(codec.Answer, frozen=True):
    """What one channel may sell of one SKU; an empty campaign is the everyday sale.

    Of a bundle: how many can be made of what it may sell of the components, which others may take.

    `shared` is how much of `sellable` comes from the shared pool: at most what is left of the
    channel's cap, which the cell counts, so that it may be ahead of `log_id`.
    """

    sku: str
    channel: str
    campaign: str
    sellable: int
    own: int
    shared: int


class StockPage(codec.Answer, frozen=True):
    """One page of sellable stock as Postgres has recorded it, up to a position of the log."""

    items: list[StockItem]
    next_cursor: str | None
    as_of: str
    log_id: str


class ShortView(codec.Answer, frozen=True):
    """Units of a SKU that orders hold or bought and that the nodes of a group do not have.

    `lacking` now, `units` at most while it stood; `until` is null while it stands.
    """

    sku: str
    node_group: str
    units: int
    lacking: int
    since: str
    until: str | None


class ShortPage(codec.Answer, frozen=True):
    """One page of shortages, in the order in which they began."""

    items: list[ShortView]
    next_cursor: str | None


class Dimensions(NamedTuple):
    """What names a pool; empty channel and campaign: the shared pool of the SKU in a group."""

    tenant: Tenant
    owner: str
    sku: str
    channel: str = ""
    campaign: str = ""
    node_group: str = ""

    @property
    def shared(self) -> "Dimensions":
        """The shared pool of the same SKU and group."""
        return self._replace(channel="", campaign="")


class Draw(NamedTuple):
    """One pool an offer draws from; a cap of -1 is none."""

    pool: Dimensions
    cap: int = -1


class Offer(NamedTuple):
    """How the cell may serve one SKU to one channel, in one campaign or every day."""

    draws: tuple[Draw, ...]
    per_buyer_limit: int = 0
    floor_price: int = 0  # minor units; 0 is none
    deposit: int = 0  # of one unit, minor units; 0: paid at once
    currency: str = ""  # of these two
    is_bundle: bool = False  # then it has no pools: its components have


class Given(NamedTuple):
    """A pool and what its grants amount to: applied ones as folded, others as intended."""

    pool_id: str
    last_seq: int
    units: int


class Wanted(NamedTuple):
    """Units that the grants of a pool should amount to, and what document says so."""

    units: int
    reason: str
    reference: str


class Grant(NamedTuple):
    """A numbered change of what a pool was given."""

    pool_id: str
    seq: int
    delta: int
    reason: str
    reference: str


class Rule(NamedTuple):
    """A field of the cell's rules at a version; the body is a packed list that starts with it."""

    field: str
    version: int
    body: bytes
