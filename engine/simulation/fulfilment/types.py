"""Nouns of a played fulfilment: what is bought, and what is found in the end."""

from typing import Final, NamedTuple

import msgspec

from engine.kernel import codec
from engine.simulation.times import Latency

MALL: Final = "demo-everyday"
MARKET: Final = "demo-pdd"  # keeps its own book of what was sent, so it has to be told
CURRENCY: Final = "CNY"


class Good(NamedTuple):
    """A SKU of the everyday shop: minor units, and which warehouses have it."""

    sku: str
    name: str
    price: int
    grams: int
    cm3: int
    nodes: tuple[str, ...]


class Site(NamedTuple):
    """A warehouse: where it is, and in which language its system is spoken to."""

    node: str
    name: str
    province: str
    city: str
    region: str
    language: str


class Place(NamedTuple):
    """Where a buyer lives; the code is that of the city."""

    province: str
    city: str
    region: str


class Wish(NamedTuple):
    """One order: `risk` is what the shop's risk service thinks of it, `tier` what was promised."""

    number: str
    channel: str
    place: Place
    lines: tuple[tuple[Good, int], ...]
    tier: str = ""
    risk: int = 0

    @property
    def total(self) -> int:
        """What it costs, minor units."""
        return sum(good.price * units for good, units in self.lines)


class Stopped(codec.Answer, frozen=True):
    """A refund that came when a warehouse had the order; `state` is how far it was there."""

    order_id: str
    shipment_id: str
    node: str
    state: str
    answer: str
    seconds: float


class Fulfilled(codec.Answer, frozen=True):
    """What became of the everyday shop's orders.

    `parcels_per_order` counts orders of which something left. `promise` is of parcels that were
    promised by an instant: `kept` are those delivered by it. `freight` is what was quoted for what
    left. `queues` are the orders that wait, by queue and reason. `routed_ms` is from the payment to
    the decision, as the order's own timeline has it. `followed` is one order as `tidegate order
    explain` tells of it.
    """

    orders: int
    delivered: int
    parcels: int
    parcels_per_order: float
    orders_by_parcels: dict[str, int]
    promise: dict[str, int]
    freight: codec.Money
    freight_per_parcel: codec.Money
    orders_by_node: dict[str, int]
    parcels_by_service: dict[str, int]
    routed_ms: Latency
    queues: dict[str, int]
    acks: dict[str, int]
    stops: list[Stopped]
    followed_order: str
    followed: list[str]
    shipped_after_stop: int
    seconds: float
    notes: list[str] = msgspec.field(default_factory=list)
    faults: list[str] = msgspec.field(default_factory=list)
