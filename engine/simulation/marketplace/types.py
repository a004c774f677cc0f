"""Nouns of a marketplace: what it offers, how it behaves, and what came of it.

Times are seconds from its opening, money is minor units, quantities of a listing are its pieces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

Status = Literal["unpaid", "paid", "partly_shipped", "shipped", "delivered", "closed"]
Account = Literal["unpaid", "sold", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Shares (0 to 1) of what happens; `_s` are seconds.

    `listed` lines name only their listing: of one piece, of a pair, or one that nobody mapped; with
    0 every line names its SKU. Of the feed: `skipped` versions never come, `twice` ones come again,
    `late` ones come up to `late_s` after the others, `twins` bodies hold one snapshot twice.
    """

    listed: float = 0.4
    unmapped: float = 0.01
    closed: float = 0.7
    memo: float = 0.15
    address: float = 0.06
    refund: float = 0.1
    shipped: float = 0.6
    step_s: float = 1.0
    skipped: float = 0.15
    twice: float = 0.2
    late: float = 0.1
    late_s: float = 4.0
    twins: float = 0.2


class Listing(NamedTuple):
    """A sellable link of the shop: a piece of it is `units_per` units of the SKU."""

    item_id: str
    sku_id: str
    sku: str
    units_per: int


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One shop on a marketplace; `mark` begins its order ids, `campaign` stands on its orders.

    It shows `published` units of a SKU, of which we have `stock` (not named: all): it reads our
    lower number only `lag_s` after its opening (inf: never), and sells until then what is not
    there. `orders` buyers come within `duration_s`; who finds nothing on the counter leaves. A
    `gift` SKU goes along with some orders, whatever it says. The first SKUs are wanted most. A shop
    that is `pushed` takes our numbers instead and shows nothing else (`Live`).
    """

    channel: str
    seed: int
    orders: int
    stock: Mapping[str, int]
    published: Mapping[str, int]
    prices: Mapping[str, int] = field(default_factory=dict)
    lag_s: float = 5.0
    duration_s: float = 10.0
    gift: str = ""
    mark: str = ""
    campaign: str = ""
    opens_at_ms: int = 1_794_326_400_000  # 2026-11-11 00:00 in Shanghai
    currency: str = "CNY"
    rates: Rates = field(default_factory=Rates)
    pushed: bool = False

    @cached_property
    def have(self) -> dict[str, int]:
        """Return by SKU the units that there are."""
        return {**self.published, **self.stock}

    @cached_property
    def wares(self) -> list[Listing]:
        """Return the listings of one unit, of each SKU one."""
        return [Listing(f"{n}", "", sku, 1) for n, sku in enumerate(self.published, 1)]

    @cached_property
    def pairs(self) -> dict[str, Listing]:
        """Return by SKU the listings of two units: every third ware has one."""
        return {one.sku: Listing(one.item_id, "pair", one.sku, 2) for one in self.wares[::3]}

    @property
    def mapped(self) -> list[Listing]:
        """Return the listings that we have to know."""
        return [*self.wares, *self.pairs.values()]

    @property
    def unmapped(self) -> Listing:
        """Return the listing that nobody told us of."""
        return Listing("new", "", "", 1)

    @cached_property
    def weights(self) -> list[float]:
        """Return how much the wares are wanted."""
        return [1 / place for place in range(1, len(self.published) + 1)]


class Delivery(NamedTuple):
    """One body as it reaches us: snapshots of orders for `POST /v1/orders:sync`, at most 500."""

    at_s: float
    documents: list[dict[str, Any]]


class Truth(NamedTuple):
    """What became of one order, by its final snapshot.

    `units` are those it wants in the end, refunded ones not counted, and of a closed order only
    what was shipped. `unmapped` lines want units of no SKU that we know.
    """

    channel_order_id: str
    version: str
    placed_at: str
    account: Account
    units: Mapping[str, int]
    unmapped: bool
    oversold: bool
