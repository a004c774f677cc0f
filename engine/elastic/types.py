"""What is known of a shop that shares a SKU with others, and what is decided about it."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

from engine.campaigns.types import Elastic
from engine.kernel import codec
from engine.kernel.types import Tenant

How = Literal["move", "drain"]
State = Literal["decided", "observed", "requested", "done", "refused"]


class Burn(NamedTuple):
    """Units that went in how many seconds, both weighted: what is long past counts for less."""

    units: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Units a second; 0 before anything was seen."""
        return self.units / self.seconds if self.seconds > 0 else 0.0


class Bounds(NamedTuple):
    """The policy of one SKU, in units and seconds."""

    step: int
    cool_down_s: float
    horizon_s: float


class Shop(NamedTuple):
    """One shop's pool of one SKU; `borrowed_s` is how long ago it was lent units, None: never.

    A marketplace lends `after_drain`: only what it has confirmed to show no more. `lends` is "" for
    one that may lend, else why it does not.
    """

    channel: str
    available: int
    granted: int
    burn: Burn
    floor: int = 0
    ceiling: int | None = None
    after_drain: bool = False
    lends: str = ""
    borrowed_s: float | None = None


class Lending(NamedTuple):
    """Units that one shop is to lend to another, why, and the figures it was decided by."""

    source: str
    target: str
    units: int
    how: How
    keep: int
    reason: str
    figures: dict[str, Any]


class Ruling(NamedTuple):
    """What is to be done about one SKU; `notes` say of each shop in need what it waits for.

    `again`: it is to be looked at again though nothing changes.
    """

    lendings: tuple[Lending, ...]
    notes: dict[str, str]
    again: bool


class Sale(NamedTuple):
    """A campaign that runs and lends; `starts_at` and `ends_at` by Postgres' clock."""

    tenant: Tenant
    campaign: str
    version: int
    elastic: Elastic
    quotas: dict[str, dict[str, int]]
    pools: list[str]
    starts_at: datetime
    ends_at: datetime


class Seen(NamedTuple):
    """What was seen of a pool at an instant; `used` are units held and sold, ever."""

    used: int
    available: int
    burn: Burn
    at: datetime
    needy: bool
    borrowed_at: datetime | None
    note: str


class Held(NamedTuple):
    """A pool as Postgres has recorded it, with what was seen of it the last time."""

    tenant: Tenant
    campaign: str
    sku: str
    channel: str
    node_group: str
    pool_id: str
    granted: int
    available: int
    used: int
    external: bool
    draining: bool
    seen: Seen | None


class Look(NamedTuple):
    """A pool and what is to be noted of it now."""

    pool_id: str
    seen: Seen


class Decision(NamedTuple):
    """One lending of a campaign; `n` counts those of its SKU, so that none is decided twice.

    Both pools are of the stock of one group of nodes.
    """

    tenant: Tenant
    campaign: str
    sku: str
    node_group: str
    n: int
    move_id: str
    lending: Lending


class ShopView(codec.Answer, frozen=True):
    """How one shop stands with one SKU; `sells_out_in_seconds` null: not as far as can be seen."""

    sku: str
    channel: str
    node_group: str
    available: int
    granted: int
    rate_per_second: float
    sells_out_in_seconds: float | None
    needs: bool
    note: str


class LendingView(codec.Answer, frozen=True):
    """One decision and what became of it."""

    sku: str
    node_group: str
    source: str
    target: str
    units: int
    how: How
    state: State
    reason: str
    detail: str
    move_id: str
    figures: dict[str, Any]
    decided_at: str
    done_at: str | None


class ElasticPage(codec.Answer, frozen=True):
    """The decisions of a campaign, latest first, and beside them the shops nearest to the end."""

    campaign: str
    elastic: Elastic | None
    shops: list[ShopView]
    items: list[LendingView]
    next_cursor: str | None
